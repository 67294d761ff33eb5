"""What the name of a view says, and which of several views is told."""

from __future__ import annotations

import pytest

from scanner.model.matches import Match, Sighting
from scanner.model.views import words


@pytest.mark.parametrize(
    ("view", "said"),
    [
        ("full", {"whole"}),
        ("whole", {"whole"}),
        ("grid512.turn90", {"whole", "turned"}),
        ("boxas512", {"box"}),
        ("boxcgrid512", {"box"}),
        ("box.mirror270", {"box", "turned"}),
        ("mid.mirror270", {"whole", "turned"}),
        ("boxmid.turn90", {"box", "turned"}),
        ("frame12.full", {"frame", "whole"}),
        ("preview1.boxfull.mirror", {"preview", "box", "turned"}),
        ("tilt-2full", {"tilt"}),
        ("", {"other"}),
        ("a-plug-in's", {"other"}),
        ("full.turn45", {"other"}),
        ("turn90", {"other"}),
        ("frame1", {"other"}),
    ],
)
def test_a_views_name_is_read_to_its_last_word_or_is_somebody_elses(view: str, said: set[str]) -> None:
    assert words(view) == said


def test_the_nearest_view_is_told_and_of_equal_ones_the_plainest() -> None:
    views = ["preview1.full", "boxfull", "full.mirror", "grid512", "boxfull.turn90"]
    near = Match("pdq", "f", "e", "1", exact=False).seen(
        [Sighting(9, "full", 100, b"9"), *(Sighting(4, view, 50, b"4") for view in views)]
    )
    told = [(m.view, m.distance, m.value, m.views, m.further) for m in near.each_view()]
    assert told == [
        (view, distance, str(distance).encode(), 6, ())
        for view, distance in (
            ("grid512", 4), ("preview1.full", 4), ("boxfull", 4), ("full.mirror", 4), ("boxfull.turn90", 4),
            ("full", 9),
        )
    ]  # fmt: skip


def test_a_view_that_is_near_two_hashes_of_an_entry_counts_once() -> None:
    near = Match("pdq", "f", "e", "1", exact=False).seen(
        [Sighting(9, "full", 80, b"x"), Sighting(2, "full", 80, b"x")]
    )
    assert (near.distance, near.views, near.further) == (2, 1, ())
