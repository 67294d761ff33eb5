"""The quality benchmark counts right, and its transformations do what they are called."""

from __future__ import annotations

import io

import numpy as np
import pytest
from bench.quality.measure import (
    NONE,
    Share,
    extrapolated,
    histogram,
    nearest,
    rate_at,
    threshold_at,
    upper_bound,
    words,
)
from bench.quality.transformations import TRANSFORMATIONS
from PIL import Image
from scipy.stats import binom

BY_NAME = {change.name: change for change in TRANSFORMATIONS}


def after(name: str, picture: Image.Image) -> Image.Image:
    file = BY_NAME[name].apply(picture, np.random.default_rng(1))
    return Image.open(io.BytesIO(file))


@pytest.fixture
def picture() -> Image.Image:
    """Smooth, without symmetry, brightest at the upper right."""
    y, x = np.mgrid[0:300, 0:400]
    red = 120 + 60 * np.sin(x / 40) + 40 * np.cos(y / 30)
    return Image.fromarray(np.stack([red, x / 2, 200 - y / 2], axis=2).astype(np.uint8))


def test_distances_are_those_of_the_nearest_view() -> None:
    random = np.random.default_rng(2)
    for size in (8, 32):
        listed = [random.bytes(size) for _ in range(20)]
        asked = [*listed[3:5], bytes(255 - b for b in listed[7])]
        expected = [
            min(sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True)) for one in asked)
            for other in listed
        ]
        assert nearest(words(asked, size), words(listed, size)).tolist() == expected
        # All bits of the longest kind differ: a sum in bytes would say 0.
        assert nearest(words(asked[2:], size), words(listed[7:8], size)).tolist() == [8 * size]
        assert nearest(words([], size), words(listed[:1], size)).tolist() == [NONE]


def test_a_threshold_keeps_to_its_rate_and_the_next_one_does_not() -> None:
    unrelated = histogram(np.array([40] + [44] * 2 + [60] * 7 + [128] * 990 + [NONE] * 5, dtype=np.uint16))
    assert unrelated.sum() == 1000, "where nothing is compared, nothing is counted"
    assert threshold_at(unrelated, 1000, 0.001) == 43
    assert threshold_at(unrelated, 1000, 0.003) == 59
    assert threshold_at(unrelated, 1000, 0.0005) == 39
    assert rate_at(unrelated, 1000, 43) == 0.001
    assert rate_at(unrelated, 1000, 44) == 0.003


def test_a_rate_too_rare_to_be_seen_is_estimated_from_above() -> None:
    """On distances whose true distribution is known: 256 bits, each one of two."""
    counts = np.random.default_rng(3).multinomial(10_000_000, binom.pmf(np.arange(257), 256, 0.5))
    for distance, most in ((70, 3000), (80, 30)):
        true = binom.cdf(distance, 256, 0.5)
        assert true < extrapolated(counts, 10_000_000, distance) < most * true
    assert extrapolated(counts, 10_000_000, 100) == rate_at(counts, 10_000_000, 100)


def test_intervals_are_wilsons() -> None:
    low, high = Share(81, 263).interval  # the example of R. G. Newcombe, 1998
    assert (round(low, 2), round(high, 2)) == (25.53, 36.62)
    assert Share(0, 10).interval[0] == 0 and round(Share(0, 10).interval[1], 2) == 27.75
    assert Share(10, 10).interval[1] == pytest.approx(100)
    assert Share(0, 0).interval == (0, 100)


def test_bounds_are_those_of_a_poisson_count() -> None:
    assert upper_bound(0, 1000) == pytest.approx(0.003, rel=0.01)
    assert upper_bound(5, 1000) == pytest.approx(10.51e-3, rel=0.01)


def test_each_transformation_is_named_once_and_gives_a_picture_that_is_the_same_each_time(
    picture: Image.Image,
) -> None:
    assert len(BY_NAME) == len(TRANSFORMATIONS)
    for name, change in BY_NAME.items():
        first, again = (change.apply(picture, np.random.default_rng(4)) for _ in range(2))
        assert first == again, name
        with Image.open(io.BytesIO(first)) as found:
            found.load()


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("half size", (200, 150)),
        ("160 px", (160, 120)),
        ("narrowed to 3/4", (300, 300)),
        ("crop 5 %", (360, 270)),
        ("bottom cut 10 %", (400, 270)),
        ("black border 5 %", (440, 340)),
        ("letterbox 1:1", (400, 400)),
        ("letterbox 9:16", (400, 711)),
        ("caption above", (400, 345)),
        ("rotated 2°", (400, 300)),
        ("turned 90°", (300, 400)),
        ("desktop 1080p", (1920, 1080)),
        ("phone", (1080, 2340)),
    ],
)
def test_sizes_are_what_the_names_say(name: str, size: tuple[int, int], picture: Image.Image) -> None:
    assert after(name, picture).size == size


def test_turns_and_borders_leave_the_picture_and_put_it_where_they_say(picture: Image.Image) -> None:
    before = np.asarray(picture, dtype=int)

    def near(found: Image.Image, expected: np.ndarray) -> bool:
        return bool(np.abs(np.asarray(found.convert("RGB"), dtype=int) - expected).mean() < 4)

    assert near(after("mirrored", picture), before[:, ::-1])
    assert near(after("upside down", picture), before[::-1])
    assert near(after("turned 180°", picture), before[::-1, ::-1])
    assert near(after("turned 90°", picture), np.rot90(before))
    assert near(after("crop 10 %", picture), before[30:270, 40:360])
    framed = after("white border 5 %", picture)
    assert near(framed.crop((20, 20, 420, 320)), before)
    assert np.asarray(framed)[:16].min() > 240
    assert not near(after("rotated 3°", picture), before)


def test_light_changes_in_the_direction_that_the_names_say(picture: Image.Image) -> None:
    def mean(name: str) -> float:
        return float(np.asarray(after(name, picture).convert("L")).mean())

    plain = mean("JPEG q85")
    assert mean("gamma 2") < plain < mean("gamma 0.5")
    assert mean("brightness 0.6") == pytest.approx(0.6 * plain, rel=0.05)
    flat = np.asarray(after("contrast 0.6", picture), dtype=float).std()
    assert flat < 0.7 * np.asarray(picture, dtype=float).std()
