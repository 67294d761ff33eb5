"""What was measured, as a table on the terminal and as docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_QUIET = 0.5  # load average up to which a machine counts as doing nothing else

Verdict = Literal["met", "missed", "-", "not measured"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        what, aim, measured: in plain words.
        verdict: "-" for figures that have no aim of their own.
        note: a reason, or what the figure consists of.
    """

    what: str
    aim: str
    measured: str
    verdict: Verdict
    note: str = ""


def judged(what: str, aim: str, measured: str, met: bool, note: str = "") -> Row:
    return Row(what, aim, measured, "met" if met else "missed", note)


def machine() -> str:
    """What this ran on, and how busy that was."""
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    busy = ": other work ran beside it, and single rounds lie far apart" if load > _QUIET else ""
    return (
        f"{cores} cores ({_model()}), Linux {platform.release()}, {platform.machine()}, "
        f"Python {platform.python_version()}; load average at the start {load:.1f}{busy}"
    )


def _model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def as_text(rows: Sequence[Row]) -> str:
    cells = [("what", "aim", "measured", "verdict"), *((r.what, r.aim, r.measured, r.verdict) for r in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(4)]
    lines = ["  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    notes = [f"  {r.what}: {r.note}" for r in rows if r.note]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], *(["", "Notes", *notes] if notes else [])])


def as_markdown(rows: Sequence[Row], command: str, on: str, method: str) -> str:
    table = ["| what | aim | measured | verdict |", "|---|---|---|---|"]
    table += [f"| {r.what} | {r.aim} | {r.measured} | {r.verdict} |" for r in rows]
    notes = [f"- {r.what}: {r.note}" for r in rows if r.note]
    parts = [
        "# Benchmarks",
        f"Made by `{command}` on {on}.",
        "\n".join(table),
        *(["## Notes", "\n".join(notes)] if notes else []),
        method.strip(),
    ]
    return "\n\n".join(parts) + "\n"
