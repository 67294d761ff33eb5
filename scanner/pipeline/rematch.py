"""New list entries meet files that are already known: from their stored digests, without reading a disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Protocol

from scanner.catalog import RowKey, VolumeCatalog
from scanner.hashing import HashJob, HashResult
from scanner.model.files import DirectoryMet, FileRef, KnownFile
from scanner.model.hashes import Digests
from scanner.model.ports import Matcher


class Touched(Protocol):
    """What is new in the lists: tells which of some digests it may concern."""

    def touched(self, batch: Sequence[Digests]) -> list[int]: ...


def listed_rows(
    catalog: VolumeCatalog, matcher: Matcher, news: Touched | None, stop: threading.Event
) -> Iterator[list[RowKey]]:
    """The rows that the lists have now, batch by batch.

    Args:
        news: only these entries are new since the rows were last matched; None compares each row with
            the whole index.
    """
    for batch in catalog.iterate():
        if stop.is_set():
            return
        digests = [d for _, d in batch]
        if news is not None:
            places: Iterable[int] = news.touched(digests)
        else:
            places = (i for i, d in enumerate(digests) if matcher.match(d))
        keys = [batch[i][0] for i in places]
        if keys:
            yield keys


def mark_listed(
    catalog: VolumeCatalog, matcher: Matcher, news: Touched | None, stop: threading.Event
) -> list[RowKey]:
    """Mark the rows that the lists have now, so that the next walk decides about them; returns them.

    Raises:
        CatalogError: the catalog can't be read or written.
    """
    found: list[RowKey] = []
    for keys in listed_rows(catalog, matcher, news, stop):
        catalog.mark_listed(keys)
        found.extend(keys)
    return found


def as_walked(catalog: VolumeCatalog, keys: Sequence[RowKey]) -> list[DirectoryMet]:
    """The rows as walk events, so that they go the way of all files at once instead of at the next walk."""
    rows = sorted(catalog.find(keys), key=_directory)
    return [
        DirectoryMet(path=path, known=tuple(known for _, known in group))
        for path, group in groupby(rows, key=_directory)
    ]


def _directory(row: tuple[FileRef, KnownFile]) -> bytes:
    return row[0].directory


class NoWorkers:
    """Stands where workers would, for runs in which nothing has to be read."""

    def __init__(self) -> None:
        self._never, self._writer = os.pipe2(os.O_CLOEXEC)

    @property
    def room(self) -> int:
        return 0

    def fileno(self) -> int:
        return self._never

    def submit(self, job: HashJob) -> None:
        raise RuntimeError("a run over known files has nothing to hash")

    def prove(self) -> None:
        """Nothing is ever to be confirmed."""

    def flush(self) -> None:
        """Nothing is ever waiting."""

    def poll(self, now: float) -> list[HashResult]:
        return []

    def stop(self) -> None:
        for fd in (self._never, self._writer):
            os.close(fd)
