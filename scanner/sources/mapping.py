"""Making an inode map while walking."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

import numpy as np
import numpy.typing as npt

from scanner.model.files import DirectoryFailed, FilesSkipped, WalkEvent
from scanner.sources.inodemap import (
    DIRECTORY,
    NO_FINGERPRINT,
    Directories,
    InodeMap,
    Told,
)
from scanner.sources.runs import InodeRuns
from scanner.system.inodes import INODE

_GONE = 0xFFFFFFFF
_INODE = Struct("<QqQI").pack  # one of INODE
# Inodes of one map: each takes 32 bytes on disk, and 64 more while it is made. A directory takes some 300
# bytes of memory then.
_MOST = 20_000_000
_KEPT_AT_ONCE = 1 << 20  # inodes of an old map looked at together


@dataclass(slots=True)
class _Entered:
    """A directory that was listed; the fields are those of DIRECTORY."""

    depth: int
    name: bytes
    inode: int
    files: int = 0
    fingerprint: bytes = NO_FINGERPRINT


class Recorder:
    """Takes down what a walk sees, directory by directory, in the walk's order.

    Args:
        scratch: directory for what does not fit into memory.
        old: a map from which directories may be kept as they are.
    """

    def __init__(self, scratch: Path, old: InodeMap | None = None) -> None:
        self._old = old
        self._runs = InodeRuns(scratch)
        self._old_files: list[int] = [] if old is None else old.directories["files"].tolist()
        self._seen: list[_Entered | int] = []  # listed, or kept: a directory of the old map
        self._at: dict[int, int] = {}  # by depth, the directory in which the walk is
        self._told: dict[int, Told] = {}
        self._device: int | None = None
        self._held = 0  # inodes
        self._useless = False  # too many inodes, or of several file systems, which a map would mix up

    @property
    def count(self) -> int:
        return len(self._seen)

    def at(self, depth: int) -> int:
        """The directory of this depth that was entered last."""
        return self._at[depth]

    def enter(self, depth: int, name: bytes, st: os.stat_result, horizon: int) -> None:
        """A directory was opened and will be listed.

        Args:
            horizon: ns since 1970; of what changed later, another change could have the same ctime.
        """
        if self._device is None:
            self._device = st.st_dev
        if st.st_dev != self._device:
            self._give_up()
        if self._useless:
            return
        self._at[depth] = len(self._seen)
        self._seen.append(_Entered(depth, name, st.st_ino))
        ctime = 0 if st.st_ctime_ns > horizon else st.st_ctime_ns
        self._record(_INODE(st.st_ino, ctime, 0, st.st_mode))

    def listed(self, fingerprint: bytes, records: Iterable[bytes], files: int) -> None:
        """What the listing of the directory last entered gave.

        Args:
            fingerprint: b"" where not all of it was seen.
            records: inode, ctime, size and mode of its regular files, as `Block.records` has them.
        """
        if self._useless:
            return
        last = self._seen[-1]
        assert isinstance(last, _Entered)
        last.files, last.fingerprint = files, fingerprint or NO_FINGERPRINT
        for part in records:
            self._record(part)

    def keep(self, directory: int) -> None:
        """A directory is as it was in the old map."""
        self._hold(1 + self._old_files[directory])
        if not self._useless:
            self._seen.append(directory)

    def tell(self, directory: int, events: Iterable[WalkEvent], others: Mapping[str, int]) -> None:
        """What was met in a directory beside files."""
        skipped = []
        for event in events:
            if isinstance(event, FilesSkipped):
                skipped.append((event.path, event.reason, event.files))
            elif isinstance(event, DirectoryFailed):  # has to be tried again
                entered = self._seen[directory]
                assert isinstance(entered, _Entered)
                entered.fingerprint = NO_FINGERPRINT
        if skipped or others:
            before = self._told.get(directory, Told())
            kinds = {*before.others, *others}
            sums = {kind: before.others.get(kind, 0) + others.get(kind, 0) for kind in kinds}
            self._told[directory] = Told(sums, (*before.skipped, *skipped))

    def finish(self, made_with: str, walked_ns: int, token: str) -> InodeMap | None:
        """The map; None if inode numbers don't tell files apart, there are too many, or there is no room."""
        if self._useless:
            return None
        try:
            if self._old is not None:
                self._add_kept(self._old)
            records, owners = self._runs.merged()
        except OSError:
            return None
        directories, names = self._directories()
        return InodeMap(
            made_with=made_with,
            walked_ns=walked_ns,
            token=token,
            directories=directories,
            names=names,
            inodes=records,
            owners=owners,
            told=self._told,
        )

    def _add_kept(self, old: InodeMap) -> None:
        moved = np.full(len(old), _GONE, dtype=np.uint32)
        for index, seen in enumerate(self._seen):
            if isinstance(seen, int):
                moved[seen] = index
                if seen in old.told:
                    self._told[index] = old.told[seen]
        for start in range(0, len(old.inodes), _KEPT_AT_ONCE):
            end = start + _KEPT_AT_ONCE
            new = moved[old.owners[start:end]]
            stay = new != _GONE
            self._runs.add_sorted(old.inodes[start:end][stay], new[stay])

    def _directories(self) -> tuple[Directories, npt.NDArray[np.uint8]]:
        rows, names, name_end = [], [], 0
        for seen in self._seen:
            entered = self._kept(seen) if isinstance(seen, int) else seen
            names.append(entered.name)
            name_end += len(entered.name)
            rows.append((entered.depth, 0, name_end, entered.files, entered.inode, entered.fingerprint))
        made = np.array(rows, dtype=DIRECTORY)
        made["end"] = _ends(made["depth"].tolist())
        return made, np.frombuffer(b"".join(names), np.uint8)

    def _kept(self, directory: int) -> _Entered:
        assert self._old is not None
        row = self._old.directories[directory]
        numbers = (int(row["inode"]), int(row["files"]))
        return _Entered(int(row["depth"]), self._old.name(directory), *numbers, row["print"].tobytes())

    def _record(self, part: bytes) -> None:
        count = len(part) // INODE.itemsize
        self._hold(count)
        if not count or self._useless:
            return
        try:
            self._runs.add(part, len(self._seen) - 1)
        except OSError:  # no room: it is the ledger's
            self._give_up()

    def _hold(self, inodes: int) -> None:
        self._held += inodes
        if self._held > _MOST:
            self._give_up()

    def _give_up(self) -> None:
        self._useless = True
        self._seen.clear()
        self._told.clear()
        self._runs.drop()


def _ends(depths: Sequence[int]) -> list[int]:
    """For each directory of a walk where what lies below it ends."""
    ends = [len(depths)] * len(depths)
    open_ones: list[int] = []
    for index, depth in enumerate(depths):
        while len(open_ones) > depth:
            ends[open_ones.pop()] = index
        open_ones.append(index)
    return ends
