"""Reading a list that a test writes down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from scanner.feeds import FormatOptions, ImportResult, import_list
from scanner.model.feeds import Entry, Item, Removal, entries_of
from scanner.model.hashes import KINDS

SIZES = {name: kind.size for name, kind in KINDS.items()}
Read = Callable[..., tuple[list[Entry | Removal], ImportResult]]


def single(item: Item) -> Iterator[Entry | Removal]:
    """The entries of an item, or the removal that it is."""
    if isinstance(item, Removal):
        yield item
    yield from entries_of(item, SIZES)


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """`read(content, format="auto", **options)` gives the entries and the result of an import."""

    def read_list(
        content: bytes, format: str = "auto", limits: Mapping[str, Any] = MappingProxyType({}), **options: Any
    ) -> tuple[list[Entry | Removal], ImportResult]:
        path = tmp_path / "list"
        path.write_bytes(content)
        entries: list[Entry | Removal] = []
        result = import_list(
            path, format, FormatOptions(**options), lambda i: entries.extend(single(i)), **limits
        )
        return entries, result

    return read_list
