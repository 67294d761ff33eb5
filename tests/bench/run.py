"""Measures hostsweep beside the tools that people compare it with, and prints ratios.

    .venv/bin/python tests/bench/run.py [--full] [--only NAME]... [--write]

Everything is made in a temporary directory (TMPDIR; 4 GB are needed, 16 GB with --full) and removed again.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import FULL, NORMAL
from measuring import Skipped
from report import Row, as_markdown, as_text, machine

_PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
_SPACE, _FULL_SPACE = 4 << 30, 16 << 30  # bytes the largest of them needs
_METHOD = (Path(__file__).parent / "method.md").read_text()


def measure(name: str, benchmark: Callable[[Path], Iterator[Row]]) -> list[Row]:
    """One benchmark in a directory of its own; what can't be measured is a row that says why."""
    print(f"{name} ...", file=sys.stderr, end=" ", flush=True)
    start = time.monotonic()
    rows: list[Row] = []
    try:
        with tempfile.TemporaryDirectory(prefix=f"hostsweep-bench-{name}-") as folder:
            rows.extend(benchmark(Path(folder)))
    except Skipped as e:
        rows.append(Row(name, "-", "", "not measured", str(e)))
    print(f"{time.monotonic() - start:.0f} s", file=sys.stderr)
    return rows


def main() -> None:
    known = {**NORMAL, **FULL}
    parser = argparse.ArgumentParser(description="Measure hostsweep and print ratios.")
    parser.add_argument(
        "--full", action="store_true", help="also lists of a hundred million entries: half an hour"
    )
    parser.add_argument(
        "--only", action="append", choices=sorted(known), help="only this one; may be repeated"
    )
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    options = parser.parse_args()
    names = options.only or [*NORMAL, *(FULL if options.full else ())]
    space = _FULL_SPACE if any(name in FULL for name in names) else _SPACE
    folder = tempfile.gettempdir()
    if shutil.disk_usage(folder).free < space:
        parser.exit(2, f"{folder} has less than {space >> 30} GB free: set TMPDIR to another directory\n")
    on = machine()
    print(on)
    rows = [row for name in names for row in measure(name, known[name])]
    print()
    print(as_text(rows))
    if options.write:
        words = [*(["--full"] if options.full else []), *(f"--only {name}" for name in options.only or ())]
        command = " ".join([".venv/bin/python tests/bench/run.py", *words, "--write"])
        _PAGE.write_text(as_markdown(rows, command, on, _METHOD))


if __name__ == "__main__":
    main()
