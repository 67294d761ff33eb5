"""New list entries meet files that are already known: from their stored digests, without reading a disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from scanner.catalog import RowKey, VolumeCatalog
from scanner.model.files import DirectoryMet, FileRef, KnownFile
from scanner.model.hashes import Digests
from scanner.model.ports import Matcher


class Touched(Protocol):
    """What is new in the lists: tells which of some digests it may concern."""

    @property
    def exact_only(self) -> bool: ...

    def touched(self, batch: Sequence[Digests]) -> list[int]: ...

    def touched_exact(self, count: int, values: Callable[[str], Sequence[bytes | None]]) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class News:
    """What is new in the lists.

    Attributes:
        since: id of the index that `entries` are new to. They are enough for rows that were matched with it.
    """

    since: str
    entries: Touched


def listed_rows(
    catalog: VolumeCatalog, matcher: Matcher, news: Touched | None, stop: threading.Event
) -> Iterator[list[RowKey]]:
    """The rows that the lists have now, batch by batch.

    Args:
        news: only these entries are new since the rows were last matched; None compares each row with
            the whole index.
    """
    if news is not None and news.exact_only:
        for rows in catalog.iterate_exact():
            if stop.is_set():
                return
            if keys := [rows.key(i) for i in news.touched_exact(len(rows), rows.values)]:
                yield keys
        return
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


def touched_digests(
    catalog: VolumeCatalog, news: Touched, stop: threading.Event
) -> Iterator[tuple[int, list[Digests]]]:
    """What is known of a volume's files, batch by batch: how many were looked at, and the digests of those
    that `news` may concern. Reads only.

    Raises:
        CatalogError: the catalog can't be read.
    """
    for batch in catalog.iterate():
        if stop.is_set():
            return
        digests = [d for _, d in batch]
        yield len(digests), [digests[i] for i in news.touched(digests)]


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
