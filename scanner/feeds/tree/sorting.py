"""All entries of a list as lines in the order of their keys, in bounded memory.

Sorted runs go to disk and are merged; of several records with one key the newest stays, a removal takes it
away.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

from scanner.feeds.tree.lines import line_of
from scanner.model.feeds import Entry, Item, Removal, entries_of
from scanner.model.hashes import KINDS

_RUN = 64 << 20  # bytes of lines sorted at once; ten million entries make some 40 runs
_KEY = 32  # digits
_TIME = 20  # digits of 2^64
_PLACE = 12  # digits: more entries than a list can have
_HEAD = _KEY + 1 + _TIME + _PLACE


class LineSorter:
    """Collects the items of a list.

    Args:
        directory: for the runs; they are left there.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._sizes = {name: kind.size for name, kind in KINDS.items()}
        self._held: list[bytes] = []
        self._bytes = 0
        self._number = 0
        self._runs: list[Path] = []

    def add(self, item: Item) -> None:
        """Take the next item of the list."""
        if isinstance(item, Removal):
            self._take(item)
        for entry in entries_of(item, self._sizes):
            self._take(entry)

    def _take(self, item: Entry | Removal) -> None:
        # Of an entry and a removal of one time the removal counts, so it sorts after.
        if isinstance(item, Entry):
            line, sign = line_of(item), b"+"
        else:
            line, sign = line_of(Entry((), key=item.key))[: _KEY + 1], b"-"
        head = b"%s %0*d" % (line[:_KEY], _TIME, 2 * item.changed_ns + (sign == b"-"))
        self._held.append(head + b"%0*d" % (_PLACE, self._number) + sign + line + b"\n")
        self._number += 1
        self._bytes += len(line) + _HEAD
        if self._bytes >= _RUN:
            self._spill()

    def _spill(self) -> None:
        self._held.sort()
        path = self._directory / f"run-{len(self._runs):04d}"
        with path.open("wb") as file:
            file.writelines(self._held)
        self._runs.append(path)
        self._held = []
        self._bytes = 0

    def lines(self) -> Iterator[bytes]:
        """All lines in order, without signs, each with a line feed."""
        self._spill()
        with ExitStack() as stack:
            runs = [stack.enter_context(path.open("rb")) for path in self._runs]
            for _, group in groupby(heapq.merge(*runs), key=lambda line: line[:_KEY]):
                *_, last = group
                if last[_HEAD : _HEAD + 1] == b"+":
                    yield last[_HEAD + 1 :]
