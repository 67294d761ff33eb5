"""A large picture is hashed from a reduced one, with the geometry of its full size, whatever format it is in.

Every picture is compared with the full decode of its own file by the exact operators, which equal the
reference (test_hashing_pdq.py), and with the pdqhash library, too, where that is installed.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image

from scanner.hashing import decode, reduction, webp
from scanner.hashing.imagehashes import hasher as image_hasher
from scanner.hashing.operators import View, direct, operator
from scanner.hashing.pdq import PdqHasher

pytestmark = pytest.mark.long

PICTURES = Path(skimage.__file__).parent / "data"
PHOTOGRAPHS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)
MAX_PIXELS = 50_000_000
RELIABLE = 50  # quality from which a hash is compared at all
MEDIAN, MOST = 0, 8  # bits that are aimed at

Change = Callable[[Image.Image], Image.Image]


def photograph(name: str) -> Image.Image:
    """A picture whose shorter side is just long enough for being reduced, and no multiple of anything."""
    picture = Image.open(PICTURES / name).convert("RGB")
    k = 1031 / min(picture.size)
    size = (min(1103, round(picture.width * k)), min(1103, round(picture.height * k)))
    return picture.resize(size, Image.Resampling.BICUBIC)


def sixteen_bits(picture: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)


FORMATS: dict[str, tuple[str, str, Change, dict[str, object]]] = {
    "baseline": ("image/jpeg", "JPEG", Image.Image.copy, {"quality": 85}),
    "progressive": ("image/jpeg", "JPEG", Image.Image.copy, {"quality": 85, "progressive": True}),
    "4:4:4": ("image/jpeg", "JPEG", Image.Image.copy, {"quality": 85, "subsampling": 0}),
    "grayscale": ("image/jpeg", "JPEG", partial(Image.Image.convert, mode="L"), {"quality": 85}),
    "CMYK": ("image/jpeg", "JPEG", partial(Image.Image.convert, mode="CMYK"), {"quality": 85}),
    "RGB PNG": ("image/png", "PNG", Image.Image.copy, {"compress_level": 1}),
    "alpha": ("image/png", "PNG", partial(Image.Image.convert, mode="RGBA"), {"compress_level": 1}),
    "grey alpha": ("image/png", "PNG", partial(Image.Image.convert, mode="LA"), {"compress_level": 1}),
    "palette": ("image/png", "PNG", partial(Image.Image.quantize, colors=256), {"compress_level": 1}),
    "1 bit": ("image/png", "PNG", partial(Image.Image.convert, mode="1"), {}),
    "16 bit": ("image/png", "PNG", sixteen_bits, {"compress_level": 1}),
    "GIF": ("image/gif", "GIF", Image.Image.copy, {}),
    "WebP": ("image/webp", "WEBP", Image.Image.copy, {"quality": 80, "method": 0}),
    "lossless WebP": ("image/webp", "WEBP", Image.Image.copy, {"lossless": True, "method": 0}),
    "BMP": ("image/bmp", "BMP", Image.Image.copy, {}),
    "TIFF": ("image/tiff", "TIFF", Image.Image.copy, {"compression": "tiff_lzw"}),
    "CMYK TIFF": ("image/tiff", "TIFF", partial(Image.Image.convert, mode="CMYK"), {}),
}


def distance(a: bytes, b: bytes) -> int:
    return (int.from_bytes(a) ^ int.from_bytes(b)).bit_count()


def decoded(data: bytes, mime: str, *, reduced: bool = True) -> Image.Image:
    return decode.open_picture(io.BytesIO(data), mime, MAX_PIXELS, reduced=reduced)


@pytest.mark.parametrize("name", FORMATS)
def test_hashes_of_reduced_pictures_are_those_of_the_full_decode(name: str) -> None:
    mime, plugin, change, options = FORMATS[name]
    hasher, distances = PdqHasher(), []
    for photo in PHOTOGRAPHS:
        out = io.BytesIO()
        change(photograph(photo)).save(out, plugin, **options)
        small = decoded(out.getvalue(), mime)
        assert max(small.size) < 600
        found = {view: value for view, value, _ in hasher.hashes(small)}
        for view, value, quality in hasher.hashes(decoded(out.getvalue(), mime, reduced=False)):
            if quality >= RELIABLE:
                distances.append(distance(found[view], value))
    assert len(distances) >= 10
    assert sorted(distances)[len(distances) // 2] <= MEDIAN
    assert max(distances) <= MOST, sorted(distances)


def test_reduced_pictures_have_the_hashes_of_the_pdqhash_library() -> None:
    pdqhash = pytest.importorskip("pdqhash")
    hasher, distances = PdqHasher(), []
    for photo in PHOTOGRAPHS:
        out = io.BytesIO()
        photograph(photo).save(out, "JPEG", quality=85)
        pixels = np.asarray(Image.open(out).convert("RGB"))
        places = [np.arange(512) * side // 512 for side in pixels.shape[:2]]
        families = {"full": pixels, "grid512": np.ascontiguousarray(pixels[np.ix_(*places)])}
        found = {view: value for view, value, _ in hasher.hashes(decoded(out.getvalue(), "image/jpeg"))}
        for view, seen in families.items():
            bits, quality = pdqhash.compute(seen)
            if quality >= RELIABLE:
                distances.append(distance(found[view], np.packbits(bits).tobytes()))
    assert sorted(distances)[len(distances) // 2] <= MEDIAN
    assert max(distances) <= MOST, sorted(distances)


@pytest.mark.parametrize("name", ["baseline", "RGB PNG", "palette", "WebP"])
def test_other_kinds_differ_little_on_reduced_pictures(name: str) -> None:
    mime, plugin, change, options = FORMATS[name]
    for kind, most in (("phash", 2), ("phash256", 4), ("dhash", 2)):
        hasher = image_hasher(kind)
        for photo in PHOTOGRAPHS[:3]:
            out = io.BytesIO()
            change(photograph(photo)).save(out, plugin, **options)
            ((_, small, _),) = hasher.hashes(decoded(out.getvalue(), mime))
            ((_, full, _),) = hasher.hashes(decoded(out.getvalue(), mime, reduced=False))
            assert distance(small, full) <= most


@pytest.mark.parametrize("n", [5, 64, 127, 128, 129, 511, 512, 700, 1025, 4000])
def test_operator_is_the_filter_applied_twice_and_sampled(n: int) -> None:
    window = -(-n // 128)
    half = (window + 2) // 2
    box = np.zeros((n, n))
    for i in range(n):
        taken = slice(max(0, i + half - window), min(n, i + half))
        box[i, taken] = 1 / (taken.stop - taken.start)
    samples = ((np.arange(64) + 0.5) * n / 64).astype(int)
    expected = box[samples] @ box
    assert np.allclose(direct(n), expected, rtol=0, atol=1e-12)
    for scale in (2, 3, 8):
        if n < 8 * scale:
            continue
        blocks = np.add.reduceat(expected, np.arange(0, n, scale), axis=1)
        assert np.allclose(operator(View("full", "direct"), n, scale), blocks, rtol=0, atol=1e-12)
    # Of one brightness stays of it, whichever way a side is looked at.
    for view in (
        View("grid512", "nearest", 512),
        View("as512", "corner", 512),
        View("asbig", "centre", 2000),
    ):
        assert np.allclose(operator(view, n).sum(axis=1), 1)


def test_webp_is_read_by_libwebp_itself_and_only_where_that_is_right() -> None:
    assert webp.available()  # in what Pillow's wheels bring along
    photo, out, small, moving = photograph("coffee.png"), io.BytesIO(), io.BytesIO(), io.BytesIO()
    photo.save(out, "WEBP", method=0)
    out.seek(0)
    picture, size, k = webp.brightness(out, MAX_PIXELS) or pytest.fail("not decoded")
    assert (picture.mode, size, k) == ("L", photo.size, 2)
    expected = np.asarray(Image.open(out).convert("L").reduce(2), dtype=int)
    assert np.abs(np.asarray(picture, dtype=int) - expected).mean() < 1.5
    photo.resize((700, 700)).save(small, "WEBP", method=0)
    photo.save(moving, "WEBP", method=0, save_all=True, append_images=[photo.rotate(90)])
    for stream, most in (
        (small, MAX_PIXELS),  # its colours are kept
        (moving, MAX_PIXELS),
        (out, size[0] * size[1] - 1),
        (io.BytesIO(out.getvalue()[:-1000]), MAX_PIXELS),
        (io.BytesIO(b"RIFF"), MAX_PIXELS),
    ):
        stream.seek(0)
        assert webp.brightness(stream, most) is None
        assert stream.tell() == 0


@pytest.mark.parametrize("size", [(1024, 1027), (4000, 3000), (1733, 16_383)])
def test_grid_is_the_pixels_that_the_reference_looks_at(size: tuple[int, int]) -> None:
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]]
    pixels = ((rows * 7919 + columns * 104_729) % 251).astype(np.uint8)
    places = [np.arange(512) * side // 512 for side in pixels.shape]
    assert (np.asarray(reduction.grid(Image.fromarray(pixels))) == pixels[np.ix_(*places)]).all()


def test_opacity_is_left_out_of_the_means() -> None:
    wide = Image.new("RGBA", (40_000, 1_050), (10, 200, 30, 0))
    small, k = reduction.reduced(wide)
    assert (small.size, small.mode, k) == ((20_000, 525), "L", 2)
    assert small.getextrema() == (124, 124)
