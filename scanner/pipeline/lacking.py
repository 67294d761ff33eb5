"""Files that were scanned before a kind of hash was computed: they are read again, and no others."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from scanner.catalog import VolumeCatalog
from scanner.model.files import DirectoryMet
from scanner.model.outcomes import ScanCounts


class LackingKinds:
    """What a walk has found unchanged and lacks a kind, as walk events, the latest changed first.

    Args:
        walked_whole: whether a directory was walked and all of its files have an answer: only then is it
            known how they were counted.
    """

    def __init__(self, known: VolumeCatalog, walked_whole: Callable[[bytes], bool]) -> None:
        self._known = known
        self._walked_whole = walked_whole
        self._unchanged = 0
        self._failed: dict[str, int] = {}

    def events(self) -> Iterator[DirectoryMet]:
        """The events.

        Raises:
            CatalogError: the catalog can't be read.
        """
        for lacking in self._known.lacking():
            if not self._walked_whole(lacking.path):
                continue
            for file in lacking.files:
                problem = file.digests.problem
                if problem:
                    self._failed[problem] = self._failed.get(problem, 0) + 1
                else:
                    self._unchanged += 1
            yield DirectoryMet(
                lacking.path,
                changed=tuple(file.stat for file in lacking.files),
                fingerprint=lacking.fingerprint,
            )

    def settle(self, walk: ScanCounts, again: ScanCounts) -> None:
        """Put the second look at these files in the place of the first in the counts of the walk."""
        walk.add(again)
        walk.directories -= again.directories
        walk.files -= again.files
        walk.unchanged -= self._unchanged
        for problem, number in self._failed.items():
            walk.failed[problem] -= number
            if not walk.failed[problem]:
                del walk.failed[problem]
