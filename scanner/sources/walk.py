"""Walking a volume: every regular file is met once, and is changed, unchanged, skipped or failed.

Directories are opened by their name in the open directory above them, never by a path and never by
"..": a link or another directory swapped in can't lead elsewhere, and PATH_MAX is no limit. Files
are not opened at all.

The racy rule. A write within the same tick of the clock as our look would leave ctime and size as
they are. So a directory with a file younger than `WalkPolicy.racy_ns` gets the fingerprint b"", and
next time its files are compared one by one; and whoever stores the row of a file that was young when
it was hashed stores ctime_ns = 0, which never compares equal.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import repeat
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from scanner.model.files import (
    DirectoryFailed,
    DirectoryMet,
    FilesSkipped,
    KnownDirectory,
    KnownFile,
    OthersMet,
    WalkEvent,
)
from scanner.model.ports import KnownFiles
from scanner.sources.ahead import Listed, ahead
from scanner.sources.comparing import Comparison, compare
from scanner.sources.counting import count_below
from scanner.sources.crossing import open_below
from scanner.sources.listed import Block
from scanner.sources.listing import (
    BLOCK_ENTRIES,
    Fingerprinter,
    Level,
    Lister,
    blocks,
    failure_kind,
)
from scanner.sources.mail import private_store, signs
from scanner.sources.moved import Moves
from scanner.sources.policy import WalkPolicy
from scanner.sources.snapshots import is_snapshots
from scanner.sources.visiting import Visit, cached, met, moved, skips, unchanged
from scanner.system.opening import DIRECTORY_FLAGS, child_opener

if TYPE_CHECKING:
    from scanner.sources.mapping import Recorder  # brings numpy, which a plain walk has no use for

# Things that are no files, met since the last word of them: often enough for a moving progress line.
_OTHERS_EVERY = 10_000
# Rows of one directory that are fetched at once (some 100 MB); above, they are asked for by name. A customer
# who makes millions of files and removes them again leaves that many rows behind.
_MAX_ROWS = 8 * BLOCK_ENTRIES
# The operator wanted these left alone: that some of it could not be counted is no failure of the scan.
BY_CHOICE = frozenset({"excluded", "mail_store", "own"})


def walk(
    root_fd: int, policy: WalkPolicy, known: KnownFiles | None, now_ns: Callable[[], int]
) -> Iterator[WalkEvent]:
    """Walk a volume depth first.

    Each regular file found is in exactly one event: in a DirectoryMet as changed, known, clean or not
    media, or in a FilesSkipped (for `excluded` files and `unreadable` ones, whose stat was refused, one a
    directory, with the directory's path). Skips by choice are counted as far as they can be listed; where
    anything else can't be listed there is a DirectoryFailed. Counts in OthersMet are to be added up.

    Args:
        root_fd: an open directory; stays open.
        policy: what to leave out.
        known: what the catalog has; None takes every file as changed.
        now_ns: UTC in nanoseconds, asked once for each directory.

    Raises:
        CatalogError: from `known`.
    """
    yield from Walk(policy, known, now_ns).run(root_fd)


@dataclass(slots=True)
class _Look:
    """What a first look at a large directory gave; the fingerprint is b"" if not all of it was seen."""

    fingerprint: bytes = b""
    files: int = 0
    signs: frozenset[str] = frozenset()
    others: Counter[str] = field(default_factory=Counter)
    records: list[bytes] = field(default_factory=list)


class Walk:
    """One walk over a volume, or over parts of it; see `walk` for what its events mean.

    Args:
        recorder: takes down what is seen by inode.
    """

    def __init__(
        self,
        policy: WalkPolicy,
        known: KnownFiles | None,
        now_ns: Callable[[], int],
        recorder: Recorder | None = None,
    ) -> None:
        self._policy = policy
        self._known = known
        self._now_ns = now_ns
        self._file_excludes = policy.excludes if policy.excludes and policy.excludes.files else None
        self._mail_left_out = not policy.mail_ground
        self._open_child = child_opener()  # other mounts are opened with care, if at all
        self._fingerprints = Fingerprinter(policy.profile)
        self._lister = Lister(native=policy.native, by_inode=policy.by_inode)
        self._ahead = ahead(now_ns, by_inode=policy.by_inode) if policy.native else None
        self._levels: list[Level] = []
        self._leaves: dict[int, int] = {}  # by depth, as last seen; see Level
        self._others: Counter[str] = Counter()
        self._recorder = recorder
        self._moves: Moves | None = None
        self._above = 0  # levels between the root and the first of `_levels` but the root

    def run(self, root_fd: int) -> Iterator[WalkEvent]:
        """Walk the whole volume."""
        self.begin(root_fd)
        try:
            yield from self._noted(0, self._root, root_fd)
            yield from self._descend(0)
        finally:
            self._close()
        yield from self.rest()

    def begin(self, root_fd: int) -> None:
        """To be called before the first `part`, with the volume's root, which stays open."""
        self._moves = Moves(root_fd, self._policy, self._known)

    def part(
        self, fd: int, path: bytes, depth: int, choose: Callable[[Level], list[str]]
    ) -> Iterator[WalkEvent]:
        """Look at one open directory, and walk those of its subdirectories that are chosen after that.

        Args:
            fd: the directory; taken over.
            depth: levels below the root.
            choose: of an open directory that was listed, the subdirectories to be walked.
        """
        level = Level(fd, path)
        self._levels = [level] if not depth else [Level(-1, b""), level]
        self._above = max(0, depth - 1)
        try:
            yield from self._noted(depth, self._directory, level, path)
            level.visit(choose(level))
            yield from self._descend(len(self._levels) - 1)
        finally:
            self._close()
            self._above = 0

    def rest(self) -> Iterator[WalkEvent]:
        """What was counted and not told yet."""
        if self._others:
            yield self._tell_others()

    def _descend(self, floor: int) -> Iterator[WalkEvent]:
        """Walk on until only so many levels are open."""
        while len(self._levels) > floor:
            level = self._levels[-1]
            yield from self._noted(self._depth(), self._step, level)
            if self._others and self._others.total() >= _OTHERS_EVERY:
                yield self._tell_others()

    def _close(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
        for level in self._levels:
            level.close()
        self._levels = []

    def _depth(self) -> int:
        """Levels below the root of the directory that is open last."""
        return len(self._levels) - 1 + self._above

    def _noted(
        self, depth: int, what: Callable[..., Iterable[WalkEvent]], *arguments: Any
    ) -> Iterable[WalkEvent]:
        """Have what is met beside files taken down, with the directory it is met in.

        Args:
            depth: of the directory in which it is, unless another one is entered.
        """
        if self._recorder is None:
            return what(*arguments)
        return self._taken_down(self._recorder, depth, what, arguments)

    def _taken_down(
        self,
        recorder: Recorder,
        depth: int,
        what: Callable[..., Iterable[WalkEvent]],
        arguments: tuple[Any, ...],
    ) -> Iterator[WalkEvent]:
        entered, before = recorder.count, self._others.copy()
        met = []
        for event in what(*arguments):
            if not isinstance(event, DirectoryMet):
                met.append(event)
            yield event
        if recorder.count:
            owner = recorder.count - 1 if recorder.count > entered else recorder.at(depth)
            recorder.tell(owner, met, self._others - before)

    def _tell_others(self) -> OthersMet:
        counts = dict(self._others)
        self._others.clear()
        return OthersMet(counts)

    # From directory to directory. What has a few events at most returns them instead of being a generator:
    # each generator on the way costs something for every directory.

    def _root(self, root_fd: int) -> Iterable[WalkEvent]:
        try:
            fd = os.open(".", DIRECTORY_FLAGS, dir_fd=root_fd)
        except OSError as e:
            return (DirectoryFailed(b"", failure_kind(e)),)
        return self._enter(fd, b"", b"", self._policy.leaves_out(b"", "", (), 0))

    def _step(self, level: Level) -> Iterable[WalkEvent]:
        name = level.take()
        if name is not None:
            return self._child(level, name)
        failures = [DirectoryFailed(self._path(), kind) for kind in level.failures]
        level.close()
        self._levels.pop()
        return failures

    def _child(self, level: Level, text: str) -> Iterable[WalkEvent]:
        if not self._policy.snapshots and is_snapshots(text, level.fd):
            self._others["snapshot"] += 1
            if level.upcoming is None:
                level.close()
            return ()
        name = os.fsencode(text)
        path = self._path(name)
        reason = self._policy.leaves_out(path, text, level.left_out, self._depth() + 1)
        listed = None
        if self._ahead is not None and not reason and level.leaves:
            listed = self._ahead.take(level, name)
            self._look_ahead(level, path[: len(path) - len(name)])
        try:
            fd, other = (listed.fd, "") if listed else self._open_below(level.fd, name)
        except OSError as e:
            return self._not_opened(path, reason, e)
        finally:
            if level.upcoming is None:
                level.close()
        if fd < 0:
            self._others[other] += 1
            return ()
        above = len(self._levels)
        events = self._enter(fd, name, path, reason, listed)
        level.leaves = self._leaves[above] = level.leaves + 1 if self._levels[-1] is level else 0
        return events

    def _open_below(self, parent_fd: int, name: bytes) -> tuple[int, str]:
        return open_below(parent_fd, name, self._policy, self._open_child)

    def _look_ahead(self, level: Level, above: bytes) -> None:
        """Have the subdirectories that come next listed, if they are to be walked."""
        if self._ahead is None or level.upcoming is None:
            return
        depth = self._depth() + 1
        self._ahead.look(
            level,
            lambda name: not self._policy.leaves_out(above + os.fsencode(name), name, level.left_out, depth),
        )

    def _not_opened(self, path: bytes, reason: str, error: OSError) -> Iterable[WalkEvent]:
        if reason in BY_CHOICE:
            return (FilesSkipped(path, reason, 0),)
        return (DirectoryFailed(path, failure_kind(error)),)

    def _path(self, *below: bytes) -> bytes:
        # Kept as names: the paths of a chain of long names would take the square of its depth.
        return b"/".join([*(level.name for level in self._levels[1:]), *below])

    def _enter(
        self, fd: int, name: bytes, path: bytes, reason: str, listed: Listed | None = None
    ) -> Iterable[WalkEvent]:
        """Look at an open directory, or only count it; takes over the descriptor."""
        if not reason and self._policy.is_own(fd, name):
            reason = "own"
        if not reason:
            level = Level(fd, name)
            self._levels.append(level)
            level.leaves = self._leaves.get(len(self._levels), 0)
            events = self._directory(level, path, listed)
            if level.upcoming is None and isinstance(events, list):
                self._levels.pop().close()  # all was said of it
            return events
        if listed:
            os.lseek(fd, 0, os.SEEK_SET)
        files, failure = count_below(fd, self._open_child, self._others)
        skipped = FilesSkipped(path, reason, files)
        if failure and reason not in BY_CHOICE:
            return (skipped, DirectoryFailed(path, failure))
        return (skipped,)

    # One directory

    def _directory(self, level: Level, path: bytes, listed: Listed | None = None) -> Iterable[WalkEvent]:
        asked_ns = listed.asked_ns if listed else self._now_ns()
        here = Visit(path, asked_ns - self._policy.racy_ns)
        if self._moves is not None and self._moves.subvolumes:
            here.subvolume = self._moves.subvolume(level.fd)
        if self._recorder is not None:
            name = path.rpartition(b"/")[2]
            self._recorder.enter(self._depth(), name, os.fstat(level.fd), here.horizon)
        block = listed.block if listed else self._lister.first_block(level.fd)
        if not block.last:
            return self._large(here, level)
        events = self._small(here, level, block)
        if here.store:
            level.left_out = here.store.directories
        level.visit(block.directories)
        return events

    def _small(self, here: Visit, level: Level, block: Block) -> list[WalkEvent]:
        names = block.raw_names()
        if self._mail_left_out and (found := signs(block.directories, names)):
            here.store = private_store(here.path, found)
        if self._leave_out(here, block):
            names = block.raw_names()
        here.entry = entry = self._known.directory(here.path) if self._known else None
        state = self._fingerprints.start(here.subvolume)
        self._fingerprints.add(state, block, names)
        fingerprint = state.digest() if block.sound else b""
        if self._recorder is not None:
            self._recorder.listed(fingerprint, (block.records(),), block.files)
        events: list[WalkEvent] = []
        if entry and unchanged(entry, fingerprint, block.files):
            events.append(cached(here.path, entry))
        else:
            self._know_again(here, level)
            events.append(self._compared(here, block, names, fingerprint))
        if block.others or here.skipped or not block.sound:
            events.extend(self._tell_rest(here, block))
        return events

    def _compared(self, here: Visit, block: Block, raw: bytes, fingerprint: bytes) -> DirectoryMet:
        if here.moved_from and here.entry and unchanged(here.entry, fingerprint, block.files):
            return moved(here, here.entry)
        names = raw.split(b"\0") if block.files else []
        rows, all_of_them = self._rows(here.entry, names)
        result = self._compare(block, names, rows, here)
        gone: tuple[bytes, ...] = ()
        if here.moved_from and len(result.changed) == block.files:
            here.moved_from = 0  # nothing but the inode is as it was there
        elif all_of_them and block.sound:
            gone = tuple(sorted(rows.keys() - set(names)))
        return met(here, result, fingerprint=b"" if result.young else fingerprint, gone=gone)

    def _compare(
        self, block: Block, names: list[bytes], rows: Mapping[bytes, KnownFile], here: Visit
    ) -> Comparison:
        result = compare(block, names, rows, here.horizon, self._others)
        if self._policy.by_inode:
            result.changed.sort(key=attrgetter("inode"))
        return result

    def _know_again(self, here: Visit, level: Level) -> None:
        """Have a directory's files compared with what the catalog has of it, though at another path."""
        if self._moves is None:
            return
        here.inode = inode = self._moves.inode(level.fd, here.subvolume)
        if here.entry is not None and (inode == here.entry.inode or not inode or not here.entry.inode):
            return
        here.entry = self._moves.former(inode)
        here.moved_from = here.entry.id if here.entry is not None else 0

    def _rows(
        self, entry: KnownDirectory | None, names: list[bytes]
    ) -> tuple[Mapping[bytes, KnownFile], bool]:
        """The rows for these names, and whether they are all the catalog has."""
        if self._known is None or entry is None:
            return {}, False
        if entry.clean + entry.not_media > _MAX_ROWS:
            return self._known.some_files(entry.id, names), False
        return self._known.files(entry.id), True

    def _leave_out(self, here: Visit, block: Block) -> bool:
        """Take out files that are not to be looked at; says whether there were any."""
        met = block.files
        if here.store and here.store.files:
            here.skip("mail_store", block.keep(repeat(False, block.files)))
        if self._file_excludes is not None and block.files:
            left_out = self._file_excludes.among(here.path, block.raw_names().split(b"\0"))
            here.skip("excluded", block.keep(not out for out in left_out))
        return block.files < met

    def _tell_rest(self, here: Visit, block: Block) -> Iterator[WalkEvent]:
        self._others.update(block.others)
        here.skip("unreadable", block.unreadable)
        if block.last:
            yield from skips(here)
        if block.failure:
            yield DirectoryFailed(here.path, block.failure)

    # A directory too large to hold

    def _large(self, here: Visit, level: Level) -> Iterator[WalkEvent]:
        """First a look for the fingerprint, then, if it is another one, block by block."""
        look = self._look(here, level)
        if self._mail_left_out and (store := private_store(here.path, look.signs)):
            here.store, level.left_out = store, store.directories
        here.entry = self._known.directory(here.path) if self._known else None
        if self._recorder is not None:
            self._recorder.listed(look.fingerprint, look.records, look.files)
        if here.entry and not here.store and unchanged(here.entry, look.fingerprint, look.files):
            yield cached(here.path, here.entry)
            self._others.update(look.others)
            yield from skips(here)
        else:
            here.skipped.clear()
            self._know_again(here, level)
            yield from self._block_by_block(here, level)
        level.visit(None)

    def _look(self, here: Visit, level: Level) -> _Look:
        look = _Look()
        state, sound = self._fingerprints.start(here.subvolume), True
        with closing(blocks(level.fd, by_inode=self._policy.by_inode)) as listing:
            for block in listing:
                raw = block.raw_names()
                look.signs |= signs(block.directories, raw)
                if self._leave_out(here, block):
                    raw = block.raw_names()
                self._fingerprints.add(state, block, raw)
                look.files += block.files
                if self._recorder is not None:
                    look.records.append(block.records())
                look.others.update(block.others)
                sound = sound and block.sound
        look.fingerprint = state.digest() if sound else b""
        return look

    def _block_by_block(self, here: Visit, level: Level) -> Iterator[WalkEvent]:
        state, whole = self._fingerprints.start(here.subvolume), True
        with closing(blocks(level.fd, by_inode=self._policy.by_inode)) as listing:
            for block in listing:
                self._leave_out(here, block)
                raw = block.raw_names()
                self._fingerprints.add(state, block, raw)
                names = raw.split(b"\0") if block.files else []
                rows: Mapping[bytes, KnownFile] = {}
                if self._known is not None and here.entry is not None:
                    rows = self._known.some_files(here.entry.id, names)
                result = self._compare(block, names, rows, here)
                whole = whole and block.sound and not result.young
                yield met(here, result, last=False)
                yield from self._tell_rest(here, block)
        fingerprint = state.digest() if whole else b""
        yield DirectoryMet(here.path, fingerprint=fingerprint, inode=here.inode, moved_from=here.moved_from)
