"""Pictures that were tilted, cropped or framed: found by the view that undoes it, and by no view without."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photographs import decoded, photograph
from PIL import Image, ImageOps

from scanner.hashing.kinds import build_hashers
from scanner.hashing.pdq import PdqHasher
from scanner.hashing.pdq_numbers import Pdq
from scanner.hashing.view_names import possible
from scanner.hashing.warps import WARPS, warps_of
from scanner.model.hashes import VIEWS
from scanner.model.views import words

CONFIDENT = 31  # bits
NAMES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
ALL = warps_of(VIEWS)


def tilted(picture: Image.Image, degrees: float) -> Image.Image:
    """Turned clockwise, with black corners, as most programs do."""
    return picture.rotate(-degrees, Image.Resampling.BICUBIC)


def straightened(picture: Image.Image, degrees: float) -> Image.Image:
    """Turned clockwise and cut to what has no corners, in the same proportions."""
    width, height = picture.size
    angle = math.radians(abs(degrees))
    across, down = (
        width * math.cos(angle) + height * math.sin(angle),
        height * math.cos(angle) + width * math.sin(angle),
    )
    return cropped(tilted(picture, degrees), (1 - min(width / across, height / down)) / 2)


def cropped(picture: Image.Image, share: float) -> Image.Image:
    x, y = share * picture.width, share * picture.height
    return picture.crop((round(x), round(y), round(picture.width - x), round(picture.height - y)))


def framed(picture: Image.Image, share: float) -> Image.Image:
    x, y = round(share * picture.width), round(share * picture.height)
    return ImageOps.expand(picture, (x, y, x, y), "gray")


def distance(a: bytes, b: bytes) -> int:
    return (int.from_bytes(a) ^ int.from_bytes(b)).bit_count()


CHANGES: dict[str, tuple[str, Callable[[Image.Image], Image.Image]]] = {
    "tilted by 1": ("tiltm1", lambda p: tilted(p, 1)),
    "tilted by 2": ("tiltm2", lambda p: tilted(p, 2)),
    "tilted by -2": ("tiltp2", lambda p: tilted(p, -2)),
    "tilted by 3": ("tiltm3", lambda p: tilted(p, 3)),
    "straightened by 1": ("tiltm1cut", lambda p: straightened(p, 1)),
    "straightened by -1": ("tiltp1cut", lambda p: straightened(p, -1)),
    "without 1 %": ("wide1", lambda p: cropped(p, 0.01)),
    "without 2 %": ("wide2", lambda p: cropped(p, 0.02)),
    "framed by 2 %": ("crop2", lambda p: framed(p, 0.02)),
    "framed by 5 %": ("crop5", lambda p: framed(p, 0.05)),
}


@pytest.mark.parametrize("long_side", [1600, 420])
@pytest.mark.parametrize("name", NAMES)
def test_changed_picture_is_found_in_lists_of_all_families(name: str, long_side: int) -> None:
    original = photograph(name, long_side)
    listed = [value for _, value, _ in PdqHasher().hashes(original)]
    hasher = PdqHasher(warps=ALL)
    missed = {}
    for change, (view, make) in CHANGES.items():
        found = {v: value for v, value, _ in hasher.hashes(decoded(make(original)))}
        furthest = max(distance(found[view], one) for one in listed)
        if furthest > CONFIDENT:
            missed[change] = (view, furthest)
    assert missed == {}


@pytest.mark.parametrize("name", ["astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png"])
def test_straightened_picture_is_found_though_what_was_cut_off_can_only_be_guessed(name: str) -> None:
    original = photograph(name, 1000)
    found = {v: h for v, h, _ in PdqHasher(warps=ALL).hashes(decoded(straightened(original, -2)))}
    for _, value, _ in PdqHasher().hashes(original):
        assert distance(found["tiltp2cut"], value) <= CONFIDENT
        assert distance(found["full"], value) > CONFIDENT


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(40, 900), st.integers(40, 900))
def test_asking_for_them_changes_no_other_view_and_each_is_named(seed: int, width: int, height: int) -> None:
    knots = np.random.default_rng(seed).integers(0, 256, (20, 20), dtype=np.uint8)
    plane = np.asarray(Image.fromarray(knots).resize((width, height), Image.Resampling.BICUBIC), np.float32)
    size, strips = (width, height), ((0, plane[: height // 3]), (height // 3, plane[height // 3 :]))
    plain = {view: value for view, value, _ in Pdq(turned=True).hashes(size, strips)}
    more = {view: value for view, value, _ in Pdq(turned=True, warps=ALL).hashes(size, strips)}
    assert more.keys() - plain.keys() == {warp.name for warp in ALL}
    assert all(distance(more[view], value) <= 2 for view, value in plain.items())  # rounding of sums
    within = Pdq(turned=True, warps=ALL).hashes(size, strips, box=True)
    assert {view for view, _, _ in within} == plain.keys()


def test_each_setting_brings_its_views_to_pdq_alone_and_under_names_that_are_understood() -> None:
    picture = photograph("coffee.png", 600)
    for setting, warps in WARPS.items():
        pdq, phash = build_hashers(("pdq", "phash"), ("whole", setting))
        brought = {view for view, _, _ in pdq.hashes(picture)} - {"full", "grid512"}
        assert brought == {warp.name for warp in warps}
        assert all(possible("pdq", name) and words(name) == {name[:4]} for name in brought)
        assert [view for view, _, _ in phash.hashes(picture)] == ["whole"]


@pytest.mark.parametrize("size", [(5, 5), (5, 20_000), (30_000, 6), (64, 3000)])
def test_longest_and_smallest_pictures_have_all_views(size: tuple[int, int]) -> None:
    plane = np.random.default_rng(1).uniform(0, 255, size[::-1]).astype(np.float32)
    found = {view for view, _, _ in Pdq(warps=ALL).hashes(size, [(0, plane)])}
    assert found >= {warp.name for warp in ALL}
