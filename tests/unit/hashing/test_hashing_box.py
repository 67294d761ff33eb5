"""The content box: a picture within borders, bars or a screenshot has the views that it has alone."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import imagehash
import numpy as np
import pytest
from photographs import decoded, photograph
from PIL import Image, ImageDraw

from scanner.hashing import canary
from scanner.hashing.boxes import content_boxes_of
from scanner.hashing.content_box import content_boxes_of_small
from scanner.hashing.imagehashes import hasher as image_hasher
from scanner.hashing.pdq import PdqHasher
from scanner.hashing.view_names import possible

CONFIDENT = 31  # bits
NAMES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")


def pasted(picture: Image.Image, size: tuple[int, int], at: tuple[int, int], colour: object) -> Image.Image:
    whole = Image.new("RGB", size, colour)  # type: ignore[arg-type]
    whole.paste(picture, at)
    return whole


def border(picture: Image.Image, share: float, colour: object = "black") -> Image.Image:
    b = round(share * picture.width)
    return pasted(picture, (picture.width + 2 * b, picture.height + 2 * b), (b, b), colour)


def letterbox(picture: Image.Image) -> Image.Image:
    return pasted(picture, (picture.width, picture.height * 4 // 3), (0, picture.height // 6), "black")


def pillarbox(picture: Image.Image) -> Image.Image:
    return pasted(picture, (picture.width * 3 // 2, picture.height), (picture.width // 4, 0), "black")


def telephone(picture: Image.Image) -> Image.Image:
    """A post in an application: status bar, name, picture, text below, bar for gestures."""
    shown = picture.resize((1080, picture.height * 1080 // picture.width))
    whole = pasted(shown, (1080, 2200), (0, 320), "white")
    draw = ImageDraw.Draw(whole)
    draw.text((40, 20), "12:41", "black", font_size=36)
    draw.rectangle((960, 24, 1040, 56), "black")
    draw.text((140, 140), "somebody   2 h", "black", font_size=40)
    for line in range(5):
        draw.text((40, 360 + shown.height + 60 * line), "words about it, line by line", "black", font_size=36)
    draw.rectangle((390, 2170, 690, 2180), "black")
    return whole


def browser(picture: Image.Image) -> Image.Image:
    """A window: tabs, address, a headline, the picture beside a column of text."""
    shown = picture.resize((900, picture.height * 900 // picture.width))
    whole = pasted(shown, (1600, 1500), (150, 220), "white")
    draw = ImageDraw.Draw(whole)
    draw.rectangle((0, 0, 1600, 44), (222, 225, 230))
    draw.text((60, 8), "A page", "black", font_size=22)
    draw.text((170, 54), "example.org/page", "black", font_size=22)
    draw.text((150, 140), "A headline of the page", "black", font_size=44)
    for line in range(24):
        draw.text((1140, 220 + 40 * line), "text beside it", "black", font_size=26)
    return whole


def caption(picture: Image.Image) -> Image.Image:
    whole = pasted(picture, (picture.width, picture.height + 240), (0, 240), "white")
    ImageDraw.Draw(whole).text((40, 60), "WHEN YOU SEE IT", "black", font_size=96)
    return whole


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "black border of 2 %": lambda p: border(p, 0.02),
    "white border of 5 %": lambda p: border(p, 0.05, "white"),
    "coloured border of 10 %": lambda p: border(p, 0.1, (120, 60, 160)),
    "two frames": lambda p: border(border(p, 0.01, "black"), 0.04, "white"),
    "letterbox": letterbox,
    "pillarbox": pillarbox,
    "telephone": telephone,
    "browser": browser,
    "caption": caption,
}


def farthest_within(listed: Image.Image, altered: Image.Image, **views: bool) -> int:
    """Bits between what is in the boxes and that family of a listed picture which is least well found."""
    found = PdqHasher(box=True, **views).hashes(decoded(altered))
    within = [int.from_bytes(value) for view, value, _ in found if view.startswith("box")]
    assert within, "no box was found"
    assert all(possible("pdq", view) for view, _, _ in found)
    assert not [view for view, _, _ in found if view.startswith(("boxb", "boxc")) and "." in view]
    wanted = [int.from_bytes(value) for _, value, _ in PdqHasher().hashes(listed)]
    return max(min((value ^ other).bit_count() for other in within) for value in wanted)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", CHANGES)
def test_picture_is_found_within_what_was_put_around_it(name: str, change: str) -> None:
    original = photograph(name, 1400)
    assert farthest_within(original, CHANGES[change](original)) <= CONFIDENT


@pytest.mark.parametrize("name", NAMES)
def test_picture_that_fills_the_whole_has_no_box(name: str) -> None:
    assert content_boxes_of(decoded(photograph(name, 1200))) == ()


def dark_below(picture: Image.Image) -> Image.Image:
    """Its lowest tenth is as black as a bar, but for a lamp."""
    changed = picture.copy()
    width, height = picture.size
    changed.paste("black", (0, height * 9 // 10, width, height))
    changed.paste("white", (width // 2, height * 19 // 20, width // 2 + 30, height * 19 // 20 + 20))
    return changed


def bright_above(picture: Image.Image) -> Image.Image:
    """Its upper third is a sky without a cloud, nearly white."""
    changed = picture.copy()
    changed.paste((244, 244, 244), (0, 0, picture.width, picture.height // 3))
    return changed


def striped(picture: Image.Image) -> Image.Image:
    """A flat band of another colour, with sharp edges, goes across its upper third."""
    changed = picture.copy()
    changed.paste((200, 180, 90), (0, picture.height // 4, picture.width, picture.height // 3))
    return changed


AMBIGUOUS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "dark edge on black bars": lambda p: letterbox(dark_below(p)),
    "dark edge in a black frame": lambda p: border(dark_below(p), 0.05),
    "bright edge below a white caption": lambda p: caption(bright_above(p)),
    "bright edge in an application": lambda p: telephone(bright_above(p)),
    "flat band within": lambda p: letterbox(striped(p)),
}
ALTERED = {
    "dark edge on black bars": dark_below,
    "dark edge in a black frame": dark_below,
    "bright edge below a white caption": bright_above,
    "bright edge in an application": bright_above,
    "flat band within": striped,
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", AMBIGUOUS)
def test_picture_is_found_though_its_own_edge_is_like_the_border(name: str, change: str) -> None:
    original = photograph(name, 1400)
    listed, altered = ALTERED[change](original), AMBIGUOUS[change](original)
    assert farthest_within(listed, altered, turned=True) <= CONFIDENT


def test_flat_sky_over_a_skyline_is_no_border() -> None:
    rng = np.random.default_rng(1)
    pixels = np.full((400, 600), 250, dtype=np.uint8)
    for x, top in enumerate(200 - np.abs(np.arange(-300, 300)) // 2):
        pixels[top:, x] = rng.integers(20, 180, 400 - top)
    assert content_boxes_of(Image.fromarray(pixels)) == ()


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("side", ["left", "top", "right", "bottom"])
def test_bar_at_one_side_alone_is_cut_off(mode: str, side: str) -> None:
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)
    bar, whole = 40, (slice(None), slice(None))
    at = {"left": (whole[0], slice(bar)), "right": (whole[0], slice(400 - bar, None)),
          "top": (slice(bar), whole[1]), "bottom": (slice(300 - bar, None), whole[1])}[side]  # fmt: skip
    pixels[at] = (30, 90, 160)
    (box,) = content_boxes_of(Image.fromarray(pixels).convert(mode))
    expected = {"left": (bar, 0, 400, 300), "right": (0, 0, 400 - bar, 300),
                "top": (0, bar, 400, 300), "bottom": (0, 0, 400, 300 - bar)}[side]  # fmt: skip
    assert (box.left, box.top, box.right, box.bottom) == expected


def test_canaries_are_cut_as_pictures_are() -> None:
    """The process that makes them looks at all pixels, workers at few first: they have to agree."""
    for _ in range(300):
        pixels = canary._pixels(64, 50)
        if secrets.randbelow(2):
            canary._frame(pixels)
        assert content_boxes_of(Image.fromarray(pixels)) == content_boxes_of_small(canary._grey(pixels))


@pytest.mark.parametrize("colour", [0, 255])
def test_nothing_but_one_colour_has_no_box(colour: int) -> None:
    assert content_boxes_of(Image.new("L", (300, 200), colour)) == ()
    assert content_boxes_of(Image.new("RGB", (3, 1), (colour,) * 3)) == ()


def test_mirrored_picture_with_a_border_is_found_by_a_turned_view_of_the_box() -> None:
    original = photograph("chelsea.png", 1400)
    mirrored = border(original.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 0.05, "white")
    found = {v: h for v, h, _ in PdqHasher(turned=True, box=True).hashes(decoded(mirrored))}
    for value in (value for _, value, _ in PdqHasher().hashes(original)):
        apart = (int.from_bytes(found["boxmid.mirror"]) ^ int.from_bytes(value)).bit_count()
        assert apart <= CONFIDENT


@pytest.mark.parametrize("kind", ["phash", "phash256", "dhash"])
def test_other_kinds_have_the_views_of_the_box_and_of_turned_pictures(kind: str) -> None:
    reference = {
        "phash": imagehash.phash,
        "phash256": lambda p: imagehash.phash(p, hash_size=16),
        "dhash": imagehash.dhash,
    }[kind]
    original = photograph("coffee.png", 700)
    turned = decoded(border(original.transpose(Image.Transpose.ROTATE_90), 0.1, "white"))
    found = {v: h for v, h, _ in image_hasher(kind, turned=True, box=True).hashes(turned)}
    assert len(found) == 16
    listed = int(str(reference(original)), 16)
    near = (int.from_bytes(found["box.turn90"]) ^ listed).bit_count()  # turned left, so to be turned right
    assert near <= {"phash": 6, "phash256": 24, "dhash": 4}[kind]
