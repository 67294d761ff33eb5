"""The law of bands: the first that holds decides, nothing acts beyond them, and nearer is no more lenient."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from scanner.app.terms import terms_of
from scanner.config import Config, FeedConfig
from scanner.config.bands import broken_bands
from scanner.model.feeds import Band, FeedTerms
from scanner.model.hashes import KINDS
from scanner.model.matches import Match, Verdict
from scanner.model.views import WORDS, words
from scanner.response import verdict

KIND = st.sampled_from([k.name for k in KINDS.values() if not k.exact])
VIEW = st.sampled_from(
    [
        "full",
        "grid512.turn90",
        "boxfull",
        "box.mirror",
        "tilt2full",
        "frame1.full",
        "embedded2.boxfull",
        "own",
    ]
)
QUALITY = st.integers(0, 100)
BANDS = st.lists(
    st.fixed_dictionaries(
        {"action": st.sampled_from(["quarantine", "report"])},
        optional={
            "max_distance": st.integers(0, 31),
            "kind": KIND,
            "min_quality": st.sampled_from([0, 50, 70]),
            "views": st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(
                lambda said: tuple(dict.fromkeys(said))
            ),
        },
    ),
    min_size=1,
    max_size=4,
).map(tuple)


def match(kind: str, distance: int, quality: int, view: str) -> Match:
    return Match(kind, "f", "e", "1", distance, view, quality, exact=False, value=bytes(KINDS[kind].size))


def judged(match: Match, terms: FeedTerms) -> Verdict:
    return verdict(match, terms, securing_enabled=True, brake_engaged=False, exception=False)


def holds(band: Band, match: Match) -> bool:
    """As the documentation says it."""
    share = match.distance * 256 if not band.kind else match.distance
    reach = (band.max_distance or 0) * (8 * len(match.value) if not band.kind else 1)
    return (
        band.kind in ("", match.kind)
        and (band.max_distance is None or share <= reach)
        and match.quality >= band.min_quality
        and (band.views is None or words(match.view) <= band.views)
    )


@given(BANDS, KIND, st.integers(0, 40), QUALITY, VIEW)
def test_the_first_band_that_holds_decides_and_beyond_all_it_is_reported(
    bands: tuple[dict[str, object], ...], kind: str, distance: int, quality: int, view: str
) -> None:
    feed = FeedConfig.model_validate(
        {"name": "f", "url": "https://h.example/", "on_match": {"perceptual": bands}}
    )
    terms, near = terms_of(feed), match(kind, distance, quality, view)
    first = next((band for band in terms.bands if holds(band, near)), None)
    found = judged(near, terms)
    assert found.secure == (first is not None and first.secure)
    assert found.secure or "only reported" in found.reason


@given(BANDS, KIND, st.tuples(st.integers(0, 40), st.integers(0, 40)), st.tuples(QUALITY, QUALITY), VIEW)
def test_of_what_the_configuration_lets_pass_the_nearer_and_better_match_is_secured_too(
    bands: tuple[dict[str, object], ...],
    kind: str,
    distances: tuple[int, int],
    qualities: tuple[int, int],
    view: str,
) -> None:
    feed = FeedConfig.model_validate(
        {"name": "f", "url": "https://h.example/", "on_match": {"perceptual": bands}}
    )
    assume(not list(broken_bands(("feeds", 0), feed, Config(feeds=(feed,)))))
    terms = terms_of(feed)
    far = judged(match(kind, max(distances), min(qualities), view), terms)
    near = judged(match(kind, min(distances), max(qualities), view), terms)
    assert near.secure >= far.secure
