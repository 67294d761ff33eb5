"""Reading a list that a test writes down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from scanner.feeds import FormatOptions, ImportResult, import_list
from scanner.model.feeds import Entry, entries_of
from scanner.model.hashes import KINDS

SIZES = {name: kind.size for name, kind in KINDS.items()}
Read = Callable[..., tuple[list[Entry], ImportResult]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """`read(content, format="auto", **options)` gives the entries and the result of an import."""

    def read_list(
        content: bytes, format: str = "auto", limits: Mapping[str, Any] = MappingProxyType({}), **options: Any
    ) -> tuple[list[Entry], ImportResult]:
        path = tmp_path / "list"
        path.write_bytes(content)
        entries: list[Entry] = []
        result = import_list(
            path, format, FormatOptions(**options), lambda i: entries.extend(entries_of(i, SIZES)), **limits
        )
        return entries, result

    return read_list
