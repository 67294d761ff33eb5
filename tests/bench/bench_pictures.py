"""From the bytes of a picture to its PDQ of both families: pictures a second of one core, by format and size.

    .venv/bin/python tests/bench/bench_pictures.py [--format NAME]... [--size NAME]... [--rounds N]

Beside ours stand Pillow's full decode with the pdqhash library (which is what `threatexchange` does) and the
limit: the bare decoder, doing as little as any hash needs. The three take turns, picture by picture, in one
process with one thread; time is the thread's processor time.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import Skipped, run
from report import Row, judged

_ENV = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
_MAX_PIXELS = 300_000_000
PICTURES = 3
# 0.05 megapixels is the median picture on the web (HTTP Archive's Web Almanac of 2022), 12 a telephone's.
SIZES = {"12 MP": (4000, 3000), "2 MP": (1632, 1224), "0.05 MP": (248, 186)}
ROUNDS = {"12 MP": 3, "2 MP": 5, "0.05 MP": 15}


@dataclass(frozen=True, slots=True)
class Format:
    """How a format's pictures are made and what is aimed at.

    Attributes:
        mime: the type by content.
        plugin: Pillow's name of the encoder.
        options: of the encoder.
        aims: by size, how many times the throughput of a full decode with pdqhash.
        grain: whether pictures of 12 megapixels have the grain of a sensor.
    """

    mime: str
    plugin: str
    options: dict[str, Any]
    aims: dict[str, float]
    grain: bool = True


_JPEG, _OTHER = {"12 MP": 30.0, "2 MP": 6.0}, {"12 MP": 5.0, "2 MP": 5.0}
FORMATS = {
    "JPEG": Format("image/jpeg", "JPEG", {"quality": 90}, _JPEG),
    "JPEG without grain": Format("image/jpeg", "JPEG", {"quality": 90}, _JPEG, grain=False),
    "progressive JPEG": Format("image/jpeg", "JPEG", {"quality": 90, "progressive": True}, _JPEG),
    "PNG": Format("image/png", "PNG", {}, _OTHER),
    "PNG without grain": Format("image/png", "PNG", {}, _OTHER, grain=False),
    "WebP": Format("image/webp", "WEBP", {"quality": 80, "method": 2}, _OTHER),
    "GIF": Format("image/gif", "GIF", {}, {}),
    "TIFF": Format("image/tiff", "TIFF", {"compression": "tiff_lzw"}, {}),
    "AVIF": Format("image/avif", "AVIF", {"speed": 9}, {}),
    "HEIC": Format("image/heic", "HEIF", {"quality": 60}, {}),
    "JPEG 2000": Format("image/jpx", "JPEG2000", {"quality_mode": "rates", "quality_layers": [15]}, {}),
    "BMP": Format("image/bmp", "BMP", {}, {}),
}


def pictures(work: Path) -> Iterator[Row]:
    """Pictures a second by format and size."""
    from benchmarks import pdqhash_library

    library, env, remark = pdqhash_library(work)
    extras = work / "extras"
    for package in ("simplejpeg", "pillow-heif"):  # the limit of JPEG, and an encoder of HEIC
        options = ["--quiet", "--no-deps", "--target", str(extras)]
        with suppress(Skipped):
            run([sys.executable, "-m", "pip", "install", *options, package])
    paths = os.pathsep.join(filter(None, (env.get("PYTHONPATH", ""), str(extras))))
    for size in SIZES:
        for name in _formats(size):
            command = [sys.executable, __file__, "--json", "--format", name, "--size", size]
            done = run(command, env={**_ENV, "PYTHONPATH": paths}, keep=True)
            for line in done.output.splitlines():
                yield _row(json.loads(line), library, remark)


def _formats(size: str) -> Iterator[str]:
    """Grain is a matter of full size: what is left of it in reduced pictures doesn't count."""
    return (name for name, form in FORMATS.items() if form.grain or size == "12 MP")


def _row(found: dict[str, Any], library: str, remark: str) -> Row:
    what = f"PDQ of {found['size']} {found['format']}, {found['bytes'] / 1e6:.2g} MB"
    if "skipped" in found:
        return Row(what, "-", "", "not measured", found["skipped"])
    ours, theirs, limit = found["ours"], found["full"], found["limit"]
    name = "full decode and pdqhash" if library == "pdqhash" else "full decode and our own operator"
    times = theirs / ours
    measured = f"{1 / ours:,.0f} pictures/s, {times:.1f} times {name}"
    note = (
        f"{ours * 1000:.2f} ms, of them decoding {found['decode'] * 1000:.2f} ms;"
        f" {name} {theirs * 1000:.2f} ms;"
        f" {found['limit_is']} alone {limit * 1000:.2f} ms. {remark}"
    )
    aim = FORMATS[found["format"]].aims.get(found["size"])
    if aim is None:
        return Row(what, "-", measured, "-", note)
    return judged(what, f"at least {aim:.0f} times", measured, times >= aim, note)


# The measuring process


def _photographs(size: str, *, grain: bool) -> Iterator[Any]:
    """Photographs as PIL images, no two of the same size, as in the wild."""
    import materials
    from PIL import Image

    drawn = materials.pictures(SIZES["12 MP"], materials.GRAIN if grain else 0.0)
    for i, data in zip(range(PICTURES), drawn, strict=False):
        picture = Image.open(io.BytesIO(data))
        width, height = SIZES[size][0] - 3 * i, SIZES[size][1] - 2 * i
        if size == "12 MP":
            yield picture.crop((0, 0, width, height))
        else:  # smaller pictures are reduced ones
            yield picture.resize((width, height), Image.Resampling.LANCZOS)


def _encoded(name: str, size: str) -> Iterator[bytes]:
    form = FORMATS[name]
    if form.plugin == "HEIF":
        try:
            import pillow_heif
        except ImportError:
            raise Skipped("no encoder of HEIC could be installed") from None
        for picture in _photographs(size, grain=form.grain):
            out = io.BytesIO()
            pillow_heif.from_pillow(picture).save(out, **form.options)
            yield out.getvalue()
        return
    for picture in _photographs(size, grain=form.grain):
        out = io.BytesIO()
        picture.save(out, form.plugin, **form.options)
        yield out.getvalue()


def _ours(mime: str) -> Callable[[bytes], float]:
    from scanner.hashing import decode
    from scanner.hashing.pdq import PdqHasher

    decode.prepare(_MAX_PIXELS)
    hasher = PdqHasher()

    def hash_one(data: bytes) -> float:
        """Hash it; returns the seconds of decoding."""
        start = time.thread_time()
        picture = decode.open_picture(io.BytesIO(data), mime, _MAX_PIXELS)
        took = time.thread_time() - start
        hasher.hashes(picture)
        return took

    return hash_one


def _full() -> Callable[[bytes], object]:
    import numpy as np
    from PIL import Image

    try:
        import pdqhash
    except ImportError:
        from scanner.hashing.pdq import PdqHasher

        own = PdqHasher()

        def plain(data: bytes) -> object:
            picture = Image.open(io.BytesIO(data))
            picture.load()
            return own.hashes(picture)

        return plain

    def reference(data: bytes) -> object:
        return pdqhash.compute(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))

    return reference


def _limit(name: str) -> tuple[str, Callable[[bytes], object]]:
    """What no hash of a picture of this format can do without, and its name."""
    from PIL import Image

    def pillow(data: bytes) -> object:
        picture = Image.open(io.BytesIO(data))
        if "JPEG" in name and "2000" not in name:
            picture.draft("L", (256, 256))
        return picture.load()

    def inflate(data: bytes) -> object:
        return zlib.decompress(_image_data(data))

    if name.startswith("PNG"):
        return "inflating by zlib", inflate
    if name == "JPEG 2000" or "JPEG" not in name:
        return "Pillow's decoding", pillow
    try:
        import simplejpeg
    except ImportError:
        return "Pillow's decoding at the same scale", pillow

    def bare(data: bytes) -> object:
        return simplejpeg.decode_jpeg(data, "GRAY", fastdct=True, min_height=256, min_width=256, min_factor=1)

    return "libjpeg-turbo at the same scale", bare


def _image_data(png: bytes) -> bytes:
    """The compressed pixels of a PNG."""
    at, parts = 8, []
    while at < len(png):
        length = int.from_bytes(png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            parts.append(png[at + 8 : at + 8 + length])
        at += 12 + length
    return b"".join(parts)


def _measure(name: str, size: str, rounds: int) -> dict[str, Any]:
    """Medians over pictures and rounds, in seconds of processor time."""
    try:
        files = list(_encoded(name, size))
    except Skipped as e:
        return {"format": name, "size": size, "bytes": 0, "skipped": str(e)}
    ours, full, (limit_is, limit) = _ours(FORMATS[name].mime), _full(), _limit(name)
    found: dict[str, list[float]] = {"ours": [], "full": [], "limit": [], "decode": []}
    for _ in range(rounds):
        for data in files:
            start = time.thread_time()
            found["decode"].append(ours(data))
            found["ours"].append(time.thread_time() - start)
            for what, action in (("full", full), ("limit", limit)):
                start = time.thread_time()
                action(data)
                found[what].append(time.thread_time() - start)
    medians = {what: statistics.median(values) for what, values in found.items()}
    mean = sum(map(len, files)) / len(files)
    return {"format": name, "size": size, "bytes": mean, "limit_is": limit_is, **medians}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--format", action="append", choices=list(FORMATS))
    parser.add_argument("--size", action="append", choices=list(SIZES))
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.json and os.environ.get("OPENBLAS_NUM_THREADS") != "1":  # read when numpy is loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **_ENV})
    for size in options.size or SIZES:
        for name in options.format or _formats(size):
            found = _measure(name, size, options.rounds or ROUNDS[size])
            if options.json:
                print(json.dumps(found))
            elif "skipped" not in found:
                row = _row(found, "pdqhash", "")
                print(f"{row.what}: {row.measured} ({row.verdict}). {row.note}", flush=True)


if __name__ == "__main__":
    main()
