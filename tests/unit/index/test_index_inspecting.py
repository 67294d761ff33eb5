"""Questions about whole lists, and entries that are suppressed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from scanner.index import (
    KEY_SIZE,
    Change,
    Index,
    ListKey,
    OpenFeed,
    Snapshot,
    SnapshotBuilder,
    changes,
    entries_of_keys,
    entry_keys,
    most_repeated,
    shared_entries,
)
from scanner.index.exact import as_keys, contained
from scanner.index.inspecting import contained_sorted
from scanner.model.errors import SnapshotError
from scanner.model.feeds import Entry, FeedTerms
from scanner.model.hashes import Digests, PerceptualHash

Lists = Callable[..., Snapshot]


def md5(n: int) -> bytes:
    return hashlib.md5(b"%d" % n).digest()


def pdq(n: int) -> bytes:
    return hashlib.sha256(b"pdq %d" % n).digest()


@pytest.fixture
def snapshot(tmp_path: Path) -> Lists:
    def make(name: str, entries: Sequence[Entry], key: ListKey | None = None) -> Snapshot:
        builder = SnapshotBuilder(key=key)
        for entry in entries:
            builder.add(entry)
        builder.finish(tmp_path / name, meta={"feed": name, "format": "test", "built_ns": 1})
        return Snapshot.open(tmp_path / name, key=key)

    return make


def plain(*numbers: int) -> list[Entry]:
    return [Entry((("md5", md5(n)),)) for n in numbers]


def test_what_comes_and_goes_is_counted_by_kind(snapshot: Lists) -> None:
    old = snapshot("old", [*plain(*range(10)), Entry((("pdq", pdq(1)),))])
    new = snapshot("new", plain(*range(4, 16)))
    assert changes(old, new) == {"md5": Change(10, 12, 6, 4), "pdq": Change(1, 0, 0, 1)}
    assert changes(None, new) == {"md5": Change(0, 12, 12, 0)}


def test_sorted_keys_are_found_as_unsorted_ones_are_also_where_they_begin_alike() -> None:
    rng = np.random.default_rng(5)
    begin = rng.integers(0, 40, (3000, 1)).astype(">u8").view(np.uint8).reshape(-1, 8)  # many begin alike
    rows = np.hstack([begin, rng.integers(0, 4, (3000, 8)).astype(np.uint8)])
    keys = np.sort(as_keys(rows[:2000].tobytes(), 16))
    values = np.sort(as_keys(rows[1000:].tobytes(), 16))
    found = contained_sorted(values, keys)
    assert 900 < found.sum() < 2000 and (found == contained(values, keys)).all()
    assert not contained_sorted(values, keys[:0]).any() and not len(contained_sorted(values[:0], keys))


def test_a_value_on_too_many_digests_is_found_and_repeats_of_one_file_are_not(snapshot: Lists) -> None:
    same = [Entry((("md5", md5(n)), ("pdq", pdq(0)))) for n in range(12)]
    once = [Entry((("md5", md5(99)), ("pdq", pdq(1)))) for _ in range(30)]  # one digest, thirty times
    few = [Entry((("md5", md5(200 + n)), ("pdq", pdq(2)))) for n in range(5)]
    listed = snapshot("f", [*few, *same, *once])
    assert most_repeated(listed, 10) == {"pdq": 12}
    assert most_repeated(listed, 12) == {}
    assert most_repeated(snapshot("g", [Entry((("pdq", pdq(0)),)) for _ in range(20)]), 10) == {}


def test_entries_in_common_count_once_whatever_digests_they_share(snapshot: Lists) -> None:
    both = [Entry((("md5", md5(n)), ("sha256", hashlib.sha256(b"%d" % n).digest()))) for n in range(6)]
    other = snapshot("other", both[2:4])
    values = {kind: other.keys(kind) for kind in other.counts}
    assert shared_entries(snapshot("f", both), values).tolist() == [2, 3]
    assert shared_entries(snapshot("h", plain(7)), values).tolist() == []


def test_an_entry_without_an_id_is_found_again_where_it_moved(snapshot: Lists) -> None:
    keys = entry_keys(snapshot("old", plain(5, 6, 7)), 1)
    assert entries_of_keys(snapshot("new", plain(1, 7, 9, 6)), keys) == {3}
    assert entries_of_keys(snapshot("gone", plain(1, 2)), keys) == set()
    assert entry_keys(snapshot("short", plain(1)), 7) == {}


def test_lists_under_a_key_are_compared_by_what_is_stored_and_only_with_those_of_the_same_key(
    snapshot: Lists,
) -> None:
    key, other = ListKey(b"k" * KEY_SIZE), ListKey(b"o" * KEY_SIZE)
    old, new = snapshot("old", plain(1, 2, 3), key), snapshot("new", plain(9, 3, 2, 4), key)
    assert changes(old, new) == {"md5": Change(3, 4, 2, 1)}
    assert shared_entries(new, {"md5": old.keys("md5")}).tolist() == [1, 2]
    assert changes(snapshot("else", plain(1, 2, 3), other), new) == {"md5": Change(3, 4, 4, 3)}
    kept = entry_keys(old, 1)
    assert kept != entry_keys(snapshot("bare", plain(1, 2, 3)), 1)
    assert entries_of_keys(new, kept) == {2}
    assert entries_of_keys(snapshot("third", plain(2), other), kept) == set()


def test_an_id_is_found_only_where_it_is_whole(snapshot: Lists) -> None:
    listed = snapshot(
        "f", [Entry((("md5", md5(n)),), id) for n, id in enumerate(["ab", "", "bc", "abc", "c"])]
    )
    found = ("ab", "bc", "abc", "c", "b", "a", "abbc", "abcc", "", "d")
    assert [listed.has_entry(id) for id in found] == [True] * 4 + [False] * 6
    assert not snapshot("g", plain(1)).has_entry("a")


def test_a_number_that_leads_out_of_the_list_is_damage(tmp_path: Path, snapshot: Lists) -> None:
    snapshot("f", plain(1, 2)).close()
    data = bytearray((tmp_path / "f").read_bytes())
    numbers = np.array([0, 1], "<u4").tobytes()
    at = data.find(numbers) if numbers in data else data.find(np.array([1, 0], "<u4").tobytes())
    data[at : at + 4] = b"\xff\xff\xff\x7f"
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(SnapshotError, match="leads nowhere"):
        Snapshot.open(tmp_path / "f", verify=False).entry_numbers("md5")


def test_a_suppressed_entry_does_not_act_and_is_counted_by_its_feed(snapshot: Lists) -> None:
    feeds = [
        OpenFeed(FeedTerms(name), snapshot(name, [Entry((("md5", md5(1)), ("pdq", pdq(1))), "id-1")]))
        for name in ("one", "two")
    ]
    held: Counter[str] = Counter()

    def count(feed: str) -> None:
        held[feed] += 1

    picture = PerceptualHash("pdq", "full", pdq(1), 100)
    file = Digests(1, "image/png", {"md5": md5(1)}, (picture,))
    index = Index(feeds, {}, suppressed={"one": frozenset({"id-1"})}, held=count)
    assert {m.feed for m in index.match(file)} == {"two"}
    both = Index(feeds, {}, suppressed={"one": {"id-1"}, "two": {"id-1"}}, held=count)
    assert both.match(file) == ()
    assert held == {"one": 2, "two": 1}
    others = Index(feeds, {}, suppressed={"one": {"id-2"}})
    assert len({index.id, both.id, others.id, Index(feeds, {}).id}) == 4
