"""The search tables of a changed list are those that would have been made anew, byte for byte."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.index import Origin, Snapshot, SnapshotBuilder
from scanner.index.moving import MovedTables
from scanner.index.shapes import SMALL, Shape
from scanner.index.slots import SlotBuilder
from scanner.model.feeds import Entry, Item, Removal

ORIGIN: Origin = {"feed": "f", "format": "test", "built_ns": 0}
SHAPES = {"16 slots": SMALL, "11 slots": Shape((24,) * 3 + (23,) * 8, 16, spread=True)}


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    pool=st.integers(1, 60),
    added=st.integers(0, 40),
    gone=st.integers(0, 30),
    native=st.booleans(),
)
def test_moved_tables_are_those_made_anew(
    shape: str, seed: int, pool: int, added: int, gone: int, native: bool
) -> None:
    rng = random.Random(seed)
    values = [rng.randbytes(32) for _ in range(pool)]  # a small pool: the same value in many rows
    moved: list[MovedTables] = []

    class Watched(MovedTables):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, native=native)  # type: ignore[arg-type]
            moved.append(self)

    def entry(n: int) -> Entry:
        return Entry((("pdq", rng.choice(values)),), f"id {n}", "", f"key {n}", n)

    def built(base: Snapshot | None, items: list[Item]) -> Snapshot:
        builder = SnapshotBuilder(base=base, tables_from=1, shape=SHAPES[shape], scratch=folder)
        for item in items:
            builder.add(item)
        builder.finish(folder / "s", meta=ORIGIN, durable=False)
        return Snapshot.open(folder / "s")

    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr("scanner.index.finish.MovedTables", Watched)
        folder = Path(directory)
        base = built(None, [entry(n) for n in range(100)])
        removed: list[Item] = [Removal(f"key {n}", 1000) for n in rng.sample(range(100), gone)]
        replaced: list[Item] = [entry(n) for n in rng.sample(range(100), 5)]
        new: list[Item] = [entry(200 + n) for n in range(added)]
        changed = built(base, [*removed, *replaced, *new])
        assert moved
        changed.check()
        fresh = SlotBuilder(SHAPES[shape], None)
        fresh.add(changed.keys("pdq"))
        for section, parts in (("slot-order", fresh.words), ("slot-starts", fresh.starts)):
            column = changed.column("pdq", section, "<u4")
            assert column.slice(0, column.length).tobytes() == b"".join(map(bytes, parts()))
