"""The rows of one directory in its chunks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence

from scanner.catalog import queries
from scanner.catalog.chunks import Row, encode
from scanner.catalog.counts import Counts, count
from scanner.catalog.database import Database
from scanner.catalog.packing import Packer

CHUNK_BITS = 27
"""Low bits of a chunk's id: its number in its directory."""
_LAST = (1 << CHUNK_BITS) - 1
# Rows of a chunk above which it is split, and about how many a part gets then: a change in a huge directory
# takes apart and writes so many at the most, some milliseconds.
_MOST = 2048
_PART = 1024
_STEP = 256  # between the numbers of chunks that are appended; room for later ones between them


def span(directory_id: int) -> tuple[int, int]:
    """The least and the greatest id that a directory's chunks may have."""
    return directory_id << CHUNK_BITS, directory_id << CHUNK_BITS | _LAST


class DirectoryFiles:
    """Reads and writes rows. What writes wants to be called within a transaction."""

    def __init__(self, database: Database, packer: Packer) -> None:
        self._database = database
        self._packer = packer

    def rows(self, directory_id: int) -> Iterator[Row]:
        """All rows, ascending by name.

        Raises:
            CatalogError: they can't be read.
        """
        for (data,) in self._database.rows(queries.CHUNK_DATA, span(directory_id)):
            yield from self._packer.rows(data)

    def some(self, directory_id: int, names: Iterable[bytes]) -> dict[bytes, Row]:
        """The rows of these names; names without a row are left out.

        Raises:
            CatalogError: they can't be read.
        """
        chunks = self._database.rows(queries.CHUNKS, span(directory_id))
        found: dict[bytes, Row] = {}
        for chunk_id, _, wanted in _by_chunk(chunks, names):
            for row in self._chunk(chunk_id):
                if row[0] in wanted:
                    found[row[0]] = row
        return found

    def put_all(self, directory_id: int, rows: Sequence[Row]) -> None:
        """Write the rows, ascending by name, of a directory that has no chunk.

        Raises:
            CatalogError: they can't be written.
        """
        start = directory_id << CHUNK_BITS
        if len(rows) <= _MOST:
            if rows:
                self._database.run(queries.PUT_CHUNK, (start, b"", encode(rows)))
            return
        for number, part in enumerate(_parts(rows)):
            first = part[0][0] if number else b""
            self._database.run(queries.PUT_CHUNK, (start + number * _STEP, first, encode(part)))

    def change(self, directory_id: int, changes: Mapping[bytes, Row | None], counts: Counts) -> Counts:
        """Put rows in, or take them out (None), and give the new counts of the directory.

        Args:
            counts: of the directory until now.

        Raises:
            CatalogError: they can't be read or written.
        """
        chunks = self._database.rows(queries.CHUNKS, span(directory_id))
        if not chunks:
            rows = [row for _, row in sorted(changes.items()) if row is not None]
            self.put_all(directory_id, rows)
            return count(rows)
        if len(chunks) == 1:
            ((chunk_id, first),) = chunks
            return self._change_chunk(directory_id, chunk_id, first, changes, alone=True)[1]
        remaining = dict(changes)
        while remaining:
            for chunk_id, first, names in _by_chunk(chunks, tuple(remaining)):
                part = {name: remaining.pop(name) for name in names}
                before, after, split = self._change_chunk(directory_id, chunk_id, first, part)
                counts = counts.changed(before, after)
                if split:
                    break
            chunks = self._database.rows(queries.CHUNKS, span(directory_id))
        return counts

    def count(self, directory_id: int) -> Counts:
        """The counts of all rows, from the rows.

        Raises:
            CatalogError: they can't be read.
        """
        return count(list(self.rows(directory_id)))

    def delete_all(self, directory_ids: Iterable[int]) -> None:
        """Delete all rows of these directories.

        Raises:
            CatalogError: they can't be deleted.
        """
        self._database.run_many(queries.DELETE_CHUNKS, map(span, directory_ids))

    def _chunk(self, chunk_id: int) -> list[Row]:
        row = self._database.row(queries.CHUNK, (chunk_id,))
        return [] if row is None else self._packer.rows(row[0])

    def _change_chunk(
        self,
        directory_id: int,
        chunk_id: int,
        first: bytes,
        changes: Mapping[bytes, Row | None],
        *,
        alone: bool = False,
    ) -> tuple[Counts, Counts, bool]:
        before = self._chunk(chunk_id)
        merged: dict[bytes, Row | None] = {row[0]: row for row in before}
        merged.update(changes)
        after = [row for _, row in sorted(merged.items()) if row is not None]
        if not after:
            self._database.run(queries.DELETE_CHUNK, (chunk_id,))
        elif len(after) <= _MOST:
            self._database.run(queries.PUT_CHUNK, (chunk_id, min(first, after[0][0]), encode(after)))
        else:
            self._split(directory_id, chunk_id, first, after)
        return Counts() if alone else count(before), count(after), len(after) > _MOST

    def _split(self, directory_id: int, chunk_id: int, first: bytes, rows: Sequence[Row]) -> None:
        parts = list(_parts(rows))
        ids = [chunk_id for chunk_id, _ in self._database.rows(queries.CHUNKS, span(directory_id))]
        following = ids.index(chunk_id) + 1
        if following < len(ids):
            step = (ids[following] - chunk_id) // len(parts)
        else:
            step = _STEP
        if not step or chunk_id + step * len(parts) > span(directory_id)[1]:
            step = _STEP
            chunk_id = self._number_anew(directory_id, step * len(parts))[following - 1]
        for number, part in enumerate(parts):
            lowest = part[0][0] if number else min(first, part[0][0])
            self._database.run(queries.PUT_CHUNK, (chunk_id + number * step, lowest, encode(part)))

    def _number_anew(self, directory_id: int, apart: int) -> list[int]:
        """Make room between the numbers of the chunks, which is needed after many splits in one place;
        returns their ids."""
        whole = self._database.rows(queries.WHOLE_CHUNKS, span(directory_id))
        self.delete_all((directory_id,))
        ids = [(directory_id << CHUNK_BITS) + number * apart for number in range(len(whole))]
        spread = [(id, first, data) for id, (_, first, data) in zip(ids, whole, strict=True)]
        self._database.run_many(queries.PUT_CHUNK, spread)
        return ids


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Rows in parts of nearly equal size."""
    number = -(-len(rows) // _PART)
    for part in range(number):
        yield rows[len(rows) * part // number : len(rows) * (part + 1) // number]


def _by_chunk(
    chunks: Sequence[tuple[int, bytes]], names: Iterable[bytes]
) -> Iterator[tuple[int, bytes, set[bytes]]]:
    """(id, first, names) of each chunk in which some of the names would be."""
    if not chunks:
        return
    firsts = [first for _, first in chunks]
    wanted: dict[int, set[bytes]] = {}
    for name in names:
        wanted.setdefault(max(0, bisect_right(firsts, name) - 1), set()).add(name)
    for place, some in wanted.items():
        yield *chunks[place], some
