"""The rows of one directory in its chunks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence

from scanner.catalog import queries
from scanner.catalog.chunks import Row, encode
from scanner.catalog.counts import Counts, count
from scanner.catalog.database import Database
from scanner.catalog.packing import Packer

CHUNK_BITS = 30
"""Low bits of a chunk's id: its number in its directory."""
_LAST = (1 << CHUNK_BITS) - 1
# Bytes of a chunk above which it is split: a sixth of a page, for SQLite puts whole rows on a page, and of
# larger ones too few would fit. Rows that are encoded together at most: about as many as fill one without
# views.
_MOST = 5400
MOST_ROWS = 56
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

    def put_all(self, directory_id: int, rows: list[Row]) -> None:
        """Write the rows, ascending by name, of a directory that has no chunk.

        Raises:
            CatalogError: they can't be written.
        """
        start = directory_id << CHUNK_BITS
        for number, (first, data) in enumerate(_encoded(rows, full=True)):
            self._database.run(queries.PUT_CHUNK, (start + number * _STEP, first if number else b"", data))

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
                before, after, numbered_anew = self._change_chunk(directory_id, chunk_id, first, part)
                counts = counts.changed(before, after)
                if numbered_anew:
                    break
            chunks = self._database.rows(queries.CHUNKS, span(directory_id)) if remaining else []
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
        numbered_anew = False
        if not after:
            self._database.run(queries.DELETE_CHUNK, (chunk_id,))
        else:
            parts = list(_encoded(after))
            parts[0] = (min(first, parts[0][0]), parts[0][1])
            if len(parts) == 1:
                self._database.run(queries.PUT_CHUNK, (chunk_id, *parts[0]))
            else:
                numbered_anew = self._put_several(directory_id, chunk_id, parts)
        return Counts() if alone else count(before), count(after), numbered_anew

    def _put_several(self, directory_id: int, chunk_id: int, parts: Sequence[tuple[bytes, bytes]]) -> bool:
        """Put several chunks in the place of one; whether all of the directory got other numbers for it."""
        last = span(directory_id)[1]
        row = self._database.row(queries.NEXT_CHUNK, (chunk_id, last))
        following = row[0] if row else None
        step = _STEP if following is None else (following - chunk_id) // len(parts)
        numbered_anew = not step or chunk_id + step * len(parts) > last
        if numbered_anew:
            step = _STEP
            chunk_id = self._number_anew(directory_id, step * len(parts), chunk_id)
        for number, (first, data) in enumerate(parts):
            self._database.run(queries.PUT_CHUNK, (chunk_id + number * step, first, data))
        return numbered_anew

    def _number_anew(self, directory_id: int, apart: int, chunk_id: int) -> int:
        """Make room between the numbers of the chunks, which is needed after many splits in one place.

        Args:
            apart: how much behind the chunk of this id; others get less.

        Returns:
            that chunk's new id.

        Raises:
            RuntimeError: the directory has some hundred million files.
        """
        whole = self._database.rows(queries.WHOLE_CHUNKS, span(directory_id))
        self.delete_all((directory_id,))
        number, found = directory_id << CHUNK_BITS, 0
        spread = []
        for old, first, data in whole:
            if old == chunk_id:
                found = number
            spread.append((number, first, data))
            number += apart if old == chunk_id else _STEP
        if number > span(directory_id)[1]:
            raise RuntimeError("a directory has more files than the catalog can number")
        self._database.run_many(queries.PUT_CHUNK, spread)
        return found


def _encoded(rows: list[Row], *, full: bool = False) -> Iterator[tuple[bytes, bytes]]:
    """(first name, chunk) of rows, ascending by name, in as many chunks as it takes.

    Args:
        full: fill one after the other, else all alike, so that there is room for more.
    """
    for start in range(0, len(rows), MOST_ROWS):
        some = rows[start : start + MOST_ROWS]
        data = encode(some)
        if len(data) <= _MOST or len(some) == 1:
            yield some[0][0], data
            continue
        each = max(1, len(some) * _MOST // len(data))
        if not full:
            each = -(-len(some) // -(-len(some) // each))
        for first in range(0, len(some), each):
            part = some[first : first + each]
            yield part[0][0], encode(part)


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
