"""The extension that packs chunks writes the bytes that Python writes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.catalog.chunks import NO_VIEWS, SIZES, Row, decode, encode, native_packer

pytestmark = pytest.mark.skipif(native_packer() is None, reason="the extension was not built")

EDGES = st.sampled_from(
    [0, 1, 255, 256, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 90]
)
NUMBERS = st.one_of(EDGES, EDGES.map(lambda n: -n), st.integers(-(1 << 65), 1 << 65), st.integers(0, 300))
USUAL = st.integers(-(1 << 62) + 1, (1 << 62) - 1)


@st.composite
def file_rows(draw: st.DrawFn) -> list[Row]:
    count = draw(st.integers(1, 60))
    columns = []
    for _ in range(10):
        numbers = draw(st.sampled_from([USUAL, USUAL, st.integers(0, 300), NUMBERS]))
        one = draw(numbers)
        columns.append([one if draw(st.booleans()) else draw(numbers) for _ in range(count)])
    has = [draw(st.sampled_from([st.just(True), st.just(False), st.booleans()])) for _ in SIZES]
    return [
        (
            draw(st.binary(min_size=1, max_size=5)),
            *(column[n] for column in columns),
            *(bytes([n]) * size if draw(there) else None for size, there in zip(SIZES, has, strict=True)),
            NO_VIEWS,
        )
        for n in range(count)
    ]


@settings(max_examples=60, deadline=None)
@given(file_rows())
def test_both_ways_of_packing_give_the_same_bytes(rows: list[Row]) -> None:
    data = encode(rows)
    assert data == encode(rows, native=False)
    assert decode(data) == rows


def test_the_usual_is_packed_by_the_extension_and_what_is_not_is_left() -> None:
    packer = native_packer()
    assert packer is not None
    digests = [b"d" * size for size in SIZES]
    numbers = [1 << 40, 5, 1_700_000_000_000_000_000, 1_700_000_000_000_000_001, 1, 8, 0, 1, 0, 5]
    usual = (b"name", *numbers, *digests, NO_VIEWS)
    assert packer([usual] * 56) is not None
    for wrong in (
        (b"name", 1 << 62, *numbers[1:], *digests, NO_VIEWS),
        (b"name", *numbers, b"short", *digests[1:], NO_VIEWS),
        ("name", *numbers, *digests, NO_VIEWS),
        (b"name", "1", *numbers[1:], *digests, NO_VIEWS),
        usual[:-1],
        list(usual),
    ):
        assert packer([usual, wrong]) is None  # type: ignore[list-item]
    for rows in ([], [usual] * 257, (usual,), None):
        assert packer(rows) is None  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="has not"):
        encode([(b"name", *numbers, b"short", *digests[1:], NO_VIEWS)])
