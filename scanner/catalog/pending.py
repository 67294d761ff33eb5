"""Records that wait for the next commit, gathered by directory."""

from __future__ import annotations

from dataclasses import dataclass, field

from scanner.catalog.chunks import Row
from scanner.catalog.packing import Packer
from scanner.catalog.records import DirectoryRecord


@dataclass(slots=True)
class PendingDirectory:
    """What is to be written of one directory.

    Attributes:
        fingerprint: of the last record; b"" if it was not complete.
        rows: name to columns; None is a row to be deleted.
        inode, moved_from: as in `DirectoryRecord`, of the last record that says one.
    """

    fingerprint: bytes = b""
    rows: dict[bytes, Row | None] = field(default_factory=dict)
    inode: int = 0
    moved_from: int = 0


class Pending:
    """Later records win over earlier ones, name by name, as if each had been written at once."""

    def __init__(self, packer: Packer) -> None:
        self._packer = packer
        self._directories: dict[bytes, PendingDirectory] = {}

    def __bool__(self) -> bool:
        return bool(self._directories)

    def add(self, record: DirectoryRecord) -> None:
        """Take in a record.

        Raises:
            CatalogError: a new word can't be stored.
        """
        directory = self._directories.setdefault(record.path, PendingDirectory())
        directory.fingerprint = record.fingerprint if record.complete else b""
        directory.inode = record.inode or directory.inode
        directory.moved_from = record.moved_from or directory.moved_from
        packed, rows = self._packer.row, directory.rows
        for known in record.upserts:
            row = packed(known)
            rows[row[0]] = row
        for name in record.removed:
            rows[name] = None

    def in_order(self) -> list[tuple[bytes, PendingDirectory]]:
        """By path, so that new directories get their ids, and their rows their places, in order."""
        return sorted(self._directories.items())

    def clear(self) -> None:
        self._directories.clear()
