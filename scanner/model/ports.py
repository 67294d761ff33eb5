"""The seams: what a room needs of another, without knowing it.

Laws stand with each port. Everything here is plain synchronous code; who calls it from an event
loop puts it into a thread or a process.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from scanner.model.files import FormerDirectory, KnownDirectory, KnownFile
from scanner.model.hashes import Digests
from scanner.model.matches import Match


class Clock(Protocol):
    """One source of time, read once for each decision."""

    def now_ns(self) -> int:
        """UTC, nanoseconds since 1970."""


class Ids(Protocol):
    """One source of ids: unique, sortable by time, safe in a file name."""

    def new(self) -> str: ...


class SystemClock:
    def now_ns(self) -> int:
        return time.time_ns()


class SystemIds:
    """12 hexadecimal digits of milliseconds, 8 of chance."""

    def new(self) -> str:
        return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(4)}"


class KnownFiles(Protocol):
    """What the walk asks of the catalog, about one volume.

    Read only; may be asked in any order; answers describe the last finished look at a directory.
    """

    def directory(self, path: bytes) -> KnownDirectory | None: ...

    def formerly(self, inode: int) -> FormerDirectory | None:
        """The directory that had an inode, at whatever path."""

    def files(self, directory_id: int) -> Mapping[bytes, KnownFile]:
        """All rows of a directory by name."""

    def some_files(self, directory_id: int, names: Sequence[bytes]) -> Mapping[bytes, KnownFile]:
        """The rows of these names, for directories too large to hold at once."""


class Matcher(Protocol):
    """The index, as the pipeline sees it: immutable, so it may be asked from any thread.

    `match` returns acting entries of illegal feeds only, strongest first, and nothing at all for a
    file that a benign feed lists by an exact digest.
    """

    @property
    def id(self) -> str:
        """Changes whenever the answer to any question may have changed."""

    def match(self, digests: Digests) -> tuple[Match, ...]: ...


class Hasher(Protocol):
    """A perceptual hash kind: pixels in, hashes out. Third parties add theirs by the entry-point group
    `hostsweep.hashers`.

    Runs inside a worker without powers: no files, no network, no state kept between pictures. An
    exception means "undecodable" for this file and nothing else.
    """

    @property
    def kind(self) -> str: ...

    def hashes(self, picture: object) -> Sequence[tuple[str, bytes, int]]:
        """(view, value, quality) triples for one opened PIL image, first frame, not rotated by EXIF."""
