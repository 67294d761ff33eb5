"""What an update of the feeds adds to what is already known."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deltas import touched

from scanner.index import ListKey, OpenFeed, Snapshot, SnapshotBuilder, Threshold, acting_values, added
from scanner.model.feeds import Entry, FeedTerms, Polarity
from scanner.model.hashes import Digests, PerceptualHash

LIMITS = {"pdq": Threshold(31, 50)}
Feeds = Callable[..., OpenFeed]


def sha1(n: int) -> bytes:
    return hashlib.sha1(b"%d" % n).digest()


def pdq(n: int, bits: int = 0) -> bytes:
    value = int.from_bytes(hashlib.sha256(b"%d" % n).digest(), "big") ^ ((1 << bits) - 1)
    return value.to_bytes(32, "big")


def entry(n: int, category: str = "1") -> Entry:
    return Entry((("sha1", sha1(n)), ("pdq", pdq(n))), "", category)


def files(*numbers: int) -> list[Digests]:
    return [Digests(1, "", {"sha1": sha1(n)}) for n in numbers]


def pictures(*values: bytes, quality: int = 90) -> list[Digests]:
    return [Digests(1, "", {}, (PerceptualHash("pdq", "full", v, quality),)) for v in values]


@pytest.fixture
def feed(tmp_path: Path) -> Feeds:
    def make(
        entries: list[Entry],
        name: str = "f",
        tables_from: int = 10**9,
        key: ListKey | None = None,
        **terms: Any,
    ) -> OpenFeed:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.snapshot"
        builder = SnapshotBuilder(tables_from=tables_from, key=key)
        for e in entries:
            builder.add(e)
        builder.finish(path, meta={"feed": name, "format": "test", "built_ns": 1})
        return OpenFeed(FeedTerms(name, **terms), Snapshot.open(path, key=key))

    return make


def test_only_what_is_new_in_a_list_touches_known_files(feed: Feeds) -> None:
    old, new = feed([entry(n) for n in range(50)]), feed([entry(n) for n in range(10, 60)])
    delta = added([new], [old], LIMITS)
    assert delta.counts == {"sha1": 10, "pdq": 10}
    assert touched(delta, files(5, 10, 49, 50, 59, 60)) == [3, 4]
    assert touched(delta, pictures(pdq(49), pdq(50), pdq(59, 31), pdq(59, 32), pdq(60))) == [1, 2]


@pytest.mark.parametrize("key", [None, ListKey(bytes(range(32)))])
def test_values_in_arrays_are_told_apart_like_files(feed: Feeds, key: ListKey | None) -> None:
    delta = added([feed([entry(n) for n in range(20)], key=key)], None, LIMITS)
    digests = b"".join(file.exact["sha1"] for file in files(3, 30, 19))
    values = np.frombuffer(digests, dtype=np.uint8).reshape(3, -1)
    assert delta.concerned("sha1", values).tolist() == [True, False, True]
    views = [view.value for picture in pictures(pdq(1), pdq(60)) for view in picture.perceptual]
    values = np.frombuffer(b"".join(views), dtype=np.uint8).reshape(len(views), -1)
    assert delta.concerned("pdq", values).tolist() == [True] * (len(views) // 2) + [False] * (len(views) // 2)
    assert (delta.exact_kinds, delta.perceptual_kinds) == (("sha1",), {"pdq": 50})


def test_a_list_that_only_lost_entries_needs_no_look_at_any_file(feed: Feeds) -> None:
    delta = added([feed([entry(1)])], [feed([entry(1), entry(2)])], LIMITS)
    assert delta.empty
    assert touched(delta, [*files(1, 2), *pictures(pdq(1), pdq(2))]) == []


def test_the_same_generation_adds_nothing_unless_more_of_its_categories_act(feed: Feeds) -> None:
    wide = feed([entry(1, "1"), entry(2, "2"), entry(3, "")])
    narrow = replace(wide, terms=replace(wide.terms, categories=frozenset({"1"})))
    assert added([wide], [wide], LIMITS).empty
    assert added([narrow], [wide], LIMITS).empty
    assert touched(added([wide], [narrow], LIMITS), files(1, 2, 3)) == [1]


def test_without_an_earlier_state_everything_that_acts_is_new(feed: Feeds) -> None:
    opened = feed([entry(1), entry(2, "")])
    assert touched(added([opened], None, LIMITS), files(1, 2, 3)) == [0]
    assert added([], None, LIMITS).empty


def test_a_value_another_feed_already_had_is_not_new(feed: Feeds) -> None:
    first, second = feed([entry(1), entry(2)], "first"), feed([entry(2), entry(3)], "second")
    assert touched(added([first, second], [first], LIMITS), files(1, 2, 3)) == [2]


def test_what_a_benign_feed_no_longer_holds_back_is_looked_at_again(feed: Feeds) -> None:
    illegal = feed([entry(1), entry(2), entry(3)], "police")
    before = feed([entry(1, ""), entry(2, "")], "good", polarity=Polarity.BENIGN)
    after = feed([entry(2, "")], "good", polarity=Polarity.BENIGN)
    delta = added([illegal, after], [illegal, before], LIMITS)
    assert touched(delta, [*files(1, 2, 3), *pictures(pdq(1))]) == [0]
    assert touched(added([illegal], [illegal, before], LIMITS), files(1, 2, 3)) == [0, 1]
    assert added([illegal, before], [illegal], LIMITS).empty


def test_a_feed_turned_from_benign_to_illegal_is_new_as_a_whole(feed: Feeds) -> None:
    good = feed([entry(1)], polarity=Polarity.BENIGN)
    illegal = replace(good, terms=FeedTerms("f"))
    assert touched(added([illegal], [good], LIMITS), [*files(1), *pictures(pdq(1))]) == [0, 1]


def test_a_picture_of_poor_quality_is_not_touched_by_its_perceptual_hash(feed: Feeds) -> None:
    delta = added([feed([entry(1)])], None, LIMITS)
    assert touched(delta, pictures(pdq(1), quality=49)) == []
    assert touched(delta, pictures(pdq(1), quality=50)) == [0]


def test_a_file_is_touched_by_any_of_its_views(feed: Feeds) -> None:
    delta = added([feed([entry(1)])], None, LIMITS)
    for values in ((pdq(1), pdq(7)), (pdq(7), pdq(1))):
        views = tuple(PerceptualHash("pdq", str(i), v, 90) for i, v in enumerate(values))
        assert touched(delta, [Digests(1, "", {}, views)]) == [0]


@pytest.mark.parametrize("distance", [31, 40])
def test_a_large_addition_is_searched_by_tables_and_says_the_same(
    feed: Feeds, distance: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scanner.index.delta.TABLES_FROM", 100)
    limits = {"pdq": Threshold(distance, 50)}
    entries = [entry(n, "1" if n % 2 else "") for n in range(400)]
    plain, tabled = feed(entries), feed(entries, tables_from=1)
    some = feed([entry(n) for n in range(40)])
    batch = pictures(*(pdq(n, n % 45) for n in range(0, 420, 3)))
    expected = [i for i, n in enumerate(range(0, 420, 3)) if n % 2 and 40 <= n < 400 and n % 45 <= distance]
    for opened in (plain, tabled):
        assert touched(added([opened], [some], limits), batch) == expected


def test_acting_values_are_sorted_and_limited_to_the_categories(feed: Feeds) -> None:
    opened = feed([entry(n, str(n % 3)) for n in range(30)])
    values = acting_values(opened.snapshot, frozenset({"1", "2"}))["sha1"]
    expected = sorted(sha1(n) for n in range(30) if n % 3)
    assert values.view(np.uint8).tobytes() == b"".join(expected)


def test_lists_are_compared_by_their_stored_values_where_their_key_is_the_same(feed: Feeds) -> None:
    one, two = (ListKey(bytes([n] * 32)) for n in range(2))
    old, new = feed([entry(n) for n in range(5)], key=one), feed([entry(n) for n in range(2, 7)], key=one)
    assert touched(added([new], [old], LIMITS), files(1, 2, 5, 6, 7)) == [2, 3]
    assert new.snapshot.common(old.snapshot, "sha1") == 3
    again = feed([entry(n) for n in range(5)], key=two)
    delta = added([again], [old], LIMITS)
    assert delta.counts == {"sha1": 5}, "what can't be compared counts as new; perceptual values can"
    assert touched(delta, files(1, 2, 5, 6, 7)) == [0, 1]
    with pytest.raises(RuntimeError, match="different keys"):
        again.snapshot.common(old.snapshot, "sha1")
