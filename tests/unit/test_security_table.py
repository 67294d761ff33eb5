"""The table of threats names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_test_that_the_table_of_threats_names_exists() -> None:
    tables = [(ROOT / "docs" / name).read_text() for name in ("security.md", "trust.md")]
    named = {test for table in tables for test in re.findall(r"`(test_\w+)`(?!\.)", table)}
    there = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        there |= set(re.findall(r"def (test_\w+)", path.read_text()))
    modules = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    assert named and not named - there - modules
