"""What is done about a match, and when the brake stops it."""

from __future__ import annotations

import pytest

from scanner.model.feeds import ALL_REPORTED, Band, FeedTerms, Polarity
from scanner.model.matches import Match
from scanner.response import Brake, BrakeLimits, verdict

EXACT = Match("sha256", "police", "#1", "1")
SIMILAR = Match("pdq", "police", "#1", "1", distance=12, exact=False)
TERMS = FeedTerms("police", categories=frozenset({"1", "2"}))


def decide(match: Match = EXACT, terms: FeedTerms = TERMS, **changed: bool) -> bool:
    situation = {"securing_enabled": True, "brake_engaged": False, "exception": False} | changed
    return verdict(match, terms, **situation).secure


@pytest.mark.parametrize("match", [EXACT, SIMILAR])
def test_a_listed_file_is_secured(match: Match) -> None:
    assert decide(match)


@pytest.mark.parametrize(
    "situation", [{"securing_enabled": False}, {"brake_engaged": True}, {"exception": True}]
)
def test_nothing_is_secured_where_something_speaks_against_it(situation: dict[str, bool]) -> None:
    assert not decide(**situation)


@pytest.mark.parametrize(
    ("match", "terms"),
    [
        (EXACT, FeedTerms("police", polarity=Polarity.BENIGN)),
        (EXACT, FeedTerms("police", quarantine_exact=False)),
        (SIMILAR, FeedTerms("police", bands=ALL_REPORTED)),
        (Match("md5", "police", "#1", "3"), TERMS),
        (Match("md5", "police", "#1", ""), FeedTerms("police")),
    ],
)
def test_nothing_is_secured_against_the_terms_of_a_feed(match: Match, terms: FeedTerms) -> None:
    assert not decide(match, terms)


def test_an_entry_of_a_format_without_categories_acts_whatever_categories_are_named() -> None:
    assert decide(Match("md5", "police", "#1", "listed"), TERMS)


BANDS = FeedTerms(
    "police",
    bands=(
        Band(secure=True, max_distance=16, kind="pdq", min_quality=70, views=frozenset({"whole"})),
        Band(secure=False, max_distance=31),
    ),
)


@pytest.mark.parametrize(
    ("distance", "quality", "view", "reason"),
    [
        (16, 70, "full", "listed by a perceptual hash: distance 16, within 16"),
        (24, 99, "full", "distance 24: beyond 16, only reported"),
        (12, 55, "full", "quality 55: below 70, only reported"),
        (12, 99, "full.turn90", "view full.turn90: not among whole, only reported"),
        (40, 99, "full", "distance 40: beyond 16, only reported"),
    ],
)
def test_the_reason_says_which_band_decided_and_by_what(
    distance: int, quality: int, view: str, reason: str
) -> None:
    match = Match("pdq", "police", "#1", "1", distance, view, quality, exact=False)
    found = verdict(match, BANDS, securing_enabled=True, brake_engaged=False, exception=False)
    assert (found.secure, found.reason) == (reason.startswith("listed"), reason)


def test_a_band_without_a_kind_is_as_large_a_share_of_a_shorter_hash() -> None:
    terms = FeedTerms("police", bands=(Band(secure=True, max_distance=16),))
    near = [Match("phash", "police", "#1", "1", n, "whole", exact=False, value=bytes(8)) for n in (4, 5)]
    assert [decide(match, terms) for match in near] == [True, False]
    assert verdict(near[1], terms, securing_enabled=True, brake_engaged=False, exception=False).reason == (
        "distance 5: beyond 4, only reported"
    )


def test_a_kind_that_no_band_secures_says_so() -> None:
    match = Match("phash", "police", "#1", "1", 0, "whole", exact=False, value=bytes(8))
    found = verdict(match, BANDS, securing_enabled=True, brake_engaged=False, exception=False)
    assert found.reason == "kind phash: the band is for pdq, only reported"


def test_the_reason_on_record_is_the_lasting_one_not_the_brake() -> None:
    both = verdict(EXACT, TERMS, securing_enabled=False, brake_engaged=True, exception=False)
    report_only = verdict(EXACT, TERMS, securing_enabled=False, brake_engaged=False, exception=False)
    assert both == report_only


def test_terms_of_another_feed_are_misuse() -> None:
    with pytest.raises(RuntimeError, match="terms of 'other'"):
        decide(EXACT, FeedTerms("other"))


def test_the_brake_engages_beyond_the_largest_number_of_hits_and_stays() -> None:
    brake = Brake(BrakeLimits(max_hits=3, max_share=1.0, share_after=1))
    assert [brake.hit(1_000_000) for _ in range(3)] == [False] * 3
    assert brake.hit(1_000_000)
    assert brake.engaged
    assert brake.hit(10**12)


def test_the_brake_engages_on_an_implausible_share_but_not_on_a_few_first_files() -> None:
    brake = Brake(BrakeLimits(max_hits=1000, max_share=0.1, share_after=5))
    assert [brake.hit(n) for n in (1, 2, 3, 4)] == [False] * 4  # every file a hit, yet only four of them
    assert brake.hit(49)  # 5 of 49 is more than a tenth


def test_the_brake_lets_a_share_at_its_limit_pass() -> None:
    brake = Brake(BrakeLimits(max_hits=1000, max_share=0.1, share_after=5))
    assert not any(brake.hit(50) for _ in range(5))


def test_a_brake_engaged_before_is_engaged_from_the_start() -> None:
    assert Brake(BrakeLimits(10, 1.0, 1), engaged=True).engaged
