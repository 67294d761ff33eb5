"""Searching finds what a look at every entry finds: no more, no less, in either way."""

from __future__ import annotations

import random
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.index import OpenFeed, Snapshot, SnapshotBuilder, Threshold, added
from scanner.index.perceptual import Strategy
from scanner.model.feeds import Entry, FeedTerms
from scanner.model.hashes import Digests, PerceptualHash

SEEDS = st.integers(0, 2**32)


def opened(entries: list[Entry], tables_from: int = 10**9) -> Snapshot:
    """A snapshot whose file is gone again by the time it is asked."""
    with tempfile.TemporaryDirectory() as directory:
        builder = SnapshotBuilder(tables_from=tables_from)
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


@pytest.mark.parametrize("strategy", ["tables", "scan", "auto"])
@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, clusters=st.integers(0, 6))
def test_near_finds_all_within_256_bits(strategy: Strategy, seed: int, clusters: int) -> None:
    rng = random.Random(seed)
    values = hashes(rng, 32, clusters)
    snapshot = opened([Entry((("pdq", v),)) for v in values], tables_from=1)
    for limit in range(32 if strategy == "tables" else 41):
        wanted = changed(rng, rng.choice(values), rng.randint(0, 40))
        expected = sorted((d, n) for n, v in enumerate(values) if (d := distance(v, wanted)) <= limit)
        answer = snapshot.near("pdq", wanted, limit, strategy=strategy)
        assert [(d, e.number) for d, e in answer] == expected


def test_tables_find_the_hardest_neighbours() -> None:
    """At distance 31 with two bits changed in every slot but one: found by that slot's single bit alone."""
    centre = random.Random(5).randbytes(32)
    every_slot = sum(0b11 << (16 * slot + 3) for slot in range(16))
    entries = []
    for bit in range(256):
        slot = bit // 16
        mask = every_slot & ~(0xFFFF << (16 * slot)) | 1 << bit
        entries.append(Entry((("pdq", (int.from_bytes(centre, "big") ^ mask).to_bytes(32, "big")),)))
    answer = opened(entries, tables_from=1).near("pdq", centre, 31, strategy="tables")
    assert [(d, e.number) for d, e in answer] == [(31, n) for n in range(256)]


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
    assert delta.touched([picture]) == []


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
    for value in [*values, *(changed(rng, v, 1) for v in values), bytes(size), b"\xff" * size]:
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
    assert delta.touched(batch) == expected


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, clusters=st.integers(0, 6), limit=st.integers(0, 40))
def test_many_are_answered_as_each_alone(seed: int, clusters: int, limit: int) -> None:
    rng = random.Random(seed)
    values = hashes(rng, 32, clusters)
    asked = [changed(rng, rng.choice(values), rng.randint(0, 40)) for _ in range(rng.randint(0, 80))]
    for tables_from in (1, 10**9):
        snapshot = opened([Entry((("pdq", v),)) for v in values], tables_from)
        answer = [(place, d, e.number) for place, d, e in snapshot.near_many("pdq", asked, limit)]
        expected = [
            (place, d, n)
            for place, wanted in enumerate(asked)
            for n, v in enumerate(values)
            if (d := distance(v, wanted)) <= limit
        ]
        assert sorted(answer) == sorted(expected)
