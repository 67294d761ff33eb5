"""Going through the chunks of a volume while they change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scanner.catalog import queries
from scanner.catalog.chunks import head_of, names_of
from scanner.catalog.database import Database
from scanner.catalog.digest_arrays import Chunk
from scanner.catalog.directory_files import CHUNK_BITS, span
from scanner.catalog.packing import DAMAGE
from scanner.catalog.records import RowKey


class ChunkReader:
    """Gives the chunks of a volume by directory and name, in lists. Each list is a read of its own: a file
    that is there throughout is given at least once, and all files that come later in order are after those
    that came.

    Args:
        query: one of `CHUNKS_FROM` and its like.
        parameters: what the query needs at its end.
        after: begin behind this directory.
    """

    def __init__(
        self,
        database: Database,
        volume_id: int,
        query: str,
        parameters: Sequence[object] = (),
        *,
        after: int = 0,
    ) -> None:
        self._database = database
        self._volume_id = volume_id
        self._query = query
        self._parameters = parameters
        self._last = RowKey(after + 1, b"")

    def lists(self, files: int) -> Iterator[list[Chunk]]:
        """Lists of chunks of at least so many files together, but for the last one.

        Raises:
            CatalogError: they can't be read.
        """
        while chunks := self._next(files):
            yield chunks

    def _next(self, files: int) -> list[Chunk]:
        directory_id, name = self._last
        start = self._database.row(queries.CHUNK_WITH, (*span(directory_id), name))
        first_id = start[0] if start and start[0] is not None else directory_id << CHUNK_BITS
        found: list[Chunk] = []
        rows = self._database.stream(
            self._query, (first_id, self._volume_id, directory_id, *self._parameters)
        )
        try:
            for chunk_id, data in rows:
                directory = chunk_id >> CHUNK_BITS
                if directory == directory_id and name and names_of(data)[-1] <= name:
                    continue
                head = head_of(data)
                found.append((directory, data, head))
                files -= head.files
                if files <= 0:
                    break
            if found:
                self._last = RowKey(found[-1][0], names_of(found[-1][1])[-1])
        except DAMAGE as e:
            raise self._database.damaged(e) from e
        finally:
            rows.close()
        return found
