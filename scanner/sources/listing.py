"""Listing one open directory: names and stats in blocks of bounded size, and the fingerprint over them.

This is the inner loop of everything: it runs once for each file of a volume at each scan.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterator
from hashlib import blake2b
from itertools import islice, starmap
from operator import attrgetter
from struct import Struct

# Entries held at once: some 5 MiB of stats, and one round of questions to the catalog.
BLOCK_ENTRIES = 8192
# Subdirectories held by name; of a directory with more of them they are listed again while they are visited.
_MAX_HELD_NAMES = 65536

_RECORD = Struct("<QqqI").pack  # inode, ctime in ns, size, mode: the type is in the mode
_FIELDS = attrgetter("st_ino", "st_ctime_ns", "st_size", "st_mode")
_HEAD = Struct("<I").pack

_KINDS = {
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.ENOENT: "vanished",
    errno.ESTALE: "vanished",
    errno.ELOOP: "link_race",
    errno.ENOTDIR: "link_race",
    errno.EMFILE: "too_deep",
}


def failure_kind(error: OSError) -> str:
    """Why a directory could not be opened or listed, in one of a few words."""
    return _KINDS.get(error.errno or 0, "io")


def other_kind(mode: int) -> str:
    """The type of something that is no regular file and no directory."""
    if stat.S_ISLNK(mode):
        return "symlink"
    if stat.S_ISFIFO(mode):
        return "fifo"
    if stat.S_ISSOCK(mode):
        return "socket"
    return "device" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "unknown"


class Block:
    """At most BLOCK_ENTRIES entries of a directory, in the order of the file system.

    Attributes:
        names, stats: regular files, side by side.
        directories: names of subdirectories.
        others: everything else, counted by type.
        unreadable: files whose stat was refused (or whose type, where listings don't tell it).
        failure: why the listing broke off after this block; "" if it did not.
        last: nothing comes after this block.
    """

    __slots__ = ("directories", "failure", "last", "names", "others", "stats", "unreadable")

    def __init__(self) -> None:
        self.names: list[str] = []
        self.stats: list[os.stat_result] = []
        self.directories: list[str] = []
        self.others: dict[str, int] = {}
        self.unreadable = 0
        self.failure = ""
        self.last = True

    @property
    def sound(self) -> bool:
        """Whether everything that is there was seen."""
        return not self.failure and not self.unreadable

    def raw_names(self) -> bytes:
        """The names of the files, joined by zero bytes."""
        return os.fsencode("\0".join(self.names))

    def keep(self, wanted: Iterator[bool]) -> int:
        """Keep only some files; returns how many were dropped."""
        kept = [
            pair for pair, keep in zip(zip(self.names, self.stats, strict=True), wanted, strict=True) if keep
        ]
        dropped = len(self.names) - len(kept)
        self.names = [name for name, _ in kept]
        self.stats = [st for _, st in kept]
        return dropped


def first_block(fd: int) -> Block:
    """The first block of `blocks`: nearly always the only one, so without the cost of a generator."""
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        with os.scandir(fd) as entries:
            return _read_block(entries)
    except OSError as e:
        return _failed(e)


def blocks(fd: int) -> Generator[Block, None, None]:
    """List an open directory from its beginning. Never raises: a failure is told by the last block.

    Entries that vanish between the listing and their stat are not there: it is as if the listing had
    come a moment later.
    """
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        entries = os.scandir(fd)
    except OSError as e:
        yield _failed(e)
        return
    with entries:
        while True:
            block = _read_block(entries)
            yield block
            if block.last:
                return


def _failed(error: OSError) -> Block:
    block = Block()
    block.failure = failure_kind(error)
    return block


def _read_block(entries: Iterator[os.DirEntry[str]]) -> Block:
    block = Block()
    batch: list[os.DirEntry[str]] = []
    try:
        batch.extend(islice(entries, BLOCK_ENTRIES))  # keeps what came before an error
        block.last = len(batch) < BLOCK_ENTRIES
    except OSError as e:
        block.failure = failure_kind(e)
    names, stats, directories = block.names, block.stats, block.directories
    for entry in batch:
        try:
            if entry.is_file(follow_symlinks=False):
                stats.append(entry.stat(follow_symlinks=False))
                names.append(entry.name)
            elif entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
            else:
                count_other(entry, block.others)
        except FileNotFoundError:
            continue
        except OSError:
            block.unreadable += 1
    return block


def count_other(entry: os.DirEntry[str], others: dict[str, int]) -> None:
    """Count an entry that is neither a file nor a directory by its type."""
    try:
        kind = "symlink" if entry.is_symlink() else other_kind(entry.stat(follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return
    others[kind] = others.get(kind, 0) + 1


class Fingerprinter:
    """Fingerprints of directories: BLAKE2b, 16 bytes, over names, inodes, ctimes, sizes and modes of files.

    In the order of the file system: where that changes without cause, files are compared one by one,
    which costs time and is never wrong. Another profile gives other fingerprints.
    """

    def __init__(self, profile: bytes) -> None:
        person = blake2b(profile, digest_size=blake2b.PERSON_SIZE).digest()
        self._base = blake2b(digest_size=16, person=person)

    def start(self) -> blake2b:
        return self._base.copy()

    @staticmethod
    def add(state: blake2b, block: Block, raw_names: bytes) -> None:
        """Add a block; blocks of the same directory are always cut at the same places."""
        records = b"".join(starmap(_RECORD, map(_FIELDS, block.stats)))
        state.update(b"".join((_HEAD(len(raw_names)), raw_names, records)))


class Level:
    """An open directory, and those of its subdirectories that are still to be visited.

    Its descriptor is closed as soon as the last of them was opened, so that a chain of directories
    costs two descriptors however deep it goes.
    """

    __slots__ = ("_names", "failures", "fd", "left_out", "name", "upcoming")

    def __init__(self, fd: int, name: bytes) -> None:
        self.fd = fd
        self.name = name
        self.left_out: frozenset[str] = frozenset()
        self.failures: list[str] = []
        self.upcoming: str | None = None
        self._names: Iterator[str] = iter(())

    def visit(self, names: list[str] | None) -> None:
        """Set what is to be visited; None lists the directory again, bit by bit."""
        self._names = _subdirectories(self.fd, self.failures) if names is None else iter(names)
        self.upcoming = next(self._names, None)

    def take(self) -> str | None:
        """The next subdirectory's name."""
        name = self.upcoming
        if name is not None:
            self.upcoming = next(self._names, None)
        return name

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        self._names = iter(())  # closes the listing that may be in it


def _subdirectories(fd: int, failures: list[str]) -> Iterator[str]:
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        with os.scandir(fd) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield entry.name
    except OSError as e:
        failures.append(failure_kind(e))


def count_names(fd: int, others: dict[str, int]) -> tuple[int, list[str] | None]:
    """Count regular files by the type in their directory entry, without a stat.

    Returns:
        the files, and the names of subdirectories (None when they are too many to be held).

    Raises:
        OSError: the directory can't be listed.
    """
    files = 0
    directories: list[str] = []
    with os.scandir(fd) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                files += 1
            elif entry.is_dir(follow_symlinks=False):
                if len(directories) <= _MAX_HELD_NAMES:
                    directories.append(entry.name)
            else:
                count_other(entry, others)
    return files, directories if len(directories) <= _MAX_HELD_NAMES else None
