"""What is counted of the files of a directory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scanner.catalog import queries
from scanner.catalog.chunks import SIZE, STATE, Row
from scanner.catalog.database import Database
from scanner.catalog.packing import digested
from scanner.catalog.records import VolumeStats
from scanner.model.files import FileState

_CLEAN = int(FileState.CLEAN)  # plain numbers compare in a third of the time
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
    clean = states.count(_CLEAN)
    if clean == len(rows):
        size = sum([row[SIZE] for row in rows])
        return Counts(clean, clean, digested=digested(rows), bytes=size)
    size = sum([row[SIZE] for row in rows if row[STATE] == _CLEAN])
    return Counts(
        len(rows),
        clean,
        states.count(FileState.NOT_MEDIA),
        states.count(FileState.UNDECODABLE),
        states.count(FileState.LISTED),
        digested(rows),
        size,
    )


def volume_stats(
    database: Database, volume_id: int, name: str, root: bytes, matched_with: str
) -> VolumeStats:
    """The sums of one volume.

    Raises:
        CatalogError: the catalog can't be read.
    """
    row = database.row(queries.STATS, (volume_id,)) or (0,) * 8
    directories, files, size, clean, not_media, undecodable, listed, digested = map(int, row)
    states = {
        FileState.CLEAN: clean,
        FileState.NOT_MEDIA: not_media,
        FileState.UNDECODABLE: undecodable,
        FileState.LISTED: listed,
    }
    return VolumeStats(name, root, directories, files, size, states, digested, matched_with)
