"""Which index of the lists the files of a volume were last matched with.

A volume says it for all of its files. A directory is apart from that if a scan wrote files to it that were
compared with another index: nothing is known of its files but by comparing them with a whole index. While
files are being matched, the volume says how far that is, so that it may be interrupted and gone on with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from scanner.catalog import queries
from scanner.catalog.database import Database
from scanner.catalog.packing import Packer
from scanner.catalog.reading import ChunkReader

if TYPE_CHECKING:
    from scanner.catalog.digest_arrays import DigestArrays

APART = 1
"""directories.apart of one that files were written to that were compared with another index."""
_TAKEN = 2  # it is being matched


class State(NamedTuple):
    """What a volume says.

    Attributes:
        matched_with: index that all files were matched with, but for those apart; "" for none.
        matching: index that they are being matched with; "" if they are not.
        up_to: directories up to this id have been.
        some_apart: some directory is apart.
    """

    matched_with: str = ""
    matching: str = ""
    up_to: int = 0
    some_apart: int = 0

    @property
    def whole(self) -> str:
        """Index that all files were matched with; "" where that is not so of any."""
        return "" if self.matching or self.some_apart else self.matched_with

    @property
    def settled(self) -> str:
        """Index that all files were matched with but for those apart; "" while they are matched with another.
        A directory that is not looked at between two moments with the same one is what it was."""
        return "" if self.matching else self.matched_with

    def agrees(self, index_id: str) -> bool:
        """Whether files that were compared with an index are what the volume says, or will be: those that are
        written behind the place that a matching has come to are what it would have made of them."""
        return index_id == (self.matching or self.matched_with)


class Matching:
    """Of one volume. What writes wants to be called within a transaction.

    Raises:
        CatalogError: from every method: the catalog can't be read or written.
    """

    def __init__(self, database: Database, packer: Packer, volume_id: int) -> None:
        self._database = database
        self._packer = packer
        self._volume_id = volume_id

    def state(self) -> State:
        row = self._database.row(queries.MATCHING, (self._volume_id,))
        return State() if row is None else State(*row)

    def begin(self, index_id: str) -> None:
        """All files are to be matched with an index from now on. If that was begun before, it is gone on
        with; directories that came apart since stay so: another process may be past them and about to end."""
        state = self.state()
        if state.matching == index_id:
            return
        # Files that were matched with an index and those that were not yet can't be told apart once a third
        # index comes, so nothing is known of them then.
        known = "" if state.matching else state.matched_with
        self._database.run(queries.BEGIN_MATCHING, (known, index_id, self._volume_id))
        self._database.run(queries.TAKE_APART, (self._volume_id,))

    def unmatched(self, index_id: str, files: int) -> Iterator[DigestArrays]:
        """The files that are yet to be matched with an index since `begin`, in lists of about so many."""
        from scanner.catalog.digest_arrays import DigestArrays  # loaded late: it brings numpy

        state = self.state()
        if state.matching != index_id:
            return
        if state.matched_with != index_id:  # else only what is apart was compared with another one
            whole = ChunkReader(
                self._database, self._volume_id, queries.UNMATCHED_CHUNKS_FROM, after=state.up_to
            )
            for chunks in whole.lists(files):
                yield DigestArrays(self._packer, chunks, since=state.matched_with)
        apart = ChunkReader(self._database, self._volume_id, queries.UNMATCHED_APART_FROM, (_TAKEN,))
        for chunks in apart.lists(files):
            yield DigestArrays(self._packer, chunks, apart=True)

    def matched(self, index_id: str, up_to: int) -> None:
        """Directories with ids up to this one have been matched, but for those apart."""
        self._database.run(queries.MATCHED_UP_TO, (up_to, self._volume_id, index_id))

    def end(self, index_id: str) -> None:
        """All files that were there at `begin` have been matched. Does nothing if another matching was begun
        since."""
        if self._database.run(queries.END_MATCHING, (self._volume_id, index_id)).rowcount:
            self._database.run(queries.BRING_TOGETHER, (self._volume_id,))
