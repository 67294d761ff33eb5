"""Listing one open directory: names and stats in blocks of bounded size, and the fingerprint over them.

This is the inner loop of everything: it runs once for each file of a volume at each scan.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b
from itertools import islice
from struct import Struct

from scanner.sources.listed import Block, native_reader

# Entries held at once: some 5 MiB of stats, and one round of questions to the catalog.
BLOCK_ENTRIES = 8192
# Subdirectories held by name; of a directory with more of them they are listed again while they are visited.
_MAX_HELD_NAMES = 65536

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


class Lister:
    """Gives the first block of `blocks`: nearly always the only one, so without the cost of a generator.

    Args:
        native: by the extension, where it is built.
        by_inode: see `blocks`.
    """

    def __init__(self, *, native: bool = True, by_inode: bool = False) -> None:
        self._native = native_reader() if native else None
        self._by_inode = by_inode

    def first_block(self, fd: int) -> Block:
        """List an open directory from its beginning, up to BLOCK_ENTRIES entries. Never raises."""
        if self._native is not None:
            listed = self._native(fd, BLOCK_ENTRIES, self._by_inode)
            return Block.packed(listed, failure_kind(OSError(listed[7], "")) if listed[7] else "")
        try:
            os.lseek(fd, 0, os.SEEK_SET)
            with os.scandir(fd) as entries:
                return _read_block(entries, by_inode=self._by_inode)
        except OSError as e:
            return _failed(e)


def blocks(fd: int, *, by_inode: bool = False) -> Generator[Block, None, None]:
    """List an open directory from its beginning. Never raises: a failure is told by the last block.

    Args:
        by_inode: ask for the files of a block in the order of their inodes, which is that of the disk, and
            give its subdirectories in this order. Files are given in that of the file system all the same.

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
            block = _read_block(entries, by_inode=by_inode)
            yield block
            if block.last:
                return


def _failed(error: OSError) -> Block:
    return Block(failure=failure_kind(error))


def _read_block(entries: Iterator[os.DirEntry[str]], *, by_inode: bool) -> Block:
    batch: list[os.DirEntry[str]] = []
    failure, last = "", True
    try:
        batch.extend(islice(entries, BLOCK_ENTRIES))  # keeps what came before an error
        last = len(batch) < BLOCK_ENTRIES
    except OSError as e:
        failure = failure_kind(e)
    if by_inode:
        _look_at(sorted(batch, key=os.DirEntry.inode))
    names: list[str] = []
    stats: list[os.stat_result] = []
    directories: list[os.DirEntry[str]] = []
    others: dict[str, int] = {}
    unreadable = 0
    for entry in batch:
        try:
            if entry.is_file(follow_symlinks=False):
                stats.append(entry.stat(follow_symlinks=False))
                names.append(entry.name)
            elif entry.is_dir(follow_symlinks=False):
                directories.append(entry)
            else:
                count_other(entry, others)
        except FileNotFoundError:
            continue
        except OSError:
            unreadable += 1
    if by_inode:
        directories.sort(key=os.DirEntry.inode)
    below = [entry.name for entry in directories]
    return Block(names, stats, below, others, unreadable=unreadable, failure=failure, last=last)


def _look_at(entries: Iterable[os.DirEntry[str]]) -> None:
    """Ask for the stats of files in this order; each entry keeps its own."""
    for entry in entries:
        with suppress(OSError):
            if entry.is_file(follow_symlinks=False):
                entry.stat(follow_symlinks=False)


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

    def start(self, subvolume: bytes = b"") -> blake2b:
        """Begin with a directory.

        Args:
            subvolume: as `Moves.subvolume` tells it: inodes and ctimes are those of others elsewhere.
        """
        state = self._base.copy()
        if subvolume:
            state.update(subvolume)
        return state

    @staticmethod
    def add(state: blake2b, block: Block, raw_names: bytes) -> None:
        """Add a block; blocks of the same directory are always cut at the same places."""
        state.update(b"".join((_HEAD(len(raw_names)), raw_names, block.records())))


class Level:
    """An open directory, and those of its subdirectories that are still to be visited.

    Its descriptor is closed as soon as the last of them was opened, so that a chain of directories
    costs two descriptors however deep it goes.

    Attributes:
        taken: how many subdirectories were taken.
        leaves: how many of its subdirectories, one after the other, had none themselves; those of the
            directory before count as well.
        number, offered: for `Ahead`: its number there, and how many subdirectories it was offered.
    """

    __slots__ = ("_held", "_names", "failures", "fd", "leaves", "left_out", "name", "number", "offered",
                 "taken", "upcoming")  # fmt: skip

    def __init__(self, fd: int, name: bytes) -> None:
        self.fd = fd
        self.name = name
        self.left_out: frozenset[str] = frozenset()
        self.failures: list[str] = []
        self.upcoming: str | None = None
        self.taken = 0
        self.leaves = self.number = self.offered = 0
        self._held: Sequence[str] = ()
        self._names: Iterator[str] = iter(())

    def visit(self, names: Sequence[str] | None) -> None:
        """Set what is to be visited; None lists the directory again, bit by bit."""
        self._held = names or ()
        self._names = _subdirectories(self.fd, self.failures) if names is None else iter(names)
        self.upcoming = next(self._names, None)

    def take(self) -> str | None:
        """The next subdirectory's name."""
        name = self.upcoming
        if name is not None:
            self.upcoming = next(self._names, None)
            self.taken += 1
        return name

    def upcoming_from(self, number: int, count: int) -> Sequence[str]:
        """Subdirectories from that number on, as far as their names are held."""
        return self._held[number : number + count]

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
