"""A file on its way through the house, and what the walk says of a tree."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol

from scanner.model.hashes import Digests


class Stat(Protocol):
    """What is needed of an os.stat_result."""

    @property
    def st_dev(self) -> int: ...
    @property
    def st_ino(self) -> int: ...
    @property
    def st_mode(self) -> int: ...
    @property
    def st_size(self) -> int: ...
    @property
    def st_mtime_ns(self) -> int: ...
    @property
    def st_ctime_ns(self) -> int: ...
    @property
    def st_nlink(self) -> int: ...
    @property
    def st_blocks(self) -> int: ...


class FileStat(NamedTuple):
    """One regular file as a directory listing shows it; `name` is the last component, as bytes.

    A tuple, like all that is made once for each file: it takes a third of a frozen dataclass's time.
    """

    name: bytes
    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    links: int
    blocks: int  # of 512 bytes: far fewer than the size needs means a sparse file

    @classmethod
    def of(cls, name: bytes, st: Stat) -> FileStat:
        return cls(
            name, st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_nlink, st.st_blocks
        )

    def is_still(self, st: Stat) -> bool:
        """Whether nothing was written since; mtime is only a further hint, customers set it."""
        return (self.device, self.inode, self.size, self.ctime_ns, self.mtime_ns) == (
            st.st_dev,
            st.st_ino,
            st.st_size,
            st.st_ctime_ns,
            st.st_mtime_ns,
        )

    def same_version(self, other: FileStat) -> bool:
        """Whether a row of the catalog is about this state of a file; a device is renumbered at each boot."""
        return (self.inode, self.size, self.ctime_ns) == (other.inode, other.size, other.ctime_ns)


class FileRef(NamedTuple):
    """A file of a volume.

    Attributes:
        volume: the volume's name.
        directory: path of its directory below the volume's root; b"" is the root itself.
        stat: what was seen of it.
    """

    volume: str
    directory: bytes
    stat: FileStat

    @property
    def path(self) -> bytes:
        """Path below the volume's root, without a leading slash."""
        return self.directory + b"/" + self.stat.name if self.directory else self.stat.name


class FileState(IntEnum):
    """What the catalog remembers of a file. Stored: add, never renumber."""

    CLEAN = 0
    NOT_MEDIA = 1  # not hashed, by choice
    UNDECODABLE = 2  # not all hashes: counted as failed each time, without reading it again
    LISTED = 3  # matched, or a new list has it: matched again from its digests at every scan


class KnownFile(NamedTuple):
    """A file that was hashed before: its digests stand for the content as long as the stat is the same."""

    stat: FileStat
    state: FileState
    digests: Digests


class KnownDirectory(NamedTuple):
    """What the catalog has of one directory. A tuple, since each scan makes one of every directory.

    Attributes:
        id: the catalog's own number.
        fingerprint: over names, inodes, ctimes, sizes and types; b"" means: compare file by file.
        clean, not_media: files of the directory in these states; with `hot` false these are all.
        bytes: size of the clean files together.
        hot: some file is neither clean nor "not media", so its rows are looked at every time.
        inode: of the directory itself; 0 where it is not known or not to be relied on.
    """

    id: int
    fingerprint: bytes
    clean: int
    not_media: int
    bytes: int
    hot: bool
    inode: int = 0


@dataclass(frozen=True, slots=True)
class FormerDirectory:
    """A directory of the catalog that has the inode of one that was met elsewhere.

    Attributes:
        path: where it was; None if something else was found there since.
    """

    known: KnownDirectory
    path: bytes | None


@dataclass(frozen=True, slots=True)
class DirectoryMet:
    """One directory as walked; a huge one comes in several parts, `last` on the final one.

    Attributes:
        path: below the volume's root; b"" is the root.
        changed: files to hash: new, changed, or young enough that a change could be invisible.
        known: unchanged files that need another decision (listed or undecodable before).
        clean, not_media: unchanged files that need nothing.
        unchanged_bytes: their size together.
        gone: names the catalog has and the directory has not.
        fingerprint: to be stored when all went well; b"" when it must not be relied on.
        cached: the catalog's row is right as it stands; nothing has to be written.
        last: nothing more comes of this directory.
        inode: of the directory itself; 0 where it is not known or not to be relied on.
        moved_from: the catalog's number of the directory if it has it at another path, and by its rows knew
            some of these files; 0 if it has not.
    """

    path: bytes
    changed: tuple[FileStat, ...] = ()
    known: tuple[KnownFile, ...] = ()
    clean: int = 0
    not_media: int = 0
    unchanged_bytes: int = 0
    gone: tuple[bytes, ...] = ()
    fingerprint: bytes = b""
    cached: bool = False
    last: bool = True
    inode: int = 0
    moved_from: int = 0


@dataclass(frozen=True, slots=True)
class FilesSkipped:
    """Files that were counted and not looked at: one file, or all below `path`."""

    path: bytes
    reason: str  # excluded, mail_store, depth, own, …
    files: int


@dataclass(frozen=True, slots=True)
class DirectoryFailed:
    """A directory that could not be listed (wholly): what is in it is unknown, so the scan is incomplete."""

    path: bytes
    kind: str  # permission, vanished, io, too_deep, …


@dataclass(frozen=True, slots=True)
class OthersMet:
    """Things that are no regular files, by type: symlink, fifo, socket, device, mount."""

    counts: dict[str, int]


WalkEvent = DirectoryMet | FilesSkipped | DirectoryFailed | OthersMet
