"""The catalog: what has been seen on all volumes."""

from __future__ import annotations

from pathlib import Path

from scanner.catalog import queries
from scanner.catalog.counts import volume_stats
from scanner.catalog.database import Database
from scanner.catalog.matching import Matching
from scanner.catalog.opening import open_reader, open_writer
from scanner.catalog.packing import Packer
from scanner.catalog.records import VolumeStats
from scanner.catalog.vocabulary import PROFILES, TERMS, VIEWS, Vocabulary
from scanner.catalog.volume import VolumeCatalog
from scanner.model.ports import Clock, SystemClock


class Catalog:
    """One SQLite file. It is a cache of the customers' file systems: losing it costs time and nothing else.

    Any number of processes read while others write; writers take turns by transaction. One object is used by
    one thread at a time; another thread opens its own.

    Attributes:
        note: a sentence for the operator if a damaged file was set aside at opening, else "".
    """

    def __init__(self, database: Database, note: str = "") -> None:
        self._database = database
        self._packer = Packer(
            database,
            Vocabulary(database, TERMS),
            Vocabulary(database, VIEWS),
        )
        self._profiles = Vocabulary(database, PROFILES)
        self.note = note

    @classmethod
    def open(cls, path: Path, read_only: bool = False, *, clock: Clock | None = None) -> Catalog:
        """Open the file at `path`, and make it (mode 0600) unless reading only. Its directory must be there.

        A damaged file is renamed to `<name>.damaged-<nanoseconds>`, a new one is begun, and `note` says so.
        Damage that is met later raises CatalogError, and the next opening does the same.

        Raises:
            CatalogError: it can't be opened; a newer version of the program wrote it; or, for reading only,
                there is none, it is damaged or has to be brought up to date first.
        """
        if read_only:
            return cls(open_reader(path))
        database, note = open_writer(path, clock or SystemClock())
        return cls(database, note)

    def hold(self) -> None:
        """For one who only reads, and much: read all as it is now, until `release`. A writer's log grows
        meanwhile, so that is to come soon.

        Raises:
            CatalogError: the catalog can't be read.
        """
        self._database.hold()

    def release(self) -> None:
        """Let go of what `hold` holds; nothing, if nothing.

        Raises:
            CatalogError: the catalog can't be read.
        """
        self._database.release()

    def close(self) -> None:
        """Close it. What was recorded and not committed is dropped. May be repeated."""
        self._database.close()

    def volume(
        self, name: str, root: bytes, profile: bytes, device: int = 0, *, compared_with: str = ""
    ) -> VolumeCatalog:
        """What is known of a volume. The same name with another root is another volume.

        Args:
            root: absolute path.
            profile: what is done with files: the selection of files, the kinds of hashes; see
                `model.profiles`.
            device: st_dev for the stats that are handed out; 0 where it does not matter.
            compared_with: id of the index with which the rows that are recorded were compared; "" where none
                are, or with none.

        Raises:
            CatalogError: the catalog can't be read or written.
        """
        if not self._database.read_only and self._database.row(queries.VOLUME, (name, root)) is None:
            with self._database.transaction():
                self._database.run(queries.ADD_VOLUME, (name, root))
        row = self._database.row(queries.VOLUME, (name, root))
        return VolumeCatalog(
            self._database,
            self._packer,
            self._profiles,
            volume_id=0 if row is None else int(row[0]),
            name=name,
            root=root,
            profile=profile,
            device=device,
            compared_with=compared_with,
        )

    def forget_volume(self, name: str, root: bytes) -> None:
        """Delete all that is known of a volume that is not scanned any more.

        Raises:
            CatalogError: the catalog can't be written.
        """
        row = self._database.row(queries.VOLUME, (name, root))
        if row is None:
            return
        self.volume(name, root, b"").forget_directories_not_seen(())
        with self._database.transaction():
            self._database.run(queries.DELETE_VOLUME, row)

    def stats(self) -> list[VolumeStats]:
        """Sums for every volume ever scanned, by name.

        Raises:
            CatalogError: the catalog can't be read.
        """
        return [
            volume_stats(self._database, volume_id, name, root, self._matched_with(volume_id))
            for volume_id, name, root in self._database.rows(queries.VOLUMES)
        ]

    def _matched_with(self, volume_id: int) -> str:
        return Matching(self._database, self._packer, volume_id).state().whole
