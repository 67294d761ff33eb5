"""What is known of one volume."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from scanner.catalog import queries
from scanner.catalog.chunks import Row, inodes_of, names_of
from scanner.catalog.counts import volume_stats
from scanner.catalog.database import Database
from scanner.catalog.directory_files import DirectoryFiles
from scanner.catalog.lacking import Lacking, LackingFiles, Profiles
from scanner.catalog.matching import Matching
from scanner.catalog.packing import DAMAGE, Packer, with_state
from scanner.catalog.pending import Pending
from scanner.catalog.reading import ChunkReader
from scanner.catalog.records import DirectoryRecord, RowKey, VolumeStats
from scanner.catalog.vocabulary import Vocabulary
from scanner.catalog.writing import DirectoryWriter
from scanner.model.files import FileRef, FileState, FormerDirectory, KnownDirectory, KnownFile
from scanner.model.hashes import Digests

if TYPE_CHECKING:
    from scanner.catalog.digest_arrays import DigestArrays

# Directories changed in one transaction by hand: bounds the log, and how long others wait.
_AT_ONCE = 1000
# Files in one list of `iterate`: larger ones are slower, as the collector goes through them while they grow.
_ITERATE_AT_ONCE = 5000
# Files compared at once as arrays: tens of MB.
_ARRAYS_AT_ONCE = 100_000


class VolumeCatalog:
    """Reads and writes the rows of one volume; a `KnownFiles` for the walk.

    Reading shows what was committed, by whomever. What `record` was told is kept in memory until `commit`;
    every other method that writes commits it first, so that things happen in the order of the calls.

    A row stands for a file that has the same name, inode, size and ctime. The device is no part of it, since
    its number may change at each boot; `device` is put into the stats that are handed out.

    One object is used by one thread at a time, and so are all objects of one `Catalog`.

    Args:
        volume_id: 0 while a writer has not made the volume's row yet.
        profile: what is done with files now, see `model.profiles`. Directories recorded with a profile of
            another ground are unknown to the walk and begin anew at their next record; until then their
            digests are still matched with new lists, because a digest stays true.
        device: st_dev of the volume, or 0: any.
    """

    def __init__(
        self,
        database: Database,
        packer: Packer,
        profiles: Vocabulary,
        *,
        volume_id: int,
        name: str,
        root: bytes,
        profile: bytes,
        device: int,
        compared_with: str,
    ) -> None:
        self._database = database
        self._packer = packer
        self._profiles = Profiles(database, profiles, profile)
        self._pending = Pending(packer)
        self._files = DirectoryFiles(database, packer)
        self._writer = DirectoryWriter(database, packer, self._files, self._profiles)
        self._volume_id = volume_id
        self.name = name
        self.root = root
        self._device = device
        self._compared_with = compared_with

    # --- what the walk asks

    def directory(self, path: bytes) -> KnownDirectory | None:
        """A directory as last committed with a profile that has the ground of the present one.

        Raises:
            CatalogError: the catalog can't be read.
        """
        row = self._database.row(queries.DIRECTORY, (self._volume_id or self._find_volume(), path))
        return None if row is None else self._known(row)

    def formerly(self, inode: int) -> FormerDirectory | None:
        """The directory that had an inode when it was last committed, at whatever path.

        Raises:
            CatalogError: the catalog can't be read.
        """
        volume_id = self._volume_id or self._find_volume()
        row = self._database.row(queries.DIRECTORY_BY_INODE, (inode, volume_id, -volume_id))
        known = None if row is None else self._known(row[:-2])
        if row is None or known is None:
            return None
        return FormerDirectory(known, row[-2] if row[-1] else None)

    def _known(self, row: tuple[Any, ...]) -> KnownDirectory | None:
        return KnownDirectory(*row[1:]) if self._profiles.usable(row[0]) else None

    def files(self, directory_id: int) -> Mapping[bytes, KnownFile]:
        """All rows of a directory by name.

        Raises:
            CatalogError: the catalog can't be read.
        """
        known, device = self._packer.known, self._device
        return {row[0]: known(row, device) for row in self._files.rows(directory_id)}

    def some_files(self, directory_id: int, names: Sequence[bytes]) -> Mapping[bytes, KnownFile]:
        """The rows of these names; names without a row are left out.

        Raises:
            CatalogError: the catalog can't be read.
        """
        rows = self._files.some(directory_id, names)
        return {name: self._packer.known(row, self._device) for name, row in rows.items()}

    # --- what a scan writes

    def record(self, record: DirectoryRecord) -> None:
        """Take note of a look at a directory; `commit` writes it.

        Raises:
            CatalogError: a new media type or kind of hash can't be stored.
            RuntimeError: an exact kind of hash that the catalog has no column for.
        """
        self._pending.add(record)

    def commit(self) -> None:
        """Write all that was recorded, in one transaction: after a crash it is all as before or all as now.

        Raises:
            CatalogError: it can't be written. Nothing of it was, and it may be tried again.
        """
        if not self._pending:
            return
        profile, some = self._profiles.code(), self._profiles.some()
        with self._database.transaction():
            state = self._matching.state()
            agrees = state.agrees(self._compared_with)
            for path, directory in self._pending.in_order():
                self._writer.write(
                    self._volume_id, path, directory, profile, some, agrees=agrees, settled=state.settled
                )
        self._pending.clear()

    def forget_directories_not_seen(self, seen: Iterable[bytes]) -> int:
        """Delete the directories that a complete walk has not met; returns how many.

        Costs one look through the directories' paths, and nothing is written for those that are there.

        Args:
            seen: the paths of all directories that were met, in any order.

        Raises:
            CatalogError: the catalog can't be written; some may be deleted, each of them wholly.
        """
        self.commit()
        there = set(seen)
        rows = self._database.rows(queries.DIRECTORY_PATHS, (self._volume_id,))
        vanished = [(directory_id,) for directory_id, path in rows if path not in there]
        vanished += self._database.rows(queries.WITHOUT_PATH, (-self._volume_id,))
        for start in range(0, len(vanished), _AT_ONCE):
            ids = vanished[start : start + _AT_ONCE]
            with self._database.transaction():
                self._files.delete_all(directory_id for (directory_id,) in ids)
                self._database.run_many(queries.DELETE_DIRECTORY, ids)
        self._database.compact()
        return len(vanished)

    # --- known files and new kinds

    def lacking(self) -> Iterator[Lacking]:
        """The files that lack a kind of hash of the present profile, by directory, that with the latest
        change of one of them first. A record of them tells that they have it, or that they can't.

        Raises:
            CatalogError: the catalog can't be read.
        """
        return self._lacking.newest_first(self._device)

    def lacks(self, path: bytes) -> bool:
        """Whether the file at a path below the root lacks such a kind.

        Raises:
            CatalogError: the catalog can't be read.
        """
        return self._lacking.lacks(path)

    # --- known files and new lists

    def iterate(self, batch: int = _ITERATE_AT_ONCE) -> Iterator[list[tuple[RowKey, Digests]]]:
        """All files that have digests, of any state and profile, in lists of at most `batch`.

        Each list is a read of its own: rows may be changed between two of them, by the same object too, and
        a file that is there throughout is given exactly once.

        Raises:
            CatalogError: the catalog can't be read.
        """
        from scanner.catalog.digest_arrays import digested_files  # loaded late, as below: it brings numpy

        last = RowKey(0, b"")
        for chunks in self._read(queries.DIGESTED_CHUNKS_FROM).lists(batch):
            # A chunk is given again, whole, if it has become two that end elsewhere.
            found = [file for file in digested_files(self._packer, chunks) if file[0] > last]
            for start in range(0, len(found), batch):
                yield found[start : start + batch]
            if found:
                last = found[-1][0]

    def arrays(self, batch: int = _ARRAYS_AT_ONCE) -> Iterator[DigestArrays]:
        """The same files as arrays, in lists of about `batch`; a file may come twice.

        Raises:
            CatalogError: the catalog can't be read.
        """
        from scanner.catalog.digest_arrays import DigestArrays

        for chunks in self._read(queries.DIGESTED_CHUNKS_FROM).lists(batch):
            yield DigestArrays(self._packer, chunks)

    @property
    def matched_with(self) -> str:
        """Id of the index that all of these rows were last matched with; "" where that is not so of any.

        Raises:
            CatalogError: the catalog can't be read.
        """
        return self._matching.state().whole

    def begin_matching(self, index_id: str) -> None:
        """Before all rows are matched with an index.

        Scans write rows meanwhile, and may have compared them with another index: they stay unmatched. One
        that was interrupted is gone on with.

        Raises:
            CatalogError: the catalog can't be written.
        """
        self.commit()
        with self._database.transaction():
            self._matching.begin(index_id)

    def unmatched(self, index_id: str, batch: int = _ARRAYS_AT_ONCE) -> Iterator[DigestArrays]:
        """The files that are to be matched with an index between `begin_matching` and `end_matching`, in
        lists of about `batch`; each is a read of its own. `matched` is to be told of each.

        Raises:
            CatalogError: the catalog can't be read.
        """
        yield from self._matching.unmatched(index_id, batch)

    def matched(self, index_id: str, files: DigestArrays, listed: Sequence[RowKey]) -> None:
        """Files were matched with an index, and it lists some of them: these and their directories are
        looked at in every scan.

        Raises:
            CatalogError: the catalog can't be written.
        """
        self.mark_listed(listed)
        if not files.apart:
            with self._database.transaction():
                # The last directory may have more files than these.
                self._matching.matched(index_id, files.last_directory - 1)

    def end_matching(self, index_id: str) -> None:
        """All rows that were there at `begin_matching` have been matched. `matched_with` is this index unless
        rows came meanwhile that were compared with another one.

        Raises:
            CatalogError: the catalog can't be written.
        """
        self.commit()
        with self._database.transaction():
            self._matching.end(index_id)

    def mark_listed(self, keys: Iterable[RowKey]) -> None:
        """A list has these files now: they and their directories are looked at in every scan.

        Raises:
            CatalogError: the catalog can't be written.
        """
        self._set_states(keys, FileState.LISTED)

    def set_state(self, key: RowKey, state: FileState) -> None:
        """Remember another state of a file; a key that is gone changes nothing.

        Raises:
            CatalogError: the catalog can't be written.
        """
        self._set_states((key,), state)

    def remove(self, key: RowKey) -> None:
        """Forget a file. Its directory is compared file by file next time, so that it is read again if it is
        still there.

        Raises:
            CatalogError: the catalog can't be written.
        """
        self.commit()
        with self._database.transaction():
            self._writer.change(self._volume_id, key.directory_id, lambda _: {key.name: None})
            self._database.run(queries.UNTRUST_DIRECTORY, (key.directory_id,))

    def find(self, keys: Iterable[RowKey]) -> list[tuple[FileRef, KnownFile]]:
        """The files of these keys, to act on them at once; those that are gone are left out.

        Raises:
            CatalogError: the catalog can't be read.
        """
        found: list[tuple[FileRef, KnownFile]] = []
        for directory_id, group in groupby(keys, key=lambda key: key.directory_id):
            names = [key.name for key in group]
            path = self._path(directory_id)
            if path is None:
                continue
            rows = self.some_files(directory_id, names)
            found.extend(
                (FileRef(self.name, path, rows[name].stat), rows[name]) for name in names if name in rows
            )
        return found

    def names_of(self, inodes: Iterable[int]) -> list[tuple[bytes, bytes]]:
        """(directory, name) of every row with one of these inodes: names that were there when last seen.
        Reads all rows: there is no index by inode, since it would cost every scan more than the rare
        question.

        Raises:
            CatalogError: the catalog can't be read.
        """
        wanted = set(inodes)
        found: list[tuple[int, bytes]] = []
        for chunks in self._read(queries.CHUNKS_FROM).lists(_ARRAYS_AT_ONCE):
            try:
                for directory_id, data in chunks:
                    here = inodes_of(data)
                    if not wanted.isdisjoint(here):
                        pairs = zip(names_of(data), here, strict=True)
                        found.extend((directory_id, name) for name, inode in pairs if inode in wanted)
            except DAMAGE as e:
                raise self._packer.damaged(e) from e
        paths = {directory_id: self._path(directory_id) for directory_id, _ in found}
        return [(path, name) for directory_id, name in found if (path := paths[directory_id]) is not None]

    def everything(self) -> Iterator[list[tuple[FileRef, KnownFile]]]:
        """All files, of any state and profile, in lists.

        Raises:
            CatalogError: the catalog can't be read.
        """
        last = RowKey(0, b"")
        for chunks in self._read(queries.CHUNKS_FROM).lists(_ITERATE_AT_ONCE):
            found = []
            for directory_id, data in chunks:
                path = self._path(directory_id)
                for row in self._packer.rows(data) if path is not None else ():
                    key = RowKey(directory_id, row[0])
                    if path is not None and key > last:
                        known = self._packer.known(row, self._device)
                        found.append((FileRef(self.name, path, known.stat), known))
                        last = key
            yield found

    def lookup(self, path: bytes) -> tuple[RowKey, KnownFile] | None:
        """What is known of the file at a path below the root, recorded with whatever profile.

        Raises:
            CatalogError: the catalog can't be read.
        """
        directory, _, name = path.rpartition(b"/")
        volume_id = self._volume_id or self._find_volume()
        found = self._database.row(queries.DIRECTORY_ID, (volume_id, directory))
        row = found and self._files.some(found[0], (name,)).get(name)
        if not found or not row:
            return None
        return RowKey(found[0], name), self._packer.known(row, self._device)

    def stats(self) -> VolumeStats:
        """Sums of what is committed.

        Raises:
            CatalogError: the catalog can't be read.
        """
        volume_id = self._volume_id or self._find_volume()
        return volume_stats(self._database, volume_id, self.name, self.root, self.matched_with)

    # ---

    def _find_volume(self) -> int:
        """For a reader that came before the volume's first scan: 0, which no row has, until there is one."""
        row = self._database.row(queries.VOLUME, (self.name, self.root))
        self._volume_id = 0 if row is None else int(row[0])
        return self._volume_id

    def _path(self, directory_id: int) -> bytes | None:
        volume_id = self._volume_id or self._find_volume()
        row = self._database.row(queries.DIRECTORY_PATH, (directory_id, volume_id))
        return None if row is None else bytes(row[0])

    def _read(self, query: str) -> ChunkReader:
        return ChunkReader(self._database, self._volume_id or self._find_volume(), query)

    @property
    def _lacking(self) -> LackingFiles:
        return LackingFiles(
            self._database, self._packer, self._profiles, self._volume_id or self._find_volume()
        )

    @property
    def _matching(self) -> Matching:
        return Matching(self._database, self._packer, self._volume_id or self._find_volume())

    def _set_states(self, keys: Iterable[RowKey], state: FileState) -> None:
        self.commit()
        by_directory = groupby(sorted(keys), key=lambda key: key.directory_id)
        remaining = ((directory_id, [key.name for key in group]) for directory_id, group in by_directory)
        # In parts, like all else, so that a list of a million entries does not hold up other writers.
        while part := list(islice(remaining, _AT_ONCE)):
            with self._database.transaction():
                for directory_id, names in part:
                    self._writer.change(
                        self._volume_id, directory_id, partial(_with_state, directory_id, names, state)
                    )


def _with_state(
    directory_id: int, names: Sequence[bytes], state: FileState, files: DirectoryFiles
) -> Mapping[bytes, Row | None]:
    rows = files.some(directory_id, names)
    return {name: with_state(row, state) for name, row in rows.items()}
