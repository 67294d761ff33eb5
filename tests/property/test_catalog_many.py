"""What is taken out of many chunks at once is what each of them has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.catalog.chunks import EXACT, FIRST_DIGEST, NO_VIEWS, SIZES, Row, Views, encode
from scanner.catalog.many import Chunks, column_of, groups_of, heads_of

SHAPES = [((1, 32),), ((1, 32), (2, 8)), ((3, 4),)]


@st.composite
def views(draw: st.DrawFn, shapes: st.SearchStrategy[tuple[tuple[int, int], ...]]) -> Views:
    pairs = draw(shapes)
    qualities = draw(st.lists(st.sampled_from([0, 1, 50, 100, 127, 128, 255]), min_size=len(pairs),
                              max_size=len(pairs)))  # fmt: skip
    value = draw(st.binary(min_size=1, max_size=4))
    return pairs, qualities, (value * 40)[: sum(length for _, length in pairs)]


@st.composite
def chunk_rows(draw: st.DrawFn) -> list[Row]:
    # Mostly as trees are: all files of a chunk have the same kinds and views, and sometimes not.
    kinds = draw(st.sampled_from([(0,), (0, 1, 2), (2, 3), ()]))
    of_all = draw(st.sampled_from(SHAPES))
    shapes = draw(st.sampled_from([st.just(of_all), st.sampled_from(SHAPES)]))
    pictures = draw(st.sampled_from([st.just(True), st.just(False), st.booleans()]))
    digested = draw(st.sampled_from([st.just(True), st.just(True), st.booleans()]))
    rows: list[Row] = []
    for number in range(draw(st.integers(1, 5))):
        has = draw(digested)
        exact = [bytes([draw(st.integers(0, 255))]) * size if has and place in kinds else None
                 for place, size in enumerate(SIZES)]  # fmt: skip
        seen = draw(views(shapes)) if draw(pictures) else NO_VIEWS
        rows.append((b"%d" % number, number, 9, 7, 7, 1, 8, 1, 1, 0, 9, *exact, seen))
    return rows


def read(chunks: list[bytes]) -> Chunks:
    return Chunks(list(range(len(chunks))), chunks, heads_of(chunks))


@settings(max_examples=60, deadline=None)
@given(st.lists(chunk_rows(), min_size=1, max_size=5))
def test_many_chunks_give_the_digests_and_views_of_each(many: list[list[Row]]) -> None:
    chunks = read([encode(rows) for rows in many])
    assert chunks.files == sum(map(len, many))
    for kind, size in enumerate(SIZES):
        column = column_of(chunks, kind)
        given_digests = [[row[FIRST_DIGEST + kind] for row in rows] for rows in many]
        assert column.values == b"".join([d for digests in given_digests for d in digests if d])
        assert column.places.tolist() == [
            place for place, digests in enumerate(given_digests) if any(digests)
        ]
        assert column.counts.sum() * size == len(column.values)
        for place, count in zip(column.places.tolist(), column.counts.tolist(), strict=True):
            has = [digest is not None for digest in given_digests[place]]
            bits = column.bits.get(place)
            assert count == sum(has)
            assert bits is not None or all(has)
            if bits is not None:
                order = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")
                assert order[: len(has)].astype(bool).tolist() == has
    found: dict[tuple[int, int], tuple[object, ...]] = {}
    for group in groups_of(chunks):
        row = 0
        for place, count in zip(group.places, group.counts, strict=True):
            files = group.files.get(place, range(int(chunks.heads["files"][place])))
            assert len(files) == count
            for file in files:
                assert (place, file) not in found
                pairs = tuple(zip(group.shape.views, group.shape.lengths, strict=True))
                found[place, file] = (pairs, group.qualities[row].tolist(), group.values[row].tobytes())
                row += 1
        assert row == len(group.values) == len(group.qualities)
    assert found == {
        (place, file): row[-1]
        for place, rows in enumerate(many)
        for file, row in enumerate(rows)
        if row[-1][0]
    }


def test_a_chunk_that_is_cut_off_is_told_among_many() -> None:
    exact = [b"1" * size for size in SIZES]
    row = (b"name", 1, 9, 7, 7, 1, 8, 1, 1, 0, 9, *exact, (SHAPES[1], [9, 9], b"v" * 40))
    whole = encode([row])
    with pytest.raises(ValueError):
        heads_of([whole, whole[:9]])
    with pytest.raises(ValueError, match="no chunk"):
        heads_of([whole, whole[:200]])
    flags = bytearray(whole)
    flags[1] = 0b01
    for kind in range(len(EXACT)):
        with pytest.raises(ValueError, match="cut off"):
            column_of(read([whole, bytes(flags)]), kind)
    longer = bytearray(whole)
    longer[10:14] = (int.from_bytes(whole[10:14], "little") + 1).to_bytes(4, "little")
    with pytest.raises(ValueError, match="cut off"):
        groups_of(read([whole, bytes(longer)]))
