"""New list entries meet files that are already known: from their stored digests, without reading a disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from scanner.catalog import RowKey, VolumeCatalog
from scanner.model.files import DirectoryMet, FileRef, KnownFile
from scanner.model.hashes import Digests
from scanner.model.ports import Matcher

if TYPE_CHECKING:
    from scanner.catalog.digest_arrays import DigestArrays

# Files compared at once: tens of MB as arrays, and as long as a stop may take where each is matched by
# itself.
_ARRAYS = 100_000
_ONE_BY_ONE = 5_000
# Lists after which it is written down how far a matching is, where nothing was found: scans write meanwhile,
# and each waits for the other.
_NOTED_EACH, _ARRAYS_NOTED_EACH = 10, 50
# The second is for what a scan with former lists wrote during the first; the rest is left to the next scan.
_ROUNDS = 2


class Touched(Protocol):
    """What is new in the lists: tells which of some values it may concern."""

    @property
    def exact_kinds(self) -> Sequence[str]: ...

    @property
    def perceptual_kinds(self) -> Mapping[str, int]:
        """The least quality of a file's values, by kind."""

    def concerned(self, kind: str, values: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """Which of (N, bytes) values are new, or near to new ones."""


@dataclass(frozen=True, slots=True)
class News:
    """What is new in the lists.

    Attributes:
        since: id of the index that `entries` are new to. They are enough for rows that were matched with it.
    """

    since: str
    entries: Touched


def touched_rows(files: DigestArrays, news: Touched) -> list[RowKey]:
    """Those of some files that `news` may concern, by key.

    Raises:
        CatalogError: the catalog is damaged.
    """
    found: set[RowKey] = set()
    for kind in news.exact_kinds:
        values = files.exact(kind)
        if values is not None:
            rows = np.flatnonzero(news.concerned(kind, values))
            found.update(files.exact_keys(kind, rows) if len(rows) else ())
    for kind, min_quality in news.perceptual_kinds.items():
        views = files.perceptual(kind, min_quality)
        if views is not None:
            values, pictures = views
            near = pictures[news.concerned(kind, values)]
            found.update(files.picture_keys(near) if len(near) else ())
    return sorted(found)


def listed_rows(files: DigestArrays, matcher: Matcher, news: News | None) -> list[RowKey]:
    """Those of some files that the lists have now, or may have.

    Args:
        news: its entries are all that is new to files that were matched with its `since`; others are compared
            with the whole index.

    Raises:
        CatalogError: the catalog is damaged.
    """
    if news is not None and files.since == news.since:
        return touched_rows(files, news.entries)
    return [key for key, digests in files.digests() if matcher.match(digests)]


def touched_digests(
    catalog: VolumeCatalog, news: Touched, stop: threading.Event
) -> Iterator[tuple[int, list[Digests]]]:
    """What is known of a volume's files, list by list: how many there are, and the digests of those that
    `news` may concern. Reads only.

    Raises:
        CatalogError: the catalog can't be read.
    """
    for files in catalog.arrays():
        if stop.is_set():
            return
        found = catalog.find(touched_rows(files, news))
        yield len(files), [known.digests for _, known in found]


def mark_listed(
    catalog: VolumeCatalog, matcher: Matcher, news: News | None, stop: threading.Event
) -> list[RowKey]:
    """Match all files of a volume with the lists, but for those that were. Those that the lists have now are
    marked, so that the next walk decides about them; returns them.

    Scans may go on meanwhile. When it is stopped, it goes on there the next time.

    Args:
        news: see `listed_rows`.

    Raises:
        CatalogError: the catalog can't be read or written.
    """
    found: set[RowKey] = set()  # a scan that goes on meanwhile has a further round find some of them again
    for _ in range(_ROUNDS):
        before = catalog.matched_with
        if before == matcher.id:
            break
        catalog.begin_matching(matcher.id)
        as_arrays = news is not None and before == news.since
        size, noted_each = (_ARRAYS, _ARRAYS_NOTED_EACH) if as_arrays else (_ONE_BY_ONE, _NOTED_EACH)
        passed: DigestArrays | None = None
        for number, files in enumerate(catalog.unmatched(matcher.id, size), 1):
            if stop.is_set():
                break
            keys = listed_rows(files, matcher, news)
            if keys or number % noted_each == 0:
                catalog.matched(matcher.id, files, keys)
                passed = None
            else:
                passed = files
            found.update(keys)
        if stop.is_set():
            if passed is not None:
                catalog.matched(matcher.id, passed, ())
            break
        catalog.end_matching(matcher.id)
    return sorted(found)


def as_walked(catalog: VolumeCatalog, keys: Sequence[RowKey]) -> list[DirectoryMet]:
    """The rows as walk events, so that they go the way of all files at once instead of at the next walk."""
    rows = sorted(catalog.find(keys), key=_directory)
    return [
        DirectoryMet(path=path, known=tuple(known for _, known in group))
        for path, group in groupby(rows, key=_directory)
    ]


def _directory(row: tuple[FileRef, KnownFile]) -> bytes:
    return row[0].directory
