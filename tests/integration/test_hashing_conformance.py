"""Each family is its reference's hash, whatever a picture was saved as: median distance 0, at most 8."""

from __future__ import annotations

import importlib
import io
import statistics
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from photographs import photograph
from PIL import Image

from scanner.hashing import decode
from scanner.hashing.operators import GRID, View, operator
from scanner.hashing.pdq import PdqHasher
from scanner.hashing.pdq_numbers import Pdq, luma, qualities_of

pytestmark = pytest.mark.long

NAMES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "ihc.png")
MOST, MEDIAN, LEAST_QUALITY = 8, 0, 50
CONFIDENT = 31  # bits
ORIENTATION = 0x0112  # of EXIF
# What an application does with a picture that says so: as Pillow's ImageOps.exif_transpose has it.
SHOWN = {3: "turn180", 6: "turn90", 8: "turn270", 2: "mirror", 4: "mirror180", 5: "mirror270", 7: "mirror90"}


def reference(pixels: NDArray[np.uint8]) -> tuple[bytes, int]:
    """By pdqhash where it is installed: it has to be compiled. Else by our operator, in 64 bit floats and
    from every pixel, which test_hashing_pdq.py shows to be the same."""
    try:
        library = importlib.import_module("pdqhash")
    except ImportError:
        down, across = (operator(View("full", "direct"), n) for n in pixels.shape[:2])
        summary = down @ luma(pixels).astype(np.float64) @ across.T
        return Pdq().bits(summary), int(qualities_of(summary[None])[0])
    bits, quality = library.compute(pixels)
    return np.packbits(np.asarray(bits, dtype=np.uint8)).tobytes(), int(quality)


def references(picture: Image.Image) -> dict[str, tuple[bytes, int]]:
    """Of the pixels that a plain decoder gives: as they are, and of the grid of the C++ tools."""
    pixels = np.asarray(picture.convert("RGB"))
    height, width = pixels.shape[:2]
    if max(width, height) <= GRID:
        return {"native": reference(pixels)}
    rows, columns = np.arange(GRID) * height // GRID, np.arange(GRID) * width // GRID
    grid = np.ascontiguousarray(pixels[rows][:, columns])
    return {"full": reference(pixels), "grid512": reference(grid)}


def saved(picture: Image.Image, file_format: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, file_format, **options)
    return out.getvalue()


def deep(picture: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)


def rotated(picture: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return saved(picture, "JPEG", quality=90, exif=exif)


# name: (type, bytes of a picture)
INPUTS: dict[str, tuple[str, Callable[[Image.Image], bytes]]] = {
    "baseline": ("image/jpeg", lambda p: saved(p, "JPEG", quality=90)),
    "progressive": ("image/jpeg", lambda p: saved(p, "JPEG", quality=90, progressive=True)),
    "grey": ("image/jpeg", lambda p: saved(p.convert("L"), "JPEG", quality=90)),
    "CMYK": ("image/jpeg", lambda p: saved(p.convert("CMYK"), "JPEG", quality=90)),
    "4:2:0": ("image/jpeg", lambda p: saved(p, "JPEG", quality=85, subsampling="4:2:0")),
    "4:4:4": ("image/jpeg", lambda p: saved(p, "JPEG", quality=85, subsampling="4:4:4")),
    "rotated by EXIF": ("image/jpeg", rotated),
    "16 bit": ("image/png", lambda p: saved(deep(p), "PNG")),
    "palette": ("image/png", lambda p: saved(p.quantize(256), "PNG")),
    "1 bit": ("image/png", lambda p: saved(p.convert("1"), "PNG")),
    "alpha": ("image/png", lambda p: saved(p.convert("RGBA"), "PNG")),
}


def plain(name: str, data: bytes) -> Image.Image:
    """As the references' own way of reading has it; Pillow clips 16 bits instead of scaling them."""
    picture = Image.open(io.BytesIO(data))
    if name == "16 bit":
        return Image.fromarray((np.asarray(picture) // 257).astype(np.uint8))
    return picture


@pytest.mark.parametrize("name", INPUTS)
def test_each_family_is_its_references_hash(name: str) -> None:
    mime, write = INPUTS[name]
    apart: dict[str, list[int]] = {}
    for picture in (photograph(n, side) for n in NAMES for side in (1500, 700, 400)):
        data = write(picture)
        found = {v: h for v, h, _ in PdqHasher().hashes(decode.open_picture(io.BytesIO(data), mime, 10**7))}
        for family, (value, quality) in references(plain(name, data)).items():
            if quality >= LEAST_QUALITY:
                bits = (int.from_bytes(found[family]) ^ int.from_bytes(value)).bit_count()
                apart.setdefault(family, []).append(bits)
    assert apart.keys() == {"full", "grid512", "native"}
    for family, bits in apart.items():
        assert statistics.median(bits) <= MEDIAN, (family, bits)
        assert max(bits) <= MOST, (family, bits)


@pytest.mark.parametrize("orientation", SHOWN)
def test_picture_that_exif_turns_is_found_as_it_is_shown(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    shown = photograph("coffee.png", 1500)
    undo = {
        3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270,
        2: Image.Transpose.FLIP_LEFT_RIGHT, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 7: Image.Transpose.TRANSVERSE,
    }[orientation]  # fmt: skip
    data = saved(shown.transpose(undo), "JPEG", quality=90, exif=exif)
    picture = decode.open_picture(io.BytesIO(data), "image/jpeg", 10**7)
    found = {v: h for v, h, _ in PdqHasher(turned=True).hashes(picture)}
    for family, (value, _) in references(shown).items():
        bits = (int.from_bytes(found[f"mid.{SHOWN[orientation]}"]) ^ int.from_bytes(value)).bit_count()
        assert bits <= CONFIDENT // 2, family
