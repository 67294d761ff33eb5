"""Searching finds what a look at every entry finds: no more, no less, in either way."""

from __future__ import annotations

import random
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from deltas import touched
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.index import OpenFeed, Snapshot, SnapshotBuilder, Threshold, added
from scanner.index.exact import as_keys, contained
from scanner.index.hamming import any_within
from scanner.index.joining import Join
from scanner.index.perceptual import PerceptualTable, Strategy
from scanner.index.shapes import SMALL, Shape, layout_of
from scanner.model.feeds import Entry, FeedTerms, Packed
from scanner.model.hashes import Digests, PerceptualHash

SEEDS = st.integers(0, 2**32)


# Shapes of slot tables with every radius, with and without a check beside the rows.
SHAPES = {
    "16 slots": SMALL,
    "11 slots": layout_of(1_000_000),
    "11 slots, few buckets": Shape((24,) * 3 + (23,) * 8, 16, spread=True),
    "13 slots": Shape((20,) * 9 + (19,) * 4, 12, spread=True),
}


def opened(entries: list[Entry], tables_from: int = 10**9, shape: Shape | None = None) -> Snapshot:
    """A snapshot whose file is gone again by the time it is asked."""
    with tempfile.TemporaryDirectory() as directory:
        builder = SnapshotBuilder(tables_from=tables_from, shape=shape)
        for entry in entries:
            builder.add(entry)
        builder.finish(Path(directory) / "s", meta={"feed": "f", "format": "test", "built_ns": 0})
        return Snapshot.open(Path(directory) / "s")


def distance(a: bytes, b: bytes) -> int:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_count()


def changed(rng: random.Random, value: bytes, bits: int) -> bytes:
    mask = sum(1 << bit for bit in rng.sample(range(8 * len(value)), bits))
    return (int.from_bytes(value, "big") ^ mask).to_bytes(len(value), "big")


def hashes(rng: random.Random, size: int, clusters: int) -> list[bytes]:
    """Unrelated hashes and, around some of them, look-alikes at distances on both sides of the limits."""
    values = [rng.randbytes(size) for _ in range(rng.randint(1, 200))]
    for centre in values[:clusters]:
        values += [changed(rng, centre, rng.randint(0, min(48, 8 * size))) for _ in range(60)]
    rng.shuffle(values)
    return values


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("strategy", ["tables", "scan", "auto"])
@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, clusters=st.integers(0, 6))
def test_near_finds_all_within_256_bits(strategy: Strategy, shape: str, seed: int, clusters: int) -> None:
    rng = random.Random(seed)
    values = hashes(rng, 32, clusters)
    snapshot = opened([Entry((("pdq", v),)) for v in values], tables_from=1, shape=SHAPES[shape])
    for limit in range(32 if strategy == "tables" else 41):
        wanted = changed(rng, rng.choice(values), rng.randint(0, 40))
        expected = sorted((d, n) for n, v in enumerate(values) if (d := distance(v, wanted)) <= limit)
        answer = snapshot.near("pdq", wanted, limit, strategy=strategy)
        assert [(d, e.number) for d, e in answer] == expected


@pytest.mark.parametrize("shape", SHAPES)
def test_tables_find_the_hardest_neighbours(shape: str) -> None:
    """At distance 31, its bits spread over the slots as evenly as can be; in the midst of values that crowd
    the buckets of some slots, for these are looked at less."""
    rng = random.Random(5)
    widths, spread = SHAPES[shape].widths, SHAPES[shape].spread
    centre, ends = rng.randbytes(32), [sum(widths[: i + 1]) for i in range(len(widths))]
    slots = [
        [93 * p % 256 if spread else p for p in range(end - width, end)]
        for width, end in zip(widths, ends, strict=True)
    ]

    def moved(value: bytes, bits: list[int]) -> bytes:
        mask = sum(1 << (255 - bit) for bit in bits)
        return (int.from_bytes(value, "big") ^ mask).to_bytes(32, "big")

    values, wanted = [], []
    for n in range(400):
        each, more = divmod(31 + n % 2, len(slots))
        having = rng.sample(range(len(slots)), more)
        bits = [b for i, slot in enumerate(slots) for b in rng.sample(slot, each + (i in having))]
        values.append(moved(centre, bits))
        wanted += [] if n % 2 else [n]
    for _ in range(2000):
        # Equal in a few slots, and far away in all others.
        kept = rng.sample(range(len(slots)), 3)
        values.append(moved(centre, [b for i, slot in enumerate(slots) if i not in kept for b in slot]))
    snapshot = opened([Entry((("pdq", v),)) for v in values], tables_from=1, shape=SHAPES[shape])
    answer = snapshot.near("pdq", centre, 31, strategy="tables")
    assert [(d, e.number) for d, e in answer] == [(31, n) for n in wanted]
    table = snapshot.table("pdq")
    assert table is not None
    bits, rows = PerceptualTable(table.hashes, table.tables, native=False).near(centre, 31, "tables")
    assert sorted(table.hashes[rows].tobytes()) == sorted(b"".join(values[n] for n in wanted))
    assert set(bits.tolist()) == {31}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("value", [bytes(32), b"\xff" * 32, bytes(range(32))])
def test_a_list_of_one_value_many_times_is_found_in_all_ways(shape: str, value: bytes) -> None:
    snapshot = opened([Entry((("pdq", value),))] * 3000, tables_from=1, shape=SHAPES[shape])
    rng = random.Random(1)
    for bits, count in ((0, 3000), (31, 3000), (32, 0)):
        wanted = changed(rng, value, bits)
        for strategy in ("tables", "auto"):
            answer = snapshot.near("pdq", wanted, 31, strategy=strategy)
            assert [(d, e.number) for d, e in answer] == [(bits, n) for n in range(count)]


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_near_finds_all_within_64_bits_up_to_the_complement(seed: int) -> None:
    rng = random.Random(seed)
    values = [*hashes(rng, 8, 3), bytes(8), b"\xff" * 8]
    snapshot = opened([Entry((("phash", v),)) for v in values])
    for limit in (0, 1, 6, 31, 63, 64):
        for wanted in (changed(rng, rng.choice(values), rng.randint(0, 8)), b"\xff" * 8):
            expected = sorted((d, n) for n, v in enumerate(values) if (d := distance(v, wanted)) <= limit)
            assert [(d, e.number) for d, e in snapshot.near("phash", wanted, limit)] == expected


def test_the_exact_complement_is_not_taken_for_the_same_hash() -> None:
    """Distance 256 does not fit a byte."""
    snapshot = opened([Entry((("pdq", bytes(32)),))])
    assert snapshot.near("pdq", b"\xff" * 32, 31) == []
    assert [d for d, _ in snapshot.near("pdq", b"\xff" * 32, 256)] == [256]
    delta = added([OpenFeed(FeedTerms("f"), snapshot)], None, {"pdq": Threshold(31, 0)})
    picture = Digests(1, "", {}, (PerceptualHash("pdq", "full", b"\xff" * 32, 100),))
    assert touched(delta, [picture]) == []


# Keys over a tiny alphabet tie in their beginnings, in whole, and end in zeros.
TIED = st.lists(
    st.lists(st.sampled_from([0, 1, 255]), min_size=3, max_size=3).map(bytes), min_size=1, max_size=60
)


@settings(max_examples=100, deadline=None)
@given(keys=TIED, seed=SEEDS, kind=st.sampled_from([("md5", 16), ("sha1", 20), ("sha256", 32)]))
def test_exact_answers_as_a_dictionary_does(keys: list[bytes], seed: int, kind: tuple[str, int]) -> None:
    name, size = kind
    rng = random.Random(seed)
    values = [key[:2] + bytes(size - 3) + key[2:] for key in keys] + [rng.randbytes(size) for _ in range(20)]
    expected = defaultdict(list)
    for n, value in enumerate(values):
        expected[value].append(n)
    snapshot = opened([Entry(((name, v),)) for v in values])
    asked = [*values, *(changed(rng, v, 1) for v in values), bytes(size), b"\xff" * size]
    many = snapshot.contains_many(name, as_keys(b"".join(asked), size))
    assert many.tolist() == [value in expected for value in asked]
    for value in asked:
        assert [e.number for e in snapshot.exact(name, value)] == expected.get(value, [])
        assert snapshot.contains_exact(name, value) == (value in expected)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, limit=st.integers(0, 40))
def test_a_delta_touches_the_files_that_a_new_value_is_near(seed: int, limit: int) -> None:
    rng = random.Random(seed)
    values = hashes(rng, 32, 3)
    cut = rng.randint(0, len(values) - 1)
    old = opened([Entry((("pdq", v),)) for v in values[:cut]] or [Entry((("md5", bytes(16)),))])
    new = opened([Entry((("pdq", v),)) for v in values[cut // 2 :]])
    limits = {"pdq": Threshold(limit, 0)}
    delta = added([OpenFeed(FeedTerms("f"), new)], [OpenFeed(FeedTerms("f"), old)], limits)
    fresh = set(values[cut // 2 :]) - set(values[:cut])
    asked = [changed(rng, rng.choice(values), rng.randint(0, 40)) for _ in range(40)]
    batch = [Digests(1, "", {}, (PerceptualHash("pdq", "full", v, 100),)) for v in asked]
    expected = [i for i, a in enumerate(asked) if any(distance(a, v) <= limit for v in fresh)]
    assert touched(delta, batch) == expected


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, clusters=st.integers(0, 6), limit=st.integers(0, 40))
def test_many_are_answered_as_each_alone(seed: int, clusters: int, limit: int) -> None:
    rng = random.Random(seed)
    values = hashes(rng, 32, clusters)
    asked = [changed(rng, rng.choice(values), rng.randint(0, 40)) for _ in range(rng.randint(0, 80))]
    for shape in (SMALL, SHAPES["11 slots, few buckets"], None):
        snapshot = opened([Entry((("pdq", v),)) for v in values], 1 if shape else 10**9, shape)
        answer = [(place, d, e.number) for place, d, e in snapshot.near_many("pdq", asked, limit)]
        expected = [
            (place, d, n)
            for place, wanted in enumerate(asked)
            for n, v in enumerate(values)
            if (d := distance(v, wanted)) <= limit
        ]
        assert sorted(answer) == sorted(expected)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, clusters=st.integers(0, 6), limit=st.integers(0, 31), alike=st.booleans())
def test_a_join_finds_each_stored_value_near_a_new_one(
    seed: int, clusters: int, limit: int, alike: bool
) -> None:
    rng = random.Random(seed)
    new = hashes(rng, 32, clusters)
    if alike:
        new = [changed(rng, new[0], rng.randint(0, 3)) for _ in range(100)]
    near = [changed(rng, rng.choice(new), limit + rng.randint(0, 1)) for _ in range(200)]
    stored = near + [rng.randbytes(32) for _ in range(50)]
    left, right = (np.frombuffer(b"".join(v), dtype=np.uint8).reshape(-1, 32) for v in (stored, new))
    expected = [any(distance(a, b) <= limit for b in new) for a in stored]
    assert Join(right, limit).any_within(left).tolist() == expected
    assert any_within(left, right, limit).tolist() == expected


@pytest.mark.parametrize(("name", "size"), [("md5", 16), ("sha1", 20)])
def test_a_list_with_a_finer_bucket_table_answers_as_a_set_does(name: str, size: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    listed = rng.integers(0, 256, (400_000, size), dtype=np.uint8)
    listed[:1000, :5] = 7  # a crowded bucket
    listed[1000:1100] = listed[2000:2100]
    listed[-1] = 255
    builder = SnapshotBuilder(scratch=tmp_path)
    builder.add(Packed(name, listed.tobytes()))
    builder.finish(tmp_path / "s", meta={"feed": "f", "format": "test", "built_ns": 0})
    snapshot = Snapshot.open(tmp_path / "s")
    snapshot.check()
    absent = rng.integers(0, 256, (50_000, size), dtype=np.uint8)
    absent[:1000, :5] = 7
    asked = np.concatenate((listed[:5000], listed[-5000:], absent))
    found = snapshot.contains_many(name, as_keys(asked.tobytes(), size))
    assert found[:10000].all() and not found[10000:].any()
    every = {row.tobytes(): [] for row in listed[:2100]}
    for number, row in enumerate(listed):
        if (numbers := every.get(row.tobytes())) is not None:
            numbers.append(number)
    for value, numbers in every.items():
        assert [e.number for e in snapshot.exact(name, value)] == numbers
    assert not any(snapshot.contains_exact(name, row.tobytes()) for row in absent[:1000])
    # Sorted ones against many, and any against few.
    keys = snapshot.keys(name)
    assert contained(keys, keys).all() and contained(keys[::-1].copy(), keys).all()
    wanted = as_keys(asked.tobytes(), size)
    assert np.array_equal(contained(wanted, keys[:1000]), np.isin(wanted, keys[:1000]))
