"""PDQ equals the reference, finds altered copies, and sees a picture the same in every format and mode."""

from __future__ import annotations

import io
from pathlib import Path

import imagehash
import numpy as np
import pytest
import skimage
from PIL import Image

from scanner.hashing import decode
from scanner.hashing.imagehashes import hasher as image_hasher
from scanner.hashing.operators import OperatorCache, View
from scanner.hashing.pdq import PdqHasher

PICTURES = Path(skimage.__file__).parent / "data"
MAX_PIXELS = 10_000_000
CONFIDENT = 31  # bits

# Made with pdqhash 0.2.8 (Meta's C++ code) from the decoded RGB pixels; "grid512" from the same pixels after
# picking row floor(i*height/512) and column floor(j*width/512), which is what the C++ tools' resize does.
ORACLE = [
    ("astronaut.png", "native", "2d6b1af3a956c529e79ca3d2526fa834d4196c81cedd04de0a26b855fc99b724"),
    ("chelsea.png", "native", "5feb5321f01da156898e2bf629a5d3438412cdbd23f48942464526315db33ffd"),
    ("coffee.png", "full", "8c629e779a663698b9a33866c026726c21a679f61eb6e1f8c79ba7e23c8299e0"),
    ("coffee.png", "grid512", "88629e779a663698f9833866c027727c21a679f61eb6e1f8c79b27e27c0299e0"),
    ("motorcycle_left.png", "full", "e0c9cfdb78d358d68a58ec54e94ba55937525b67508a0b87ad64fc6b4631c470"),
    ("motorcycle_left.png", "grid512", "e0c9cfdb78d338d68a58ec54e94ba55937525b67508a0b87ad64fc6b4631c470"),
]
# The same for pixels that `drawn` makes, so that they depend on no decoder.
DRAWN_ORACLE = [
    (640, 480, "full", "b6338d2ca96ba552a3dc2ab9aab3a2a64a2d2a8dd6b3556a592cc47ab796185c"),
    (640, 480, "grid512", "b6338d6ca96ba552a3dc2ab9aab3a2a65a2d1a8dd6b3554a592c847ab796185c"),
    (300, 200, "native", "a6d2a9af69485e7354ce55909525ad4b2a5caa95a6b6aaac5949c57a95d6585c"),
    (1601, 997, "full", "a271aab3616ea422a2e61aac2269e7ab2b797b86eef2514ead2cc47a9792385c"),
    (1601, 997, "grid512", "aa73aab3616ee42222e61aac2269e7ab2b797b86aef2514ead2cc47a9592385c"),
]


def drawn(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    red = (x * 255 // width + (y * y // height) % 97 * 2) % 256
    green = ((x // (width // 7)) * 37 + (y // (height // 5)) * 53) % 256
    blue = ((x - width // 3) ** 2 // width + (y - height // 2) ** 2 // height) % 256
    return Image.fromarray(np.stack([red, green, blue], -1).astype(np.uint8))


def photograph(name: str = "astronaut.png", long_side: int = 0) -> Image.Image:
    picture = Image.open(PICTURES / name).convert("RGB")
    if long_side:
        k = long_side / max(picture.size)
        picture = picture.resize(
            (round(picture.width * k), round(picture.height * k)), Image.Resampling.BICUBIC
        )
    return picture


def saved(picture: Image.Image, file_format: str = "JPEG", **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, file_format, **options)
    return out.getvalue()


def decoded(data: bytes, mime: str = "image/jpeg", *, reduced: bool = True) -> Image.Image:
    return decode.open_picture(io.BytesIO(data), mime, MAX_PIXELS, reduced=reduced)


def pdq(picture: Image.Image) -> dict[str, bytes]:
    return {view: value for view, value, _ in PdqHasher().hashes(picture)}


def distance(a: bytes, b: bytes) -> int:
    return (int.from_bytes(a) ^ int.from_bytes(b)).bit_count()


def nearest(query: dict[str, bytes], listed: bytes) -> int:
    return min(distance(value, listed) for value in query.values())


@pytest.mark.parametrize(("name", "view", "expected"), ORACLE)
def test_hash_of_a_photograph_is_the_reference_hash(name: str, view: str, expected: str) -> None:
    with (PICTURES / name).open("rb") as f:
        assert pdq(decode.open_picture(f, "image/png", MAX_PIXELS))[view].hex() == expected


@pytest.mark.parametrize(("width", "height", "view", "expected"), DRAWN_ORACLE)
def test_hash_of_drawn_pixels_is_the_reference_hash(
    width: int, height: int, view: str, expected: str
) -> None:
    assert pdq(drawn(width, height))[view].hex() == expected


def test_large_picture_has_both_families_and_small_one_is_seen_as_a_thumbnail() -> None:
    assert set(pdq(photograph(long_side=513))) == {"full", "grid512"}
    assert set(pdq(photograph(long_side=512))) == {"native", "as512", "asbig"}


@pytest.mark.parametrize("name", ["astronaut.png", "coffee.png", "rocket.jpg", "ihc.png"])
def test_jpeg_decoded_at_a_fraction_has_the_hash_of_its_full_size(name: str) -> None:
    data = saved(photograph(name, long_side=2400), quality=90)
    reduced, full = decoded(data), decoded(data, reduced=False)
    assert reduced.width < full.width == 2400
    for view, value in pdq(full).items():
        assert distance(pdq(reduced)[view], value) <= 6  # measured on 64 photographs: at most 6


@pytest.mark.parametrize(
    "name", ["astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg", "motorcycle_left.png"]
)
@pytest.mark.parametrize("family", ["full", "grid512"])
def test_recompressed_and_resized_copies_are_found_in_lists_of_either_family(name: str, family: str) -> None:
    original = photograph(name, long_side=1600)
    listed = pdq(original)[family]
    for quality in (85, 50, 20):
        assert nearest(pdq(decoded(saved(original, quality=quality))), listed) <= CONFIDENT
    for long_side in (800, 512, 320, 200):
        assert nearest(pdq(decoded(saved(photograph(name, long_side), quality=85))), listed) <= CONFIDENT


def test_unrelated_photographs_are_far_apart() -> None:
    a, b = pdq(photograph("astronaut.png", 600)), pdq(photograph("coffee.png", 600))
    assert nearest(a, b["full"]) > 80


def test_featureless_picture_has_no_quality_and_a_pixel_no_hash() -> None:
    assert {quality for _, _, quality in PdqHasher().hashes(Image.new("L", (600, 600), 128))} == {0}
    assert PdqHasher().hashes(Image.new("RGB", (1, 1))) == ()


def test_size_in_a_files_own_text_is_not_believed() -> None:
    out = io.BytesIO()
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("hostsweep:original-size", "9 9")
    photograph().save(out, "PNG", pnginfo=text)
    assert pdq(decoded(out.getvalue(), "image/png")) == pdq(photograph())


def grey(picture: Image.Image, dtype: type[np.number], scale: float) -> Image.Image:
    return Image.fromarray(np.asarray(picture.convert("L")).astype(dtype) * scale)


MODES = {
    "palette GIF": ("GIF", "image/gif", lambda p: p.quantize(256), 10),
    "palette PNG": ("PNG", "image/png", lambda p: p.quantize(256), 10),
    "CMYK JPEG": ("JPEG", "image/jpeg", lambda p: p.convert("CMYK"), 6),
    "grey JPEG": ("JPEG", "image/jpeg", lambda p: p.convert("L"), 4),
    "alpha PNG": ("PNG", "image/png", lambda p: p.convert("RGBA"), 0),
    "grey alpha PNG": ("PNG", "image/png", lambda p: p.convert("LA"), 2),
    "16 bit PNG": ("PNG", "image/png", lambda p: grey(p, np.uint16, 257), 2),
    "32 bit TIFF": ("TIFF", "image/tiff", lambda p: grey(p, np.int32, 257), 2),
    "float TIFF": ("TIFF", "image/tiff", lambda p: grey(p, np.float32, np.float32(1 / 255)), 4),
    "LAB TIFF": ("TIFF", "image/tiff", None, 20),
    "1 bit PNG": ("PNG", "image/png", lambda p: p.convert("1"), 20),
    "WebP": ("WEBP", "image/webp", lambda p: p, 6),
    "BMP": ("BMP", "image/bmp", lambda p: p, 0),
    "JPEG 2000": ("JPEG2000", "image/jpx", lambda p: p, 2),
    "AVIF": ("AVIF", "image/avif", lambda p: p, 8),
    "PPM": ("PPM", "image/x-portable-anymap", lambda p: p, 0),
}  # fmt: skip


def lab(picture: Image.Image) -> Image.Image:
    from PIL import ImageCms

    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.profileToProfile(picture, *profiles, outputMode="LAB")


@pytest.mark.parametrize("name", MODES)
def test_every_format_and_mode_shows_the_same_picture(name: str) -> None:
    file_format, mime, change, tolerance = MODES[name]
    original = photograph("chelsea.png", 600)
    data = saved((change or lab)(original), file_format)
    assert distance(pdq(decoded(data, mime))["full"], pdq(original)["full"]) <= tolerance


def test_only_the_first_frame_of_an_animation_counts() -> None:
    first, second = photograph("coffee.png", 300), photograph("chelsea.png", 300)
    data = saved(first, "GIF", save_all=True, append_images=[second.resize(first.size)])
    assert distance(pdq(decoded(data, "image/gif"))["native"], pdq(first)["native"]) <= 10


@pytest.mark.parametrize("name", ["astronaut.png", "coffee.png"])
def test_phash_of_both_lengths_and_dhash_are_those_of_imagehash(name: str) -> None:
    picture = photograph(name)
    references = {
        "phash": imagehash.phash,
        "phash256": lambda picture: imagehash.phash(picture, hash_size=16),
        "dhash": imagehash.dhash,
    }
    for kind, reference in references.items():
        hasher = image_hasher(kind)
        ((_, value, quality),) = hasher.hashes(picture)
        assert (value.hex(), quality) == (str(reference(picture)), 100)
        data = saved(photograph(name, 2400), quality=90)
        ((_, reduced, _),) = hasher.hashes(decoded(data))
        assert distance(reduced, value) <= 2


def test_operator_cache_stays_within_its_limit() -> None:
    cache = OperatorCache(limit=1 << 20)
    view = (View("full", "direct"),)
    for n in range(2000, 12000, 250):
        cache.stack(view, n, 1)
    assert cache.held <= 1 << 20
    assert cache.stack(view, 11750, 1) is cache.stack(view, 11750, 1)
    assert cache.stack(view, 2000, 1) is not cache.stack(view, 2000, 2)
