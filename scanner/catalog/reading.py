"""Going through the chunks of a volume while they change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from scanner.catalog import queries
from scanner.catalog.chunks import names_of
from scanner.catalog.database import Database
from scanner.catalog.directory_files import CHUNK_BITS, MOST_ROWS, span
from scanner.catalog.packing import DAMAGE
from scanner.catalog.records import RowKey

if TYPE_CHECKING:
    from scanner.catalog.many import Chunks


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

    def lists(self, files: int) -> Iterator[Chunks]:
        """Lists of chunks of about so many files together, but for the last one.

        Raises:
            CatalogError: they can't be read.
        """
        while (chunks := self._next(files)).data:
            yield chunks

    def _next(self, files: int) -> Chunks:
        directory_id, name = self._last
        start = self._database.row(queries.CHUNK_WITH, (*span(directory_id), name))
        first_id = start[0] if start and start[0] is not None else directory_id << CHUNK_BITS
        directories: list[int] = []
        data: list[bytes] = []
        import numpy as np  # loaded late: a walk reads no chunks this way

        from scanner.catalog.many import Chunks, heads_of

        heads = [heads_of(())]
        rows = self._database.stream(
            self._query, (first_id, self._volume_id, directory_id, *self._parameters)
        )
        try:
            while files > 0 and (some := list(islice(rows, max(1, files // MOST_ROWS)))):
                passed = 0
                if name and not data:
                    for chunk_id, chunk in some:
                        if chunk_id >> CHUNK_BITS != directory_id or names_of(chunk)[-1] > name:
                            break
                        passed += 1
                directories.extend([chunk_id >> CHUNK_BITS for chunk_id, _ in some[passed:]])
                data.extend([chunk for _, chunk in some[passed:]])
                heads.append(heads_of(data[-len(some) + passed :] if passed < len(some) else ()))
                files -= int(heads[-1]["files"].sum(dtype=np.int64))
            if data:
                self._last = RowKey(directories[-1], names_of(data[-1])[-1])
        except DAMAGE as e:
            raise self._database.damaged(e) from e
        finally:
            rows.close()
        return Chunks(directories, data, np.concatenate(heads))
