"""Printing for people and for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scanner.model.names import display

# Columns of a table in a pipe: nobody looks at the right edge there, and scripts want whole paths.
_PIPE_WIDTH = 8192


def print_json(value: Any) -> None:
    """One JSON value on one line, ASCII only: nothing in it acts on a terminal."""
    sys.stdout.write(json.dumps(value, ensure_ascii=True, separators=(", ", ": ")) + "\n")
    sys.stdout.flush()


def console(*, stderr: bool = False) -> Console:
    """A console that never reads markup out of file names, and in a pipe never cuts a line."""
    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=True)
    if not made.is_terminal:
        made.width = _PIPE_WIDTH
    return made


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A plain table; columns that begin with ``>`` are numbers, aligned right."""
    made = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        show_header=any(c.strip(">") for c in columns),
    )
    for name in columns:
        side: Literal["left", "right"] = "right" if name.startswith(">") else "left"
        made.add_column(Text(name.lstrip(">")), justify=side, overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(display(str(cell))) for cell in row))
    return made


def bytes_text(n: float) -> str:
    """A number of bytes for people: ``1.4 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(n) < 1024:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:.1f} TiB"


def time_text(ns: int | None) -> str:
    """UTC time of nanoseconds since 1970; ``never`` for none."""
    if not ns:
        return "never"
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
