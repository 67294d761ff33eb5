"""How workers hash, and how far they may go."""

from __future__ import annotations

from dataclasses import dataclass

from scanner.model.hashes import DEFAULT_EXACT, DEFAULT_VIEWS

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Settings of a pool and its workers.

    Attributes:
        exact, perceptual: the kinds to compute; perceptual ones as in `scanner.hashing.kinds`.
        views: how pictures are looked at, of `scanner.model.hashes.VIEWS`.
        uid, gid: whom workers become when started as root; 65534 is "nobody" on Debian and Red Hat.
        address_space: bytes of virtual memory of a worker; 2 GiB hold a picture of 300 megapixels.
        max_pixels: pictures with more are not decoded (problem "too_many_pixels").
        max_bytes: files with more are not hashed (failed, "too_large"): without it, one sparse file
            that claims 8 EiB would keep a worker for ever.
        base_seconds: time for any file.
        bytes_per_second: a file may take so much longer than that as it is large; a fifth of what a
            rotating disk gives under load.
        max_seconds: no file may take longer.
        start_seconds: time for a worker to become ready; half a second is usual.
        layers: sandbox layers without which no worker may work.
        recycle_seconds: a worker that has been busy so long is replaced when it has nothing to do: decoders
            leak, and processor time adds up to a limit.
        canary_every: a worker is asked for a picture whose hashes we know after so many files, on
            average, at chance, and answers count only after that; 0: never (for tests).
    """

    exact: tuple[str, ...] = DEFAULT_EXACT
    perceptual: tuple[str, ...] = ("pdq",)
    views: tuple[str, ...] = DEFAULT_VIEWS
    uid: int = 65534
    gid: int = 65534
    address_space: int = 2 * _GIB
    max_pixels: int = 300_000_000
    max_bytes: int = 256 * _GIB
    base_seconds: float = 30.0
    bytes_per_second: float = 4_000_000.0
    max_seconds: float = 6 * 3600.0
    start_seconds: float = 30.0
    layers: frozenset[str] = frozenset()
    recycle_seconds: float = 3600.0
    canary_every: int = 256

    @property
    def cpu_seconds(self) -> int:
        """The limit of a worker's processor time, over its life.

        The pool ends a worker that takes too long for one file, by the wall clock. This limit holds where
        the pool can't: it is stopped, or hangs. It must never hit a worker that does its work: busy until it
        is recycled and then with one file more, in two threads (libheif's beside Python's).
        """
        longest = min(self.max_seconds, self.seconds_for(self.max_bytes))
        return int(2 * (self.recycle_seconds + longest))

    def seconds_for(self, size: int) -> float:
        """How long a file of so many bytes may take."""
        return min(self.base_seconds + size / self.bytes_per_second, self.max_seconds)
