"""The extension finds in lists what NumPy finds and what a look at every value finds, and leaves no list."""

from __future__ import annotations

import sys
import threading

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.index.exact import as_keys
from scanner.index.native import native_search
from scanner.index.perceptual import Near, PerceptualTable, Strategy, joined
from scanner.index.probing import SlotTables
from scanner.index.shapes import SMALL, Shape, layout_of
from scanner.index.slots import SlotBuilder

Hashes = npt.NDArray[np.uint8]

pytestmark = pytest.mark.skipif(native_search() is None, reason="the extension was not built")

# Of every radius, with and without a check beside the rows.
SHAPES = {
    "16 slots": SMALL,
    "11 slots": layout_of(1_000_000),
    "11 slots, few buckets": Shape((24,) * 3 + (23,) * 8, 16, spread=True),
    "13 slots": Shape((20,) * 9 + (19,) * 4, 12, spread=True),
    "32 slots": Shape((8,) * 32, 8, spread=True),
}


def tables(hashes: Hashes, shape: Shape) -> SlotTables:
    builder = SlotBuilder(shape, None)
    builder.add(as_keys(hashes.tobytes(), 32))
    words, starts = (
        np.frombuffer(b"".join(part), dtype="<u4").copy() for part in (builder.words(), builder.starts())
    )
    return SlotTables(shape, len(hashes), words, starts.reshape(len(shape.widths), -1))


def pairs(near: list[Near]) -> list[tuple[int, int, int]]:
    found = joined(near)
    return sorted(zip(found.asked.tolist(), found.rows.tolist(), found.bits.tolist(), strict=True))


def altered(rng: np.random.Generator, hashes: Hashes, most: int) -> Hashes:
    """Each with up to so many bits changed."""
    order = rng.random((len(hashes), 8 * hashes.shape[1])).argsort(axis=1)
    return hashes ^ np.packbits(order < rng.integers(0, most + 1, (len(hashes), 1)), axis=1)


def listed(rng: np.random.Generator, kind: str, size: int = 32) -> Hashes:
    """Unrelated values; clusters of look-alikes; values that crowd some buckets; one value many times."""
    count = int(rng.integers(1, 400))
    plain: Hashes = rng.integers(0, 256, (count, size), dtype=np.uint8)
    if kind == "clusters":
        return altered(rng, plain[rng.integers(0, min(count, 4), 300)], 40)
    if kind == "skewed":
        plain &= np.where(rng.random(size) < 0.7, np.uint8(0x11), np.uint8(0xFF))
    elif kind == "one":
        plain[:] = plain[0]
    return plain


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(["plain", "clusters", "skewed", "one"]))
def test_both_ways_and_a_look_at_every_value_find_the_same(shape: str, seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    hashes = listed(rng, kind)
    asked = altered(rng, hashes[rng.integers(0, len(hashes), rng.integers(1, 40))], 40)
    bits = np.bitwise_count(asked[:, None] ^ hashes[None]).sum(axis=2, dtype=int)
    slots = tables(hashes, SHAPES[shape])
    ways = [PerceptualTable(hashes, slots, native=native) for native in (True, False)]
    for limit in (*range(32), 33, 200, 256):
        expected = [(a, r, bits[a, r]) for a, r in np.argwhere(bits <= limit).tolist()]
        for strategy in ("tables", "auto") if limit < 32 else ("scan",):
            for way in ways:
                assert pairs(list(way.near_many(asked, limit, strategy))) == expected


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    size=st.sampled_from([1, 8, 9, 16, 23, 32, 144]),
    kind=st.sampled_from(["plain", "one"]),
)
def test_values_of_all_sizes_are_scanned_as_by_numpy(seed: int, size: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    hashes = listed(rng, kind, size)
    asked = altered(rng, hashes[rng.integers(0, len(hashes), rng.integers(1, 80))], 8)
    ways = [PerceptualTable(hashes, native=native) for native in (True, False)]
    for limit in (0, 1, 6, 8 * size - 1, 8 * size):
        native, plain = (pairs(list(way.near_many(asked, limit))) for way in ways)
        assert native == plain
    assert len(native) == len(asked) * len(hashes)


@pytest.mark.parametrize("strategy", ["auto", "tables", "scan"])
@pytest.mark.parametrize("shape", ["16 slots", "11 slots, few buckets"])
def test_a_list_of_look_alikes_is_answered_in_parts_of_bounded_size(shape: str, strategy: Strategy) -> None:
    """More of them than are kept for a value, in buckets that many values share."""
    rng, count = np.random.default_rng(2), 30_000
    centre = rng.integers(0, 256, 32, dtype=np.uint8)
    hashes = np.tile(centre, (count, 1))
    hashes[np.arange(count), rng.integers(0, 32, count)] ^= 1 << rng.integers(0, 8, count, dtype=np.uint8)
    slots, asked = tables(hashes, SHAPES[shape]), np.tile(centre, (5, 1))
    near = list(PerceptualTable(hashes, slots).near_many(asked, 31, strategy))
    assert pairs(near) == [(a, row, 1) for a in range(5) for row in range(count)]
    if strategy != "tables":
        assert len(near) > 1 and max(len(part.rows) for part in near) <= 1 << 17
    native = native_search()
    assert native is not None
    for distance in (0, 31):
        # Told by how many rows would be looked at; and, where that is not asked, by how many are near.
        for most, crowded in ((1000, [0, 1]), (sys.maxsize, [0, 1] if distance else [])):
            answer = native.probe(hashes, *slots.parts, asked[:2], distance, most)
            assert answer == (b"", crowded)


@pytest.mark.parametrize("shape", ["16 slots", "11 slots, few buckets"])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), what=st.sampled_from(["order", "starts"]), whole=st.booleans())
def test_tables_that_are_damaged_end_in_an_error_or_name_what_is_near(
    shape: str, seed: int, what: str, whole: bool
) -> None:
    rng = np.random.default_rng(seed)
    hashes = listed(rng, "clusters")
    slots = tables(hashes, SHAPES[shape])
    column = slots.parts[0 if what == "order" else 1]
    column[rng.random(len(column)) < (1 if whole else 0.01)] = rng.choice([0, 1, 2**31, 2**32 - 1, 300])
    try:
        near = list(PerceptualTable(hashes, slots).near_many(hashes[:20], 31, "tables"))
    except IndexError:
        return
    bits = np.bitwise_count(hashes[:20, None] ^ hashes[None]).sum(axis=2, dtype=int)
    assert all(bits[asked, row] == distance <= 31 for asked, row, distance in pairs(near))


@pytest.mark.parametrize("number", [2**32 - 1, 2**31, 301 << 8])
def test_a_number_that_leads_out_of_its_table_is_an_error(number: int) -> None:
    hashes = np.random.default_rng(3).integers(0, 256, (300, 32), dtype=np.uint8)
    # NumPy trusts the beginnings of buckets, which are looked through when a list is opened.
    for part, ways in ((0, (True, False)), (1, (True,))):
        slots = tables(hashes, SMALL)
        slots.parts[part][:] = number
        slots.parts[1][0] = 0
        for native in ways:
            with pytest.raises(IndexError):
                list(PerceptualTable(hashes, slots, native=native).near_many(hashes[:2], 31, "tables"))


def test_what_does_not_fit_together_is_refused() -> None:
    native = native_search()
    assert native is not None
    hashes = np.random.default_rng(3).integers(0, 256, (300, 32), dtype=np.uint8)
    good = (hashes, *tables(hashes, SMALL).parts, hashes[:2], 31, 300)
    native.probe(*good)
    sixteen = bytes([16] * 16)
    wrong: list[tuple[int, object]] = [
        (0, hashes[:299]), (0, hashes.ravel()[1:]), (1, good[1][1:]), (2, good[2][1:]), (4, bytes(255)),
        *((3, shape) for shape in (b"", b"\x10", b"\x10" * 16, b"\x11" + sixteen, b"\0" + sixteen)),
        *((3, shape) for shape in (b"\x10" + b"\x20" * 8, b"\x10" + b"\1" * 257, b"\xff" + sixteen)),
        (5, hashes[:65]), (5, bytes(31)), (6, -1), (6, 32), (7, -1),
    ]  # fmt: skip
    for place, value in wrong:
        with pytest.raises(ValueError):
            native.probe(*good[:place], value, *good[place + 1 :])
    for numbers in ((0, 31, 0, 300), (31, 31, 0, 1), (32, 31, -1, 300), (32, 31, 0, 301), (32, 31, 9, 8)):
        with pytest.raises(ValueError):
            native.scan(hashes, hashes[:2], *numbers)
    for rows, asked in ((hashes, hashes[:65]), (hashes[::2], hashes[:2])):
        with pytest.raises(ValueError):
            native.scan(rows, asked, 32, 31, 0, 150)


def test_words_of_tables_are_renumbered_or_lead_nowhere() -> None:
    native = native_search()
    assert native is not None
    moved = np.array([7, 2**32 - 1, 9], dtype=np.uint32)
    words = np.array([0 << 4 | 3, 2 << 4 | 15, 1 << 4, 0 << 4], dtype=np.uint32)
    renumbered, gone = native.renumber(words, moved, 4)
    kept = np.frombuffer(renumbered, dtype=np.uint32)[[0, 1, 3]]
    assert kept.tolist() == [7 << 4 | 3, 9 << 4 | 15, 7 << 4]
    assert np.frombuffer(gone, dtype=np.uint32).tolist() == [2]
    assert native.renumber(words[:0], moved, 4) == (b"", b"")
    for row in (3, 2**28 - 1):
        with pytest.raises(IndexError):
            native.renumber(np.array([0, row << 4], dtype=np.uint32), moved, 4)
    for wrong in ((bytes(5), moved, 4), (words, bytes(3), 4), (words, moved, 25)):
        with pytest.raises(ValueError):
            native.renumber(*wrong)


def test_other_threads_go_on_while_a_list_is_searched() -> None:
    """While it held the interpreter no other thread could run before it ended: turns are never taken away."""
    table, interval = PerceptualTable(np.zeros((250_000, 32), dtype=np.uint8)), sys.getswitchinterval()
    asked = np.full((64, 32), 255, dtype=np.uint8)
    went_on = False
    sys.setswitchinterval(100)
    try:
        for _ in range(20):
            begun, done = threading.Event(), threading.Event()

            def search(begun: threading.Event = begun, done: threading.Event = done) -> None:
                begun.set()
                list(table.near_many(asked, 31))
                done.set()

            thread = threading.Thread(target=search)
            thread.start()
            begun.wait()
            went_on = not done.is_set()
            thread.join()
            if went_on:
                break
    finally:
        sys.setswitchinterval(interval)
    assert went_on


def test_nothing_is_found_by_nothing() -> None:
    hashes = np.zeros((5, 32), dtype=np.uint8)
    for native in (True, False):
        table = PerceptualTable(hashes, tables(hashes, SMALL), native=native)
        assert list(table.near_many(hashes, -1)) == []
        assert pairs(list(table.near_many(hashes[:0], 31))) == []
