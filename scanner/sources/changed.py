"""Walking only where something changed, as the inodes of a file system say it.

The plain walk lists every directory and asks for every file. Some file systems can tell all inodes, or
those that changed, at a fraction of the cost, but without names. So a plain walk is taken down by inode
(`mapping`); next time, directories of which every inode is as it was are answered from that and the
catalog, and only the others are looked at, by the plain walk's own code. It finds what the plain walk
would find, but for files in directories that are left out (excluded, mail): how many those are is known
as of the last plain walk.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from scanner.model.files import DirectoryFailed, KnownDirectory, OthersMet, WalkEvent
from scanner.model.ports import KnownFiles
from scanner.sources.inodemap import NO_FINGERPRINT, InodeMap
from scanner.sources.listing import Level, failure_kind
from scanner.sources.mapping import Recorder
from scanner.sources.policy import WalkPolicy
from scanner.sources.visiting import cached, unchanged
from scanner.sources.walk import Walk
from scanner.system.inodes import Inodes
from scanner.system.opening import DIRECTORY_FLAGS, child_opener

Flags = npt.NDArray[np.bool_]


class InodeSource(Protocol):
    """A file system that can tell inodes.

    Attributes:
        whole: `since` gives every inode, so one that is missing is gone.
    """

    @property
    def whole(self) -> bool: ...

    def token(self) -> str:
        """What `since` is to be asked for later; asked for before anything is walked."""

    def since(self, token: str) -> Iterable[Inodes]:
        """Inodes by ascending number, never none at a time: all, or those that changed since a token.

        Raises:
            OSError: the file system does not answer.
        """


def changed_directories(known: InodeMap, source: InodeSource, mounts: Iterable[bytes]) -> Flags:
    """Which directories of a map have to be looked at: something in them, or they themselves, changed.

    Args:
        mounts: paths below the root on which something is mounted: what lies there is not what was there.

    Raises:
        OSError: the file system does not answer.
    """
    changed = np.zeros(len(known), dtype=np.bool_)
    numbers, done = known.inodes["inode"], 0
    for chunk in source.since(known.token):
        first, end = done, int(np.searchsorted(numbers, chunk["inode"][-1], side="right"))
        if not source.whole:
            first = int(np.searchsorted(numbers, chunk["inode"][0], side="left"))
        ours = known.inodes[first:end]
        place = np.minimum(np.searchsorted(chunk["inode"], ours["inode"]), len(chunk) - 1)
        there = chunk[place]
        found = there["inode"] == ours["inode"]
        same = (
            (there["ctime"] == ours["ctime"])
            & (there["size"] == ours["size"])
            & (there["mode"] == ours["mode"])
        )
        other = found & ~same if not source.whole else ~(found & same)
        changed[known.owners[first:end][other]] = True
        done = end
    if source.whole:
        changed[known.owners[done:]] = True
    for path in mounts:
        changed[known.find(path.split(b"/"))] = True
    return changed


class ChangedWalk:
    """A walk over what changed.

    Args:
        changed: as `changed_directories` gives it.
        recorder: takes down the new map; made with the old one.
    """

    def __init__(
        self,
        policy: WalkPolicy,
        known: KnownFiles,
        now_ns: Callable[[], int],
        old: InodeMap,
        changed: Flags,
        recorder: Recorder,
    ) -> None:
        self._policy = policy
        self._known = known
        self._old = old
        self._changed = changed
        self._recorder = recorder
        self._walk = Walk(policy, known, now_ns, recorder)
        self._open_child = child_opener()
        self._cut: set[int] = set()  # directories of the map that are not there any more, or are others now
        self._device = 0
        self.looked_at = 0  # directories
        self.failed = False  # to open one of the map: a new map would not have it

    def run(self, root_fd: int) -> Iterator[WalkEvent]:
        """The same events as a plain walk gives, in another order.

        Raises:
            CatalogError: from the catalog.
        """
        self._device = os.fstat(root_fd).st_dev
        self._walk.begin(root_fd)
        # Plain lists: asking an array for one number after the other takes far longer.
        rows = self._old.directories
        depths, ends, files = rows["depth"].tolist(), rows["end"].tolist(), rows["files"].tolist()
        changed, fingerprints = self._changed.tolist(), rows["print"].tolist()
        last_names = self._old.all_names()
        names: list[bytes] = []
        i = 0
        while i < len(depths):
            if i in self._cut:
                i = ends[i]
                continue
            del names[depths[i] :]
            names.append(last_names[i])
            path = b"/".join(names[1:])
            entry = None if changed[i] else self._known.directory(path)
            if entry is not None and _as_it_was(entry, fingerprints[i], files[i]):
                yield from self._kept(i, path, entry)
            else:
                self.looked_at += 1
                yield from self._look(i, path, names[1:], root_fd)
            i += 1
        yield from self._walk.rest()

    def _kept(self, i: int, path: bytes, entry: KnownDirectory) -> Iterable[WalkEvent]:
        self._recorder.keep(i)
        told = self._old.told.get(i)
        if told is None:
            return (cached(path, entry),)
        others = [OthersMet(dict(told.others))] if told.others else []
        return (cached(path, entry), *told.events(), *others)

    def _look(self, i: int, path: bytes, names: list[bytes], root_fd: int) -> Iterator[WalkEvent]:
        try:
            fd = self._open(root_fd, names)
        except OSError as e:
            self.failed = True
            self._cut.update(self._old.children(i))
            yield DirectoryFailed(path, failure_kind(e))
            return
        yield from self._walk.part(
            fd, path, len(names), lambda level: self._others(i, path, len(names), level)
        )

    def _open(self, root_fd: int, names: list[bytes]) -> int:
        fd = os.open(".", DIRECTORY_FLAGS, dir_fd=root_fd)
        for name in names:
            parent = fd
            try:
                fd = self._open_child(parent, name)
            finally:
                os.close(parent)
        return fd

    def _others(self, i: int, path: bytes, depth: int, level: Level) -> list[str]:
        """Subdirectories that the map does not have: the plain walk's. What is not there any more is cut."""
        ours = {self._old.name(child): child for child in self._old.children(i)}
        others = []
        for text in iter(level.take, None):
            name = os.fsencode(text)
            child = ours.get(name)
            below = path + b"/" + name if path else name
            left_out = self._policy.leaves_out(below, text, level.left_out, depth + 1)
            if child is not None and not left_out and self._is_still(child, level.fd, name):
                del ours[name]
            else:
                others.append(text)
        self._cut.update(ours.values())
        return others

    def _is_still(self, child: int, fd: int, name: bytes) -> bool:
        try:
            st = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except OSError:
            return False
        there = (st.st_ino, st.st_dev) == (int(self._old.directories[child]["inode"]), self._device)
        return there and stat.S_ISDIR(st.st_mode)


def _as_it_was(entry: KnownDirectory, fingerprint: bytes, files: int) -> bool:
    """Whether the catalog has what the map has: then the directory was dealt with wholly."""
    return fingerprint != NO_FINGERPRINT and unchanged(entry, fingerprint, files)
