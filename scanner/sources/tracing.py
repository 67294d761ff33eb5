"""Tracing one path: where a walk would come to on the way down to it, and why it goes no further.

The way is that of the walk: by names in open directories, never through a link, and every entry is taken
for what the listing of its directory says it is. What decides is the walk's own (`policy`, `crossing`,
`snapshots`, `mail`), so the two agree; a property test holds them to it. Nothing of a file is opened.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from enum import StrEnum

from scanner.model.files import FileStat
from scanner.sources.crossing import open_below
from scanner.sources.listing import failure_kind, other_kind
from scanner.sources.mail import PrivateStore, private_store, signs
from scanner.sources.policy import WalkPolicy
from scanner.sources.snapshots import is_snapshots
from scanner.sources.walk import BY_CHOICE
from scanner.system.opening import DIRECTORY_FLAGS, child_opener

# Names that can be a sign of a private store without being a directory begin so (see `mail`).
_TELLING_FILE = "dovecot"


class Reach(StrEnum):
    """What a walk does with a path."""

    FILE = "file"  # met as a regular file
    DIRECTORY = "directory"  # entered
    LEFT_OUT = "left_out"  # passed over, for a reason
    NO_FILE = "no_file"  # a link, pipe, socket or device: only counted
    FAILED = "failed"  # could not be looked at, and that is told
    ABSENT = "absent"  # nothing is there


@dataclass(frozen=True, slots=True)
class Trace:
    """Where the way to a path ends.

    Attributes:
        at: the path where it ends: the traced one, or the first one above it that the walk does not pass.
        reason: why, in the words of the walk: excluded, mail_store, depth, own, snapshot, mount,
            pseudo_filesystem, network_filesystem; symlink, fifo, socket, device; permission, unreadable,
            io, …; "" for what is met, entered or absent.
        stat: of a regular file that is met.
    """

    reach: Reach
    at: bytes
    reason: str = ""
    stat: FileStat | None = None


def trace(root_fd: int, path: bytes, policy: WalkPolicy) -> Trace:
    """Go down to a path as a walk of the volume would.

    Lists each directory on the way once, so it takes as long as these are large.

    Args:
        root_fd: the volume's root, open; stays open.
        path: below the root, plain names joined by b"/"; b"" is the root itself.
        policy: as the walk gets it.

    Raises:
        RuntimeError: the path has an empty component, "." or "..".
    """
    names = path.split(b"/") if path else []
    if not {b"", b".", b".."}.isdisjoint(names):
        raise RuntimeError("a path to be traced is made of plain names")
    tracer = _Tracer(policy)
    try:
        return tracer.run(root_fd, names)
    finally:
        tracer.close()


@dataclass(slots=True)
class _Entry:
    """What a listing says of one name; `kind` is "" if it does not have it."""

    kind: str = ""  # "", file, directory, or what it is counted as
    failure: str = ""  # why it, or all there is, could not be looked at
    stat: os.stat_result | None = None
    store: PrivateStore | None = None  # of the directory


class _Tracer:
    def __init__(self, policy: WalkPolicy) -> None:
        self._policy = policy
        self._open_child = child_opener()
        self._fd = -1
        self._at = b""

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def run(self, root_fd: int, names: list[bytes]) -> Trace:
        try:
            self._fd = os.open(".", DIRECTORY_FLAGS, dir_fd=root_fd)
        except OSError as e:
            return Trace(Reach.FAILED, b"", failure_kind(e))
        ended = self._entered(b"", self._policy.leaves_out(b"", "", (), 0))
        for depth, name in enumerate(names, 1):
            if ended is not None:
                return ended
            ended = self._down(name, depth, last=depth == len(names))
        return ended or self._listable()

    def _down(self, name: bytes, depth: int, *, last: bool) -> Trace | None:
        """One component further; None if that is an entered directory."""
        above = self._at
        self._at = b"/".join((above, name)) if above else name
        found = _look(self._fd, above, name, self._policy)
        if found.kind == "directory":
            return self._directory(name, depth, found.store)
        if found.failure:
            # Without the name, nothing is known of what the listing did not come to.
            return Trace(Reach.FAILED, self._at if found.kind else above, found.failure)
        if found.kind == "file":
            return self._file(above, name, found) if last else Trace(Reach.ABSENT, self._at)
        if found.kind and (last or found.kind == "symlink"):
            return Trace(Reach.NO_FILE, self._at, found.kind)
        return Trace(Reach.ABSENT, self._at)

    def _file(self, directory: bytes, name: bytes, found: _Entry) -> Trace:
        if found.stat is None:
            raise RuntimeError("a file is known by its stat")
        reason = self._policy.leaves_out_file(directory, name, found.store)
        if reason:
            return Trace(Reach.LEFT_OUT, self._at, reason)
        if not stat.S_ISREG(found.stat.st_mode):
            return Trace(Reach.NO_FILE, self._at, other_kind(found.stat.st_mode))
        return Trace(Reach.FILE, self._at, stat=FileStat.of(name, found.stat))

    def _directory(self, name: bytes, depth: int, store: PrivateStore | None) -> Trace | None:
        policy, text = self._policy, os.fsdecode(name)
        if not policy.snapshots and is_snapshots(text, self._fd):
            return Trace(Reach.LEFT_OUT, self._at, "snapshot")
        reason = policy.leaves_out(self._at, text, store.directories if store else (), depth)
        try:
            fd, other = open_below(self._fd, name, policy, self._open_child)
        except OSError as e:
            if reason in BY_CHOICE:
                return Trace(Reach.LEFT_OUT, self._at, reason)
            return Trace(Reach.FAILED, self._at, failure_kind(e))
        if fd < 0:
            return Trace(Reach.LEFT_OUT, self._at, other)
        self.close()
        self._fd = fd
        return self._entered(name, reason)

    def _entered(self, name: bytes, reason: str) -> Trace | None:
        if not reason and self._policy.is_own(self._fd, name):
            reason = "own"
        return Trace(Reach.LEFT_OUT, self._at, reason) if reason else None

    def _listable(self) -> Trace:
        """The path is a directory that is entered: whether its listing begins."""
        try:
            with os.scandir(self._fd) as entries:
                next(entries, None)
        except OSError as e:
            return Trace(Reach.FAILED, self._at, failure_kind(e))
        return Trace(Reach.DIRECTORY, self._at)


def _look(fd: int, directory: bytes, name: bytes, policy: WalkPolicy) -> _Entry:
    """Look a name up in the listing of an open directory, and see what of it is a private store."""
    found = _Entry()
    wanted = os.fsdecode(name)
    directories: list[str] = []
    telling: list[str] = []
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        with os.scandir(fd) as entries:
            for entry in entries:
                if entry.name == wanted:
                    _identify(entry, found)
                    if policy.mail_ground:
                        break
                if not policy.mail_ground:
                    _note_signs(entry, directories, telling)
    except OSError as e:
        found.failure = found.failure if found.kind else failure_kind(e)
    if not policy.mail_ground:
        found.store = private_store(directory, signs(directories, os.fsencode("\0".join(telling))))
    return found


def _identify(entry: os.DirEntry[str], found: _Entry) -> None:
    """What an entry is, asking of it what the walk asks."""
    found.kind = "unknown"
    try:
        if entry.is_file(follow_symlinks=False):
            found.stat = entry.stat(follow_symlinks=False)
            found.kind = "file"
        elif entry.is_dir(follow_symlinks=False):
            found.kind = "directory"
        elif entry.is_symlink():
            found.kind = "symlink"
        else:
            found.kind = other_kind(entry.stat(follow_symlinks=False).st_mode)
    except FileNotFoundError:
        found.kind = ""
    except OSError:
        found.failure = "unreadable"


def _note_signs(entry: os.DirEntry[str], directories: list[str], telling: list[str]) -> None:
    try:
        if entry.is_dir(follow_symlinks=False):
            directories.append(entry.name)
        elif entry.name.startswith(_TELLING_FILE) and entry.is_file(follow_symlinks=False):
            telling.append(entry.name)
    except OSError:
        return  # what can't be looked at tells nothing, there as here
