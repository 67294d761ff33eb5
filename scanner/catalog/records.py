"""What goes into the catalog and what comes out, beside the records of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scanner.model.files import FileState, KnownFile


@dataclass(frozen=True, slots=True)
class DirectoryRecord:
    """What one look at a directory (or a part of a huge one) has brought.

    Attributes:
        path: below the volume's root; b"" is the root.
        fingerprint: what the walk compares next time.
        upserts: rows that are new or changed; the others stay as they are.
        removed: names that are not there any more; they win over `upserts` of the same record.
        complete: every file of the directory has a lasting answer. If not, the fingerprint is not kept and
            the directory is compared file by file next time. The last record of a directory decides.
        inode: of the directory itself; 0 where it is not known or not to be relied on.
        moved_from: id of this same directory in the catalog, by whose rows its files were known, if it stood
            at another path there; 0 if it did not.
    """

    path: bytes
    fingerprint: bytes
    upserts: Sequence[KnownFile]
    removed: Sequence[bytes] = ()
    complete: bool = True
    inode: int = 0
    moved_from: int = 0


class RowKey(NamedTuple):
    """Names one row of the catalog, for as long as the file is there. A tuple, since millions are made."""

    directory_id: int
    name: bytes


@dataclass(frozen=True, slots=True)
class VolumeStats:
    """How much is known of a volume. Files of any profile are counted.

    Attributes:
        bytes: size of the clean files together.
        states: files in each state.
        with_digests: files that can be matched with a new list without being read.
        matched_with: id of the index that these rows were last matched with; "" for none.
    """

    name: str
    root: bytes
    directories: int
    files: int
    bytes: int
    states: Mapping[FileState, int]
    with_digests: int
    matched_with: str
