"""What is measured with: made-up trees, pictures and lists. Nothing is downloaded, nothing is kept."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

FILES_IN_DIRECTORY = 20  # the mean of a hosting-shaped tree
_SETTLED_SECONDS = 2.5  # files younger than 2 s are never believed to be unchanged
# Grey levels of noise: makes JPEGs of 2.6 MB from 12 megapixels; those of telephones have about 3 MB.
GRAIN = 4.0
_COMMENT = b"\xff\xfe"  # JPEG's marker of a comment, put right after the start of the image
# Freely licensed photographs that come with scikit-image.
_PHOTOS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "retina.jpg",
    "ihc.png",
    "motorcycle_left.png",
)


def _gif() -> bytes:
    out = io.BytesIO()
    Image.new("L", (8, 8), 128).save(out, "GIF")
    return out.getvalue()


def tree(root: Path, files: int, size: int) -> None:
    """Files of `size` bytes, 20 in a directory: a valid tiny picture, then noise of its own."""
    head, rng = _gif(), np.random.default_rng(1)
    for d in range(files // FILES_IN_DIRECTORY):
        directory = root / f"customer{d // 100:04d}" / f"uploads{d % 100:02d}"
        directory.mkdir(parents=True)
        noise = rng.bytes(FILES_IN_DIRECTORY * (size - len(head)))
        step = size - len(head)
        for f in range(FILES_IN_DIRECTORY):
            path = f"{directory}/photo-{d * 7919 % 10_000:05d}-{f:03d}.gif"
            with open(path, "wb", buffering=0) as file:
                file.write(head + noise[f * step : (f + 1) * step])


def settle() -> None:
    """Wait until what was written last is old enough to be believed unchanged."""
    time.sleep(_SETTLED_SECONDS)


def photographs(
    root: Path, count: int, distinct: int, size: tuple[int, int], grain: float = GRAIN
) -> list[Path]:
    """JPEGs of quality 90: `distinct` with pixels of their own, the others different in a comment."""
    root.mkdir(parents=True)
    made = []
    for i, data in zip(range(distinct), pictures(size, grain), strict=False):
        for copy in range(i, count, distinct):
            note = b"copy %06d" % copy
            path = root / f"IMG_{copy:04d}.jpg"
            path.write_bytes(data[:2] + _COMMENT + (len(note) + 2).to_bytes(2, "big") + note + data[2:])
            made.append(path)
    return sorted(made)


def pictures(size: tuple[int, int], deviation: float) -> Iterator[bytes]:
    """Endless pictures: parts of photographs, enlarged, with the grain of a sensor, in grey levels."""
    import skimage.data

    folder, rng = Path(skimage.data.__file__).parent, np.random.default_rng(2)
    photos = [Image.open(folder / name).convert("RGB") for name in _PHOTOS if (folder / name).exists()]
    grain = rng.normal(0, deviation, (size[1], size[0], 1)).astype(np.float32)
    turn = 0
    while True:
        photo = photos[turn % len(photos)]
        left, top = (int(rng.integers(0, 1 + side // 3)) for side in photo.size)
        part = photo.crop((left, top, left + photo.width * 2 // 3, top + photo.height * 2 // 3))
        pixels = np.asarray(part.resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
        noisy = np.clip(pixels + np.roll(grain, turn * 977, axis=1), 0, 255).astype(np.uint8)
        out = io.BytesIO()
        Image.fromarray(noisy).save(out, "JPEG", quality=90)
        yield out.getvalue()
        turn += 1


def small_list(path: Path) -> Path:
    """A list that lists nothing that is there."""
    path.write_text(os.urandom(16).hex() + "\n")
    return path


def large_list(path: Path, entries: int) -> Path:
    """A CSV list of random entries, each with a SHA-256 and a PDQ."""
    rng, step = np.random.default_rng(3), 10_000
    with path.open("w") as file:
        file.write("sha256,pdq\n")
        for _ in range(entries // step):
            text = rng.bytes(64 * step).hex()
            rows = (text[i : i + 128] for i in range(0, len(text), 128))
            file.writelines(f"{row[:64]},{row[64:]}\n" for row in rows)
    return path
