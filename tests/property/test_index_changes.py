"""Changes to a list give what a plain dictionary gives, at once or in pieces, in memory or in files."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.index import ListKey, Origin, Snapshot, SnapshotBuilder, SnapshotInfo
from scanner.model.errors import FeedRefusedError
from scanner.model.feeds import About, Entry, Item, Packed, Removal
from scanner.model.hashes import KINDS, HashKind

ORIGIN: Origin = {"feed": "f", "format": "test", "built_ns": 0}
KEY = ListKey(bytes(range(32)))
SEEDS = st.integers(0, 2**32)
USED = ("md5", "sha256", "pdq", "phash")
# So small that every list goes through files, groups and blocks.
SMALL = {
    "columns.BUFFER": 16,
    "columns._READ": 48,
    "sorting._BUFFER": 64,
    "sorting._MOST": 3,
    "records._ROWS": 3,
    "details._ROWS": 2,
    "details._REMEMBERED": 2,
    "finish._ROWS": 4,
    "slots._ROWS": 25,
    "mapped._ENDS": 3,
    "compare._CHUNK": 3,
}


@contextmanager
def small_buffers(wanted: bool) -> Iterator[None]:
    patches = [mock.patch(f"scanner.index.{name}", value) for name, value in SMALL.items() if wanted]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


def entry(rng: random.Random, key: str, *, pool: int) -> Entry:
    """Few values and close to each other in their first bytes, so that they meet often."""
    hashes = []
    for kind in rng.sample(USED, rng.randint(1, 3)):
        n = rng.randrange(pool)
        hashes.append((kind, bytes([n % 3, 0, n % 2]).ljust(KINDS[kind].size - 1, b"\0") + bytes([n])))
    about = None
    if rng.random() < 0.4:
        about = About(rng.choice("AB"), tuple(rng.sample("xyz", rng.randint(0, 2))), rng.randrange(9), 0, "s")
    own = f"id-{rng.randrange(1000)}" if rng.random() < 0.6 else ""
    return Entry(tuple(hashes), own, rng.choice("123"), key, rng.randrange(4), about)


def items(rng: random.Random, count: int) -> list[Item]:
    found: list[Item] = []
    for _ in range(count):
        what = rng.random()
        key = f"k{rng.randrange(8)}"
        if what < 0.25:
            found.append(Removal(key, rng.randrange(4)))
        elif what < 0.85:
            found.append(entry(rng, key if what < 0.7 else "", pool=20))
        else:
            values = bytes(rng.randrange(3) for _ in range(16 * rng.randint(0, 3)))
            found.append(Packed("md5", values, rng.choice("34")))
    return found


Row = tuple[tuple[tuple[str, bytes], ...], str, str, About | None]


def model(given_items: list[Item]) -> tuple[list[Row], dict[str, tuple[int, bool]]]:
    """What the list should hold: rows in any order, and of each record (time, whether it is there)."""
    keyed: dict[str, tuple[int, Entry | None]] = {}
    rows: list[Entry] = []
    for item in given_items:
        if isinstance(item, Packed):
            values = [item.values[i : i + 16] for i in range(0, len(item.values), 16)]
            rows += [Entry((("md5", v),), "", item.category) for v in values]
        elif isinstance(item, Entry) and not item.key:
            rows.append(item)
        else:
            time, there = keyed.get(item.key, (-1, None))
            wins = item.changed_ns > time or (
                item.changed_ns == time and (isinstance(item, Removal) or there is not None)
            )
            if wins:
                keyed[item.key] = item.changed_ns, item if isinstance(item, Entry) else None
    rows += [there for _, there in keyed.values() if there is not None]
    records = {key: (time, there is not None) for key, (time, there) in keyed.items()}
    return [(tuple(sorted(e.hashes)), e.id, e.category, e.about) for e in rows], records


def content(snapshot: Snapshot) -> list[Row]:
    """All entries of a snapshot, put together again out of its sections. Its digests are plain."""
    found: dict[int, list[tuple[str, bytes]]] = {n: [] for n in range(snapshot.meta.entries)}
    for kind in snapshot.counts:
        keys = snapshot.keys(kind)
        data, size = keys.tobytes(), snapshot.meta.kinds[kind].size
        values = [data[i : i + size] for i in range(0, len(data), size)]
        assert values == sorted(values)
        pairs = list(zip(values, snapshot.entries_of(kind).tolist(), strict=True))
        assert pairs == sorted(pairs), "equal values stand in the order of the list"
        for value, number in pairs:
            found[number].append((kind, value))
    rows = []
    for number, hashes in found.items():
        told = {}
        for kind, value in hashes:
            hits = (
                snapshot.exact(kind, value)
                if KINDS[kind].exact
                else [e for _, e in snapshot.near(kind, value, 0)]
            )
            told[kind] = next(e for e in hits if e.number == number)
        assert len(set(told.values())) == 1, "an entry is the same by whichever of its values it is found"
        (info,) = set(told.values())
        own = "" if info.id == f"#{number + 1}" else info.id
        rows.append((tuple(sorted(hashes)), own, info.category, info.about))
    return rows


def build(
    folder: Path,
    batch: list[Item],
    base: Snapshot | None,
    key: ListKey | None = None,
    tables_from: int = 10**9,
) -> SnapshotInfo:
    builder = SnapshotBuilder(base=base, key=key, tables_from=tables_from, scratch=folder)
    for item in batch:
        builder.add(item)
    return builder.finish(folder / "s", meta=ORIGIN, durable=False)


def in_pieces(
    folder: Path, whole: list[Item], cuts: list[int], key: ListKey | None = None, tables_from: int = 10**9
) -> Snapshot | None:
    """The list after its items came in pieces; a piece that would leave nothing is kept for the next."""
    base, left = None, 0
    for cut in [*sorted(cuts), len(whole)]:
        try:
            build(folder, whole[left:cut], base, key, tables_from)
        except FeedRefusedError:
            continue
        base, left = Snapshot.open(folder / "s", key=key), cut
    return base if left == len(whole) else None


@settings(max_examples=30, deadline=None)
@given(
    seed=SEEDS, count=st.integers(0, 60), cuts=st.lists(st.integers(0, 60), max_size=3), small=st.booleans()
)
def test_changes_give_what_a_dictionary_gives(seed: int, count: int, cuts: list[int], small: bool) -> None:
    whole = items(random.Random(seed), count)
    rows, records = model(whole)
    tables_from = 10**9 if seed % 5 else 4  # they take most of the time
    with tempfile.TemporaryDirectory() as directory, small_buffers(small):
        folder = Path(directory)
        snapshot = in_pieces(folder, whole, [min(c, count) for c in cuts], None, tables_from)
        assert {p.name for p in folder.iterdir()} <= {"s"}
        if snapshot is None:
            assert not rows
            return
        assert Counter(content(snapshot)) == Counter(rows)
        for key, (_, there) in records.items():
            assert (snapshot.record(key) is not None) == there
        assert dict(snapshot.meta.categories) == dict(Counter(category for _, _, category, _ in rows))
        assert snapshot.counts == Counter(kind for hashes, *_ in rows for kind, _ in hashes)


@settings(max_examples=8, deadline=None)
@given(seed=SEEDS, small=st.booleans())
def test_a_keyed_list_answers_as_one_without_a_key(seed: int, small: bool) -> None:
    rng = random.Random(seed)
    whole = [*items(rng, 40), entry(rng, "last", pool=20)]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two, small_buffers(small):
        plain, keyed = in_pieces(Path(one), whole, [20]), in_pieces(Path(two), whole, [20], KEY)
        assert plain is not None and keyed is not None
        for item in whole:
            for kind, value in item.hashes if isinstance(item, Entry) else ():
                if KINDS[kind].exact:
                    assert keyed.exact(kind, value) == plain.exact(kind, value)
                else:
                    assert keyed.near(kind, value, 8) == plain.near(kind, value, 8)
        assert keyed.repeats("md5", 1) == plain.repeats("md5", 1)
        assert keyed.common(keyed, "md5") == plain.counts.get("md5", 0)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, more_than=st.integers(0, 4), small=st.booleans())
def test_figures_for_a_judgement_are_those_of_a_count(seed: int, more_than: int, small: bool) -> None:
    rng = random.Random(seed)
    pools = [[bytes(15) + bytes([rng.randrange(6)]) for _ in range(rng.randint(1, 15))] for _ in range(2)]
    with tempfile.TemporaryDirectory() as directory, small_buffers(small):
        snapshots = []
        for values in pools:
            build(Path(directory), [Entry((("md5", v),)) for v in values], None)
            snapshots.append(Snapshot.open(Path(directory, "s")))
        new, old = snapshots
        many = [n for n in Counter(pools[0]).values() if n > more_than]
        repeats = new.repeats("md5", more_than)
        assert (repeats.values, repeats.entries) == (len(many), sum(many))
        shared = [sum(v in other for v in values) for values, other in (pools, pools[::-1])]
        assert new.common(old, "md5") == shared[0]
        assert new.changes(old) == {"md5": (len(pools[0]) - shared[0], len(pools[1]) - shared[1])}


def test_what_a_batch_changed_is_told(tmp_path: Path) -> None:
    def said(key: str, n: int, time: int) -> Entry:
        return Entry((("md5", bytes([n] * 16)),), f"{key}-{time}", "1", key, time)

    first = build(tmp_path, [said("a", 1, 5), said("b", 2, 5), said("c", 2, 5), Removal("x", 5)], None)
    assert (first.added, first.replaced, first.removed, first.records.unknown) == (3, 0, 0, 1)
    base = Snapshot.open(tmp_path / "s")
    batch: list[Item] = [
        said("a", 1, 6),
        Removal("b", 6),
        Removal("nobody's", 6),
        said("c", 9, 4),
        said("d", 4, 1),
    ]
    second = build(tmp_path, [*batch, said("a", 1, 5), Entry((("md5", bytes([7] * 16)),))], base)
    assert (second.entries, second.added, second.replaced, second.removed) == (4, 2, 1, 1)
    assert (second.records.unknown, second.records.outdated) == (1, 2)
    after = Snapshot.open(tmp_path / "s")
    assert [e.id for e in after.exact("md5", bytes([2] * 16))] == [
        "c-5"
    ]  # the other member's statement stays
    assert [e.id for e in base.exact("md5", bytes([2] * 16))] == ["b-5", "c-5"]  # and the old list as it was


def test_a_removal_is_remembered_and_a_late_older_statement_changes_nothing(tmp_path: Path) -> None:
    entries = [Entry((("md5", bytes([n] * 16)),), "", "1", f"k{n}", 5) for n in (1, 2)]
    build(tmp_path, [*entries, Removal("k3", 9)], None)
    late = Entry((("md5", bytes([3] * 16)),), "", "1", "k3", 8)
    build(tmp_path, [Removal("k1", 5), late], Snapshot.open(tmp_path / "s"))
    snapshot = Snapshot.open(tmp_path / "s")
    assert [snapshot.record(f"k{n}") is not None for n in (1, 2, 3)] == [False, True, False]
    with pytest.raises(FeedRefusedError, match="empty"):
        build(tmp_path, [Removal("k2", 5)], snapshot)
    assert Snapshot.open(tmp_path / "s").id == snapshot.id


def test_values_of_a_kind_that_is_no_longer_known_stay(tmp_path: Path) -> None:
    kinds = {**KINDS, "others": HashKind("others", 12, exact=True)}
    builder = SnapshotBuilder(kinds=kinds)
    builder.add(Entry((("others", b"twelve bytes"), ("md5", bytes(15) + b"1"))))
    builder.finish(tmp_path / "s", meta=ORIGIN)
    build(tmp_path, [Entry((("md5", bytes(15) + b"2"),))], Snapshot.open(tmp_path / "s"))
    assert Snapshot.open(tmp_path / "s").contains_exact("others", b"twelve bytes")
