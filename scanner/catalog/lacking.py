"""Which files lack a kind of hash that has become one of those that are computed.

A directory's profile says which kinds all its files have, as far as they can have them. So nothing is to be
looked through where that is the present one.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from scanner.catalog import queries
from scanner.catalog.chunks import CTIME, EXACT, FIRST_DIGEST, STATE, Row
from scanner.catalog.database import Database
from scanner.catalog.directory_files import DirectoryFiles
from scanner.catalog.packing import Packer
from scanner.catalog.reading import ChunkReader
from scanner.catalog.vocabulary import Vocabulary
from scanner.model.files import FileState, KnownFile
from scanner.model.profiles import ground_of, kinds_of

_AT_ONCE = 20_000  # files
_LATEST = (1 << 63) - 1
# Files of which digests are kept for good, and which no list has: those that one has are matched already.
_STATES = (FileState.CLEAN, FileState.UNDECODABLE)


@dataclass(frozen=True, slots=True)
class Lacking:
    """The files of one directory that lack a kind.

    Attributes:
        path: of the directory, below the volume's root.
        fingerprint: as last committed.
        files: which are to be read again.
    """

    path: bytes
    fingerprint: bytes
    files: tuple[KnownFile, ...]


class Profiles:
    """The present profile of a volume, and what others mean beside it."""

    def __init__(self, database: Database, profiles: Vocabulary, profile: bytes) -> None:
        self._database = database
        self._profiles = profiles
        self._profile = profile
        self._usable: dict[int, bool] = {}
        self._ground = ground_of(profile)
        self.kinds = kinds_of(profile)

    def code(self) -> int:
        """The number of the present one."""
        return self._profiles.code((self._profile,))

    def some(self) -> int:
        """The number of the profile of directories of which it is not known which kinds all of their files
        have."""
        return self._profiles.code((self._ground,))

    def usable(self, code: int) -> bool:
        """Whether what is known with another profile is true with this one, be it that a kind is lacking."""
        usable = self._usable.get(code)
        if usable is None:
            usable = self._usable[code] = ground_of(self._of(code)) == self._ground
        return usable

    def missing(self, code: int) -> frozenset[str]:
        """Kinds that files may lack in directories with another profile."""
        return self.kinds - kinds_of(self._of(code))

    def more_than(self, code: int) -> bool:
        """Whether the present profile has all the kinds of another one."""
        return kinds_of(self._of(code)) <= self.kinds

    def lacking(self) -> list[int]:
        """The numbers of the usable profiles with which some kind is missing."""
        return [code for code in self._profiles.codes() if self.usable(code) and self.missing(code)]

    def _of(self, code: int) -> bytes:
        try:
            (profile,) = self._profiles.words(code)
        except LookupError as e:
            raise self._database.damaged(e) from e
        return profile if isinstance(profile, bytes) else profile.encode()


class LackingFiles:
    """Finds them. Reads only."""

    def __init__(self, database: Database, packer: Packer, profiles: Profiles, volume_id: int) -> None:
        self._database = database
        self._packer = packer
        self._profiles = profiles
        self._volume_id = volume_id

    def lacks(self, path: bytes) -> bool:
        """Whether the file at a path below the volume's root is one.

        Raises:
            CatalogError: the catalog can't be read.
        """
        directory, _, name = path.rpartition(b"/")
        found = self._database.row(queries.DIRECTORY_TO_WRITE, (self._volume_id, directory))
        if found is None:
            return False
        missing = self._profiles.missing(found[1])
        rows = DirectoryFiles(self._database, self._packer).some(found[0], (name,)) if missing else {}
        return bool(among(self._packer, list(rows.values()), missing))

    def newest_first(self, device: int) -> Iterator[Lacking]:
        """The directories that have such files, that with the latest change of one of these first.

        Needs 16 bytes of memory for each directory.

        Raises:
            CatalogError: the catalog can't be read.
        """
        ids, latest = array("q"), array("q")
        for code in self._profiles.lacking():
            missing = self._profiles.missing(code)
            reader = ChunkReader(self._database, self._volume_id, queries.CHUNKS_OF_PROFILE_FROM, (code,))
            for chunks in reader.lists(_AT_ONCE):
                for directory_id, data in chunks:
                    rows = among(self._packer, self._packer.rows(data), missing)
                    if rows:
                        ids.append(directory_id)
                        latest.append(min(_LATEST, max(row[CTIME] for row in rows)))
        import numpy as np  # loaded late: a walk asks for none of this

        seen: set[int] = set()
        for place in np.argsort(np.array(latest, dtype=np.int64), kind="stable")[::-1].tolist():
            if ids[place] not in seen:  # a huge directory has several chunks
                seen.add(ids[place])
                yield from self._directory(ids[place], device)

    def _directory(self, directory_id: int, device: int) -> Iterator[Lacking]:
        row = self._database.row(queries.DIRECTORY_NOW, (directory_id, self._volume_id))
        if row is None:
            return
        path, fingerprint, code = row
        rows = list(DirectoryFiles(self._database, self._packer).rows(directory_id))
        if self._profiles.usable(code) and (found := among(self._packer, rows, self._profiles.missing(code))):
            yield Lacking(path, fingerprint, tuple(self._packer.known(row, device) for row in found))


def among(packer: Packer, rows: Sequence[Row], missing: Collection[str]) -> list[Row]:
    """Those of the rows that lack one of these kinds and could have it."""
    exact = [FIRST_DIGEST + EXACT.index(kind) for kind in missing if kind in EXACT]
    others = [kind for kind in missing if kind not in EXACT]
    found = []
    for row in rows:
        if row[STATE] not in _STATES or not any(row[FIRST_DIGEST : FIRST_DIGEST + len(EXACT)]):
            continue
        if any(row[column] is None for column in exact) or (others and _lacks_views(packer, row, others)):
            found.append(row)
    return found


def _lacks_views(packer: Packer, row: Row, kinds: Collection[str]) -> bool:
    """Of a picture. What else is computed of pictures than values of a kind is not to be seen in a row,
    so it is lacking until the directory's profile says that it is not."""
    have = packer.kinds_in(row)
    if not have and (row[STATE] != FileState.CLEAN or not packer.is_picture(row)):
        return False
    return any(kind not in have for kind in kinds)
