"""An index does not depend on how its entries come: one by one, or many at once."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from scanner.index import SnapshotBuilder
from scanner.model.feeds import Entry, Item, Packed, Rows, entries_of
from scanner.model.hashes import KINDS

SIZES = {name: kind.size for name, kind in KINDS.items()}


def built(path: Path, items: Sequence[Item]) -> bytes:
    builder = SnapshotBuilder()
    for item in items:
        builder.add(item)
    builder.finish(path, meta={"feed": "f", "format": "csv", "built_ns": 1})
    return path.read_bytes()


def rows(rng: random.Random, count: int, ids: Sequence[str]) -> Rows:
    hashes = tuple((kind, rng.randbytes(count * SIZES[kind])) for kind in ("md5", "sha256"))
    return Rows(hashes, [rng.choice(["1", "2", ""]) for _ in range(count)], ids)


def test_many_at_once_make_the_same_index_as_one_by_one(tmp_path: Path) -> None:
    rng = random.Random(1)
    items: list[Item] = [
        Entry((("sha1", rng.randbytes(20)),), "", "9"),
        rows(rng, 3, ()),
        rows(rng, 4, ["a", "", "é\ud800", "bc"]),
        Packed("md5", rng.randbytes(32)),
        rows(rng, 2, ["x", "y"]),
        Entry((("md5", rng.randbytes(16)),), "z", "1"),
    ]
    single = [entry for item in items for entry in entries_of(item, SIZES)]
    assert len(single) == 1 + 3 + 4 + 2 + 2 + 1
    assert [e.id for e in single[4:8]] == ["a", "", "é\ud800", "bc"]
    assert built(tmp_path / "a", items) == built(tmp_path / "b", single)


def test_a_column_of_another_length_is_a_mistake_of_the_format() -> None:
    with pytest.raises(RuntimeError, match="17 bytes can't be 1 values of md5"):
        SnapshotBuilder().add(Rows((("md5", bytes(17)),), ["1"]))
