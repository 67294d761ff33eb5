"""Which entries a file matches: terms, categories, vetoes, thresholds, order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scanner.index import (
    MAX_MATCHES,
    Index,
    ListKey,
    OpenFeed,
    Origin,
    Snapshot,
    SnapshotBuilder,
    Threshold,
)
from scanner.model.feeds import LISTED, About, Entry, FeedTerms, Polarity
from scanner.model.hashes import Digests, HashKind, PerceptualHash
from scanner.model.matches import Match, Sighting

LIMITS = {"pdq": Threshold(31, 50)}
PICTURE = hashlib.sha256(b"a picture").digest()
Feeds = Callable[..., OpenFeed]


class FixedClock:
    def __init__(self, now: int) -> None:
        self.now = now

    def now_ns(self) -> int:
        return self.now


def exact_of(content: bytes) -> dict[str, bytes]:
    return {kind: hashlib.new(kind, content).digest() for kind in ("md5", "sha1", "sha256")}


def listed(content: bytes, *kinds: str, id: str = "", category: str = LISTED) -> Entry:
    return Entry(tuple((kind, exact_of(content)[kind]) for kind in kinds), id, category)


def file(content: bytes = b"x", *views: PerceptualHash) -> Digests:
    return Digests(len(content), "image/png", exact_of(content), views)


def flipped(value: bytes, bits: int) -> bytes:
    """The value with this many bits changed, spread over all of it."""
    number = int.from_bytes(value, "big")
    for i in range(bits):
        number ^= 1 << (i * 7 % (8 * len(value)))
    return number.to_bytes(len(value), "big")


@pytest.fixture
def feed(tmp_path: Path) -> Feeds:
    """Builds a feed's snapshot and opens it."""

    def make(name: str, entries: list[Entry], **options: Any) -> OpenFeed:
        terms = {k: options.pop(k) for k in ("polarity", "categories") if k in options}
        defaults = options.pop("default_categories", None)
        builder = SnapshotBuilder(**options)
        for entry in entries:
            builder.add(entry)
        meta: Origin = {"feed": name, "format": "test", "built_ns": 1, "default_categories": defaults}
        builder.finish(tmp_path / name, meta=meta)
        key = options.get("key")
        return OpenFeed(FeedTerms(name, **terms), Snapshot.open(tmp_path / name, key=key))

    return make


def found(matches: tuple[Match, ...]) -> list[tuple[str, str, str, int]]:
    return [(m.feed, m.kind, m.entry, m.distance) for m in matches]


def test_exact_comes_before_perceptual_then_strength_then_distance_then_feed(feed: Feeds) -> None:
    def near(bits: int, id: str) -> Entry:
        return Entry((("pdq", flipped(PICTURE, bits)),), id)

    first = feed(
        "first", [near(9, "p9"), near(3, "p3"), listed(b"x", "md5", id="m"), listed(b"x", "sha1", id="s")]
    )
    second = feed("second", [near(3, "q3"), listed(b"x", "sha256", id="z"), listed(b"x", "md5", id="n")])
    picture = file(b"x", PerceptualHash("pdq", "full", PICTURE, 90))
    assert found(Index([first, second], LIMITS).match(picture)) == [
        ("second", "sha256", "z", 0),
        ("first", "sha1", "s", 0),
        ("first", "md5", "m", 0),
        ("second", "md5", "n", 0),
        ("first", "pdq", "p3", 3),
        ("second", "pdq", "q3", 3),
        ("first", "pdq", "p9", 9),
    ]


def test_an_entry_is_named_once_by_its_strongest_digest_and_its_nearest_view(feed: Feeds) -> None:
    entry = listed(b"x", "md5", "sha256", "sha1", id="e", category="1")
    both = replace(entry, hashes=(*entry.hashes, ("pdq", PICTURE), ("pdq", flipped(PICTURE, 20))))
    views = (
        PerceptualHash("pdq", "full", flipped(PICTURE, 8), 80),
        PerceptualHash("pdq", "grid512", flipped(PICTURE, 4), 70),
    )
    near, far = (Sighting(n, p.view, p.quality, p.value) for n, p in ((4, views[1]), (8, views[0])))
    assert Index([feed("f", [both])], LIMITS).match(file(b"x", *views)) == (
        Match("sha256", "f", "e", "1"),
        Match(
            "pdq", "f", "e", "1", 4, "grid512", 70,
            exact=False, value=near.value, views=2, further=(far,),
        ),
    )  # fmt: skip


def test_the_threshold_is_inclusive_and_a_poor_picture_is_not_compared(feed: Feeds) -> None:
    index = Index([feed("f", [Entry((("pdq", PICTURE),))])], LIMITS)

    def distances(bits: int, quality: int) -> list[int]:
        view = PerceptualHash("pdq", "full", flipped(PICTURE, bits), quality)
        return [m.distance for m in index.match(file(b"x", view))]

    assert (distances(31, 50), distances(32, 50), distances(0, 49)) == ([31], [], [])


def test_a_kind_without_a_threshold_has_the_default_and_an_unknown_one_is_refused(feed: Feeds) -> None:
    index = Index([feed("f", [Entry((("phash", bytes(8)),))])], {})
    assert index.thresholds["phash"] == Threshold(6, 20)
    assert index.match(file(b"x", PerceptualHash("phash", "full", flipped(bytes(8), 6), 100)))
    assert not index.match(file(b"x", PerceptualHash("phash", "full", flipped(bytes(8), 7), 100)))
    odd = feed("odd", [Entry((("odd", bytes(4)),))], kinds={"odd": HashKind("odd", 4, exact=False)})
    with pytest.raises(RuntimeError, match="no threshold for odd"):
        Index([odd], LIMITS)


CATEGORIES = ["0x", "", "1", "2", "3", LISTED]


@pytest.mark.parametrize(
    ("terms", "defaults", "acting"),
    [
        (None, None, {"0x", "1", "2", "3", LISTED}),
        (None, frozenset({"1", "2"}), {"1", "2", LISTED}),
        (frozenset({"3"}), frozenset({"1", "2"}), {"3", LISTED}),
        (frozenset({"", "1"}), None, {"1", LISTED}),
        (frozenset({"9"}), None, {LISTED}),
    ],
)
def test_only_the_categories_that_act_match(
    feed: Feeds, terms: frozenset[str] | None, defaults: frozenset[str] | None, acting: set[str]
) -> None:
    entries = [listed(b"x", "sha1", category=c) for c in CATEGORIES]
    entries += [Entry((("pdq", PICTURE),), category=c) for c in CATEGORIES]
    opened = feed("f", entries, default_categories=defaults, categories=terms)
    index = Index([opened], LIMITS)
    matches = index.match(file(b"x", PerceptualHash("pdq", "full", PICTURE, 90)))
    for kind in ("sha1", "pdq"):
        assert {m.category for m in matches if m.kind == kind} == acting
        assert index.acting["f"][kind] == len(acting)


def test_a_default_handed_in_goes_before_the_snapshots_own(feed: Feeds) -> None:
    entries = [listed(b"x", "sha1", category=c) for c in "12"]
    opened = feed("f", entries, default_categories=frozenset({"1"}))
    handed = replace(opened, default_categories=frozenset({"2"}))
    assert [m.category for m in Index([opened], {}).match(file())] == ["1"]
    assert [m.category for m in Index([handed], {}).match(file())] == ["2"]


@pytest.mark.parametrize("category", ["", "0", "7", LISTED])
def test_a_file_that_a_benign_feed_lists_matches_nothing_at_all(feed: Feeds, category: str) -> None:
    illegal = feed("police", [listed(b"x", "md5"), listed(b"y", "md5"), Entry((("pdq", PICTURE),))])
    good = feed(
        "nsrl",
        [listed(b"x", "sha256", category=category), Entry((("pdq", PICTURE),))],
        polarity=Polarity.BENIGN,
        default_categories=frozenset({"1"}),
    )
    index = Index([good, illegal], LIMITS)
    view = PerceptualHash("pdq", "full", PICTURE, 90)
    assert index.match(file(b"x", view)) == ()
    # Known good is what is equal, not what looks alike.
    assert found(index.match(file(b"y", view))) == [("police", "md5", "#2", 0), ("police", "pdq", "#3", 0)]


def test_a_benign_feed_held_to_categories_vetoes_by_these_only(feed: Feeds) -> None:
    illegal = feed("police", [listed(b"x", "md5"), listed(b"y", "md5")])
    entries = [listed(b"x", "sha1", category="1"), listed(b"y", "sha1", category="2")]
    good = feed("good", entries, polarity=Polarity.BENIGN, categories=frozenset({"1"}))
    index = Index([illegal, good], LIMITS)
    assert not index.match(file(b"x")) and index.match(file(b"y"))


def test_a_benign_feed_alone_matches_nothing(feed: Feeds) -> None:
    good = feed("good", [listed(b"x", "sha1")], polarity=Polarity.BENIGN)
    assert Index([good], LIMITS).match(file(b"x")) == ()


def test_a_list_of_look_alikes_names_the_nearest_only_and_keeps_other_feeds(feed: Feeds) -> None:
    alike = [Entry((("pdq", flipped(PICTURE, n % 20)),), f"{n % 20}-{n}") for n in range(3 * MAX_MATCHES)]
    first = feed("first", [*alike, *[listed(b"x", "md5")] * (2 * MAX_MATCHES)])
    second = feed("second", [Entry((("pdq", flipped(PICTURE, 30)),))])
    matches = Index([first, second], LIMITS).match(file(b"x", PerceptualHash("pdq", "full", PICTURE, 90)))
    of_first = [m.distance for m in matches if m.feed == "first" and m.kind == "pdq"]
    assert of_first == sorted(n % 20 for n in range(3 * MAX_MATCHES))[:MAX_MATCHES]
    assert sum(m.kind == "md5" for m in matches) == MAX_MATCHES
    assert matches[-1].feed == "second"


def test_the_id_changes_with_all_that_can_change_an_answer_and_only_with_that(feed: Feeds) -> None:
    one = feed("one", [listed(b"x", "sha1", category="1"), listed(b"y", "sha1", category="2")])
    two = feed("two", [listed(b"y", "sha1")])

    def terms(**changes: Any) -> list[OpenFeed]:
        return [replace(one, terms=replace(one.terms, **changes)), two]

    variants: list[tuple[list[OpenFeed], Mapping[str, Threshold]]] = [
        ([one, two], LIMITS),
        ([two, one], LIMITS),
        ([one], LIMITS),
        ([one, two], {"pdq": Threshold(30, 50)}),
        ([one, two], {"pdq": Threshold(31, 49)}),
        (terms(polarity=Polarity.BENIGN), LIMITS),
        (terms(categories=frozenset({"1"})), LIMITS),
        (terms(name="renamed"), LIMITS),
    ]
    assert len({Index(feeds, limits).id for feeds, limits in variants}) == len(variants)
    assert Index([one, two], LIMITS, suppressed={"one": frozenset({"#1"})}).id not in {
        Index(feeds, limits).id for feeds, limits in variants
    }
    assert Index([one, two], LIMITS, suppressed={"one": frozenset()}).id == Index([one, two], LIMITS).id
    assert Index(terms(quarantine_exact=False), LIMITS).id == Index([one, two], LIMITS).id
    assert Index([one, two], {}).id == Index([one, two], LIMITS).id


def test_a_match_tells_what_the_publisher_tells(feed: Feeds) -> None:
    about = About("high", ("a", "b"), 5, 0, "a source")
    entry = Entry((*listed(b"x", "md5").hashes, ("pdq", PICTURE)), "1", LISTED, about=about)
    exact, near = Index([feed("f", [entry])], LIMITS).match(
        file(b"x", PerceptualHash("pdq", "full", PICTURE, 90))
    )
    for match in (exact, near):
        assert (match.severity, match.labels, match.source) == ("high", ("a", "b"), "a source")
    assert exact.told() == {"severity": "high", "labels": ["a", "b"], "source": "a source"}
    (bare,) = Index([feed("g", [listed(b"x", "md5")])], LIMITS).match(file(b"x"))
    assert bare.told() == {}


def test_an_entry_acts_until_its_end_and_not_from_then_on(feed: Feeds) -> None:
    ended = replace(listed(b"x", "md5"), id="ended", about=About(removed_ns=100))
    opened = feed("f", [ended, replace(listed(b"y", "md5"), about=About(added_ns=3))])
    clock = FixedClock(99)
    index = Index([opened], LIMITS, clock=clock)
    assert [m.entry for m in index.match(file(b"x"))] == ["ended"]
    clock.now = 100
    assert index.match(file(b"x")) == ()
    assert [m.entry for m in index.match(file(b"y"))] == ["#2"]


def test_a_benign_entry_vetoes_until_its_list_no_longer_has_it(feed: Feeds) -> None:
    good = feed("g", [replace(listed(b"x", "sha1"), about=About(removed_ns=1))], polarity=Polarity.BENIGN)
    index = Index([feed("f", [listed(b"x", "md5")]), good], LIMITS, clock=FixedClock(2))
    assert index.match(file(b"x")) == ()


@pytest.mark.parametrize("kind", ["md5", "pdq"])
def test_a_suppressed_entry_does_not_act_and_others_of_its_value_do(feed: Feeds, kind: str) -> None:
    value = PICTURE if kind == "pdq" else exact_of(b"x")[kind]
    opened = feed("f", [Entry(((kind, value),), own) for own in ("one", "two")])
    seen = file(b"x", PerceptualHash("pdq", "full", PICTURE, 90))

    def matched(*ids: str) -> list[str]:
        index = Index([opened], LIMITS, suppressed={"f": frozenset(ids), "other": frozenset({"one"})})
        return [m.entry for m in index.match(seen)]

    assert (matched(), matched("one"), matched("one", "two")) == (["one", "two"], ["two"], [])


def test_lists_of_different_keys_are_matched_side_by_side(feed: Feeds) -> None:
    keys = [ListKey(bytes([n] * 32)) for n in range(2)]
    feeds = [feed(f"f{n}", [listed(b"x", "md5", "sha256")], key=key) for n, key in enumerate([*keys, None])]
    matches = Index(feeds, LIMITS).match(file(b"x"))
    assert [(m.feed, m.kind) for m in matches] == [("f0", "sha256"), ("f1", "sha256"), ("f2", "sha256")]
    assert Index(feeds, LIMITS).match(file(b"y")) == ()
    assert feeds[0].snapshot.keys("md5").tolist() != feeds[1].snapshot.keys("md5").tolist()


def test_phash_of_256_bits_has_search_tables_and_its_own_limit(feed: Feeds) -> None:
    values = [hashlib.sha256(b"%d" % n).digest() for n in range(40)]
    police = feed("police", [Entry((("phash256", v),), str(n)) for n, v in enumerate(values)], tables_from=1)
    distances, rows = police.snapshot.table("phash256").near(flipped(values[7], 24), 31, strategy="tables")
    assert distances.tolist() == [24]
    assert len(rows) == 1
    index = Index([police], {})
    for bits, entries in ((24, ["7"]), (25, [])):
        seen = PerceptualHash("phash256", "whole", flipped(values[7], bits), 100)
        assert [m.entry for m in index.match(Digests(1, "image/png", {}, (seen,)))] == entries
