"""Views: what turned ones and the content box add to the cost of a picture, decoding included.

    .venv/bin/python tests/bench/bench_views.py

One process and thread, as a worker has them, without the sandbox. Each picture is decoded and hashed with and
without them in turn; figures are medians of processor time.
"""

from __future__ import annotations

import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import materials
from measuring import run
from PIL import Image, ImageOps
from report import Row, judged

SIZES = {"12 megapixels": (4000, 3000), "2 megapixels": (1632, 1224), "320 x 240": (320, 240)}
DISTINCT, ROUNDS = 6, 12
_MOST = 1.15  # times the cost without
_BORDER = 0.05  # of the width, where a box is to be found
_ENV = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
SETTINGS = (("whole",), ("whole", "turned"), ("whole", "turned", "box"))


def views(work: Path) -> Iterator[Row]:
    """The share of the views, for large and small pictures, and for those with a border."""
    for name, size in SIZES.items():
        photos = materials.photographs(work / name, DISTINCT, DISTINCT, size)
        plain = _measured(photos)
        grown = plain[2] / plain[0]
        yield judged(
            f"PDQ in all views by PDQ as it lies, JPEG of {name}",
            f"at most {_MOST}",
            f"{grown:.2f}",
            grown <= _MOST,
            f"ms of one core with decoding: whole {plain[0]:.2f}, turned too {plain[1]:.2f},"
            f" box too {plain[2]:.2f}",
        )
    framed = _measured([_framed(path) for path in photos_of(work, "2 megapixels")])
    yield Row(
        "the same, JPEG of 2 megapixels with a border",
        "-",
        f"{framed[2] / framed[0]:.2f}",
        "-",
        f"ms: whole {framed[0]:.2f}, turned too {framed[1]:.2f}, and what is in the box {framed[2]:.2f}",
    )


def photos_of(work: Path, name: str) -> list[Path]:
    return sorted((work / name).glob("*.jpg"))


def _framed(path: Path) -> Path:
    with Image.open(path) as picture:
        framed = ImageOps.expand(picture, round(_BORDER * picture.width), "white")
    target = path.with_suffix(".framed.jpg")
    framed.save(target, "JPEG", quality=90)
    return target


def _measured(paths: list[Path]) -> list[float]:
    done = run([sys.executable, __file__, "--these", *map(str, paths)], env=_ENV, keep=True)
    found: list[float] = json.loads(done.output)
    return found


def _hash(paths: list[str]) -> None:
    """Milliseconds a picture with each of the settings, as JSON."""
    from scanner.hashing import decode
    from scanner.hashing.kinds import build_hashers

    hashers = [build_hashers(("pdq",), chosen)[0] for chosen in SETTINGS]
    contents = [Path(path).read_bytes() for path in paths]
    took: list[list[float]] = [[] for _ in SETTINGS]
    for turn in range(ROUNDS + 1):
        for data in contents:
            for i, hasher in enumerate(hashers):
                start = time.process_time_ns()
                hasher.hashes(decode.open_picture(io.BytesIO(data), "image/jpeg", 1 << 30))
                if turn:  # the first time operators are made
                    took[i].append((time.process_time_ns() - start) / 1e6)
    print(json.dumps([statistics.median(times) for times in took]))


def main() -> None:
    if sys.argv[1:2] == ["--these"]:
        _hash(sys.argv[2:])
        return
    with tempfile.TemporaryDirectory() as folder:
        for row in views(Path(folder)):
            print(row)


if __name__ == "__main__":
    main()
