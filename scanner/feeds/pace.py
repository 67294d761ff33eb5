"""Who sends a byte a minute never falls silent and never ends: a least rate ends it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from scanner.feeds.fetching import FetchPolicy
from scanner.feeds.retrying import TryAgainError

if TYPE_CHECKING:
    import aiohttp

_CHUNK = 256 * 1024  # bytes taken at once


class Pace:
    """Measures what comes while we wait for it: time that our own disk takes is not the server's fault.

    Args:
        rate: bytes a second that have to come at least, on average over each window.
        window: seconds of waiting.
    """

    def __init__(self, rate: float, window: float) -> None:
        self._rate = rate
        self._window = window
        self._waited = 0.0
        self._came = 0

    def came(self, size: int, waited: float) -> None:
        """So many bytes, after so many seconds.

        Raises:
            TryAgainError: it is too slow.
        """
        self._waited += waited
        self._came += size
        if self._waited < self._window:
            return
        if self._came < self._rate * self._waited:
            raise TryAgainError(f"the server sends less than {self._rate:.0f} bytes a second")
        self._waited, self._came = 0.0, 0


async def pieces(
    response: aiohttp.ClientResponse, policy: FetchPolicy, now: Callable[[], float]
) -> AsyncIterator[bytes]:
    """The body, as it comes over the wire.

    Args:
        now: seconds, of a clock that only goes forward.

    Raises:
        TryAgainError: it comes too slowly.
    """
    pace = Pace(policy.least_rate, policy.window)
    began = now()
    async for chunk in response.content.iter_chunked(_CHUNK):
        pace.came(len(chunk), now() - began)
        yield chunk
        began = now()
