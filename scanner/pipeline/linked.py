"""The end of a run: other names of what was secured are found and secured too, or told of."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from scanner.catalog import VolumeCatalog
from scanner.ledger import Ledger
from scanner.model.files import FileRef
from scanner.model.matches import Action
from scanner.model.outcomes import ScanCounts
from scanner.model.ports import Clock
from scanner.pipeline.judging import Judge, OpenFile
from scanner.pipeline.links import LeftNames
from scanner.pipeline.opening import OpenDirectory
from scanner.pipeline.reporting import Reporter
from scanner.pipeline.volume import Volume
from scanner.sources import WalkPolicy, find_names


class LinkHunt:
    """Looks for the names that secured inodes still have, first in the catalog, then by a walk over names.

    Args:
        known: the volume's rows; None where there are none.
        policy: what a walk of the volume leaves out.
        judge: of the run that secured them; it knows what has names left.
        counts: of that run: secured and unsecured are counted there, files are not.
    """

    def __init__(
        self,
        *,
        volume: Volume,
        root_fd: int,
        known: VolumeCatalog | None,
        policy: WalkPolicy,
        judge: Judge,
        counts: ScanCounts,
        ledger: Ledger,
        reporter: Reporter,
        clock: Clock,
        stop: threading.Event,
    ) -> None:
        self._volume = volume
        self._root_fd = root_fd
        self._known = known
        self._policy = policy
        self._judge = judge
        self._counts = counts
        self._ledger = ledger
        self._reporter = reporter
        self._clock = clock
        self._stop = stop

    def run(self) -> None:
        """Find, judge, tell. An interrupted run does nothing: its names are met by the next scan.

        Raises:
            ScannerError: our own storage failed.
        """
        links = self._judge.links
        if links.left() and not self._stop.is_set() and not self._volume.only:
            links.hunt(self._places(), self._open, self._judged, self._volume.name)
        if self._stop.is_set():
            return
        for left in links.left():
            self._tell(left)

    def _places(self) -> Iterator[tuple[bytes, bytes]]:
        inodes = self._judge.links.inodes
        if self._known is not None:
            yield from self._known.names_of(inodes)
        if self._judge.links.left():
            yield from find_names(self._root_fd, inodes, self._policy, self._stop.is_set)

    def _open(self, path: bytes) -> OpenDirectory:
        return OpenDirectory(self._root_fd, path, one_mount=self._volume.one_filesystem)

    def _judged(
        self, file: FileRef, left: LeftNames, directory: OpenDirectory, fd: int, atime_ns: int
    ) -> bool:
        opened = OpenFile(fd, directory.fd, file.stat, atime_ns)
        return self._judge.judge(file, left.digests, self._counts, lambda: opened).gone

    def _tell(self, left: LeftNames) -> None:
        n, case = left.missing, self._ledger.get(left.case.id)
        said = f"{n} other name{'s' if n > 1 else ''} not found in the volume"
        if case.action is Action.QUARANTINED:
            reason = f"{case.reason}; {said}"
            self._ledger.set_action(case.id, case.action, reason, "", self._clock.now_ns())
        self._reporter.note("names_left", case=case.id, volume=self._volume.name, names=n)
