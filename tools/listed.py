"""Prints one list of pyproject.toml, a line an item: `listed.py project.optional-dependencies.tools`."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

found = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
for step in sys.argv[1].split("."):
    found = found[step]
print(*found, sep="\n")
