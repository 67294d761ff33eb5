"""What is counted of the files of a directory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scanner.catalog.chunks import SIZE, STATE, Row
from scanner.catalog.packing import digested
from scanner.model.files import FileState

MOST_BYTES = (1 << 63) - 1  # SQLite's INTEGER; sparse files add up to more


class Counts(NamedTuple):
    """In the order of the columns of `directories`; of any number of rows."""

    files: int = 0
    clean: int = 0
    not_media: int = 0
    undecodable: int = 0
    listed: int = 0
    digested: int = 0
    bytes: int = 0

    @property
    def hot(self) -> bool:
        """Some file is neither clean nor "not media"."""
        return self.files != self.clean + self.not_media

    def changed(self, before: Counts, after: Counts) -> Counts:
        """These counts when some of the rows become others."""
        return Counts(*[n - b + a for n, b, a in zip(self, before, after, strict=True)])

    def capped(self) -> Counts:
        return self._replace(bytes=min(self.bytes, MOST_BYTES))


def count(rows: Sequence[Row]) -> Counts:
    """The counts of some rows."""
    states = [row[STATE] for row in rows]
    clean = states.count(FileState.CLEAN)
    if clean == len(rows):
        size = sum([row[SIZE] for row in rows])
    else:
        size = sum([row[SIZE] for row in rows if row[STATE] == FileState.CLEAN])
    return Counts(
        len(rows),
        clean,
        states.count(FileState.NOT_MEDIA),
        states.count(FileState.UNDECODABLE),
        states.count(FileState.LISTED),
        digested(rows),
        size,
    )
