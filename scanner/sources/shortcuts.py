"""The walk over a volume by whatever is quickest there: the plain walk, or, between two of those, only what
the file system says changed.

What that takes is loaded where a file system can tell: the plain walk has no use for it, nor for numpy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scanner.model.files import WalkEvent
from scanner.model.ports import KnownFiles
from scanner.sources.policy import WalkPolicy
from scanner.sources.walk import Walk
from scanner.system.mounts import mounts, type_of
from scanner.system.opening import mount_id

if TYPE_CHECKING:
    from scanner.sources.changed import Flags, InodeSource
    from scanner.sources.inodemap import InodeMap

# If more than this share of the directories changed, one by one costs more than all of them.
_MOST_CHANGED = 0.3
# If more than this share was looked at, the map is written anew; before that, they are looked at again.
_MOST_STALE = 0.002
_TELLING = ("xfs", "btrfs")


@dataclass(frozen=True, slots=True)
class Shortcut:
    """How a volume may be walked.

    Attributes:
        map: file in which what was walked is kept.
        made_with: everything that decides what is walked; see `InodeMap`.
        plain_every_ns: so long after a plain walk comes the next; 0 makes every walk a plain one.
    """

    map: Path
    made_with: str
    plain_every_ns: int


def inode_source(fd: int) -> tuple[InodeSource, str] | None:
    """What the file system of an open directory can tell, and its token of now; None where it can't, or does
    not tell us."""
    try:
        kind = type_of(mount_id(fd))
        if kind not in _TELLING:
            return None
        from scanner.sources.telling import BtrfsInodes, XfsInodes

        source = XfsInodes(fd) if kind == "xfs" else BtrfsInodes(fd)
        token = source.token()
        next(iter(source.since(token)), None)
    except OSError:
        return None
    return source, token


def walk_volume(
    root_fd: int,
    root: bytes,
    policy: WalkPolicy,
    known: KnownFiles,
    now_ns: Callable[[], int],
    shortcut: Shortcut,
) -> Iterator[WalkEvent]:
    """Walk a volume; events are those of `walk`, if not in its order.

    Args:
        root: path of the volume, for what is mounted below it.

    Raises:
        CatalogError: from `known`.
    """
    began = now_ns()
    found = inode_source(root_fd) if shortcut.plain_every_ns else None
    if found is None:
        yield from Walk(policy, known, now_ns).run(root_fd)
        return
    from scanner.sources.changed import ChangedWalk
    from scanner.sources.inodemap import load
    from scanner.sources.mapping import Recorder

    source, token = found
    old = load(shortcut.map)
    changed = None if old is None else _changed(old, root, source, shortcut, began)
    if old is None or changed is None:
        recorder = Recorder(shortcut.map.parent)
        yield from Walk(policy, known, now_ns, recorder).run(root_fd)
        _keep(recorder.finish(shortcut.made_with, began, token), shortcut)
        return
    recorder = Recorder(shortcut.map.parent, old)
    walk = ChangedWalk(policy, known, now_ns, old, changed, recorder)
    yield from walk.run(root_fd)
    if not walk.failed and walk.looked_at > _MOST_STALE * len(old):
        _keep(recorder.finish(shortcut.made_with, old.walked_ns, token), shortcut)


def _changed(old: InodeMap, root: bytes, source: InodeSource, shortcut: Shortcut, now: int) -> Flags | None:
    """Which directories are to be looked at; None where a plain walk is due, or better."""
    if old.made_with != shortcut.made_with or not 0 <= now - old.walked_ns < shortcut.plain_every_ns:
        return None
    from scanner.sources.changed import changed_directories

    try:
        changed = changed_directories(old, source, mounts_below(root))
    except (OSError, ValueError):  # the file system does not answer, or the token is not one of its own
        return None
    return changed if changed.mean() <= _MOST_CHANGED else None


def mounts_below(root: bytes) -> list[bytes]:
    """Paths below a directory on which something is mounted."""
    above = os.path.realpath(root).rstrip(b"/") + b"/"
    return [mount.point[len(above) :] for mount in mounts() if mount.point.startswith(above)]


def _keep(made: InodeMap | None, shortcut: Shortcut) -> None:
    from scanner.sources.inodemap import save

    # Without a map the next walk is a plain one: that costs time, and nothing else.
    with suppress(OSError):
        if made is None:
            shortcut.map.unlink(missing_ok=True)
        else:
            save(made, shortcut.map)
