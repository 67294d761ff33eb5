"""Where files come from: the walk over a volume, and what it leaves out."""

from __future__ import annotations

from scanner.sources.excludes import Excludes, compile_excludes
from scanner.sources.listed import native_reader
from scanner.sources.names import find_names
from scanner.sources.policy import WalkPolicy
from scanner.sources.shortcuts import Shortcut, walk_volume
from scanner.sources.snapshots import has_snapshots
from scanner.sources.tracing import Reach, Trace, trace
from scanner.sources.walk import walk

__all__ = [
    "Excludes",
    "Reach",
    "Shortcut",
    "Trace",
    "WalkPolicy",
    "compile_excludes",
    "find_names",
    "has_snapshots",
    "native_reader",
    "trace",
    "walk",
    "walk_volume",
]
