"""Reading a list that a test writes down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scanner.feeds import FormatOptions, ImportResult, import_list
from scanner.model.feeds import Entry

Read = Callable[..., tuple[list[Entry], ImportResult]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """`read(content, format="auto", **options)` gives the entries and the result of an import."""

    def read_list(content: bytes, format: str = "auto", **options: Any) -> tuple[list[Entry], ImportResult]:
        path = tmp_path / "list"
        path.write_bytes(content)
        entries: list[Entry] = []
        return entries, import_list(path, format, FormatOptions(**options), entries.append)

    return read_list
