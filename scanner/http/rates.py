"""Token buckets: how often a peer, and all peers together, may ask."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable


class Bucket:
    """Fills with `rate` tokens a second up to `burst`; each request takes one."""

    __slots__ = ("_burst", "_rate", "_then", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._then = now

    def wait(self, now: float) -> float:
        """Seconds until there is a token; 0 if there is one."""
        self._tokens = min(self._burst, self._tokens + max(now - self._then, 0.0) * self._rate)
        self._then = now
        return 0.0 if self._tokens >= 1 else (1 - self._tokens) / self._rate

    def take(self) -> None:
        """Take a token that `wait` said is there."""
        self._tokens -= 1


class Rates:
    """A bucket for each peer, and one for all of them.

    Memory is bounded: of more than `peers` those are forgotten that were silent for longest. Whoever has
    that many addresses gets new buckets by it, and is held by the bucket of all.
    """

    def __init__(
        self, *, peer: tuple[float, float], all: tuple[float, float], peers: int, now: Callable[[], float]
    ) -> None:
        self._peer = peer
        self._all = Bucket(*all, now())
        self._most = peers
        self._now = now
        self._peers: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._peers)

    def take(self, peer: str) -> float:
        """Take a token of a peer and of all. Returns 0, or the seconds to wait (and nothing is taken)."""
        now = self._now()
        bucket = self._bucket(peer, now)
        wait = max(bucket.wait(now), self._all.wait(now))
        if not wait:
            bucket.take()
            self._all.take()
        return wait

    def _bucket(self, peer: str, now: float) -> Bucket:
        bucket = self._peers.pop(peer, None) or Bucket(*self._peer, now)
        self._peers[peer] = bucket  # last: the one that was heard latest
        if len(self._peers) > self._most:
            self._peers.popitem(last=False)
        return bucket
