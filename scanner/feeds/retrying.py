"""What goes wrong between us and a server: told in our words, and tried again where that may help."""

from __future__ import annotations

import random
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

from scanner.feeds.fetching import FetchPolicy
from scanner.model.errors import FeedTransportError

if TYPE_CHECKING:
    import aiohttp

_T = TypeVar("_T")

_TRY_AGAIN = frozenset({408, 425, 429})  # and all from 500 on
# The server says that it did nothing: also what is not to be done twice may be asked again.
_NOTHING_DONE = frozenset({429, 503})


class TryAgainError(Exception):
    """An attempt failed in a way that may pass.

    Attributes:
        retry_after: seconds the server wants us to wait, None if it doesn't say.
        nothing_done: the server did nothing of what it was asked for.
        progress: the attempt brought enough for the next one not to count.
    """

    def __init__(self, what: str, retry_after: float | None = None, *, nothing_done: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.retry_after = retry_after
        self.nothing_done = nothing_done
        self.progress = False


async def with_retries(
    attempt: Callable[[], Awaitable[_T]],
    policy: FetchPolicy,
    rng: random.Random,
    sleep: Callable[[float], Awaitable[None]],
    *,
    repeatable: bool = True,
) -> _T:
    """Exponential back-off with full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015).

    Args:
        repeatable: it does no harm when the server does it twice.

    Raises:
        FeedTransportError: it went wrong each time, or once where it can't be repeated.
    """
    vain = 0
    for number in range(1, policy.most_attempts + 1):
        try:
            return await attempt()
        except TryAgainError as e:
            last = e
        vain = 0 if last.progress else vain + 1
        if not (repeatable or last.nothing_done):
            raise FeedTransportError(last.what, remedy=_LATER) from last
        if vain >= policy.attempts or number == policy.most_attempts:
            break
        wait = rng.uniform(0, min(policy.longest_wait, policy.first_wait * 2 ** max(0, vain - 1)))
        if last.retry_after is not None:
            wait += min(last.retry_after, policy.longest_retry_after)
        await sleep(wait)
    raise FeedTransportError(f"{last.what}; tried {number} times", remedy=_LATER) from last


_LATER = "The last good list stays in use, and it is tried again at the next turn"


@contextmanager
def network_errors() -> Iterator[None]:
    """What goes wrong between us and the server, in our words: aiohttp's hold addresses with secrets."""
    import aiohttp

    try:
        yield
    except (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch) as e:
        raise FeedTransportError(
            "the server's certificate is not accepted",
            remedy="Check the address, the feed's ca_file and this machine's clock",
        ) from e
    except aiohttp.InvalidURL as e:
        raise FeedTransportError("the address can't be used") from e
    except TimeoutError as e:
        raise TryAgainError("the server did not answer or send in time") from e
    except aiohttp.ClientPayloadError as e:
        raise TryAgainError("the transfer was cut short") from e
    except aiohttp.ClientHttpProxyError as e:
        raise _refused_by_proxy(e.status) from e
    except aiohttp.ClientProxyConnectionError as e:
        raise TryAgainError(f"no connection to the proxy ({_reason(e)})", nothing_done=True) from e
    except aiohttp.ClientConnectorError as e:
        raise TryAgainError(f"no connection ({_reason(e)})", nothing_done=True) from e
    except aiohttp.ServerDisconnectedError as e:
        raise TryAgainError("the server closed the connection without an answer") from e
    except aiohttp.ClientError as e:
        if isinstance(e, ssl.SSLError) or isinstance(e.__cause__, ssl.SSLError):
            # Since TLS 1.3 a server says so after the client believes to be connected.
            raise FeedTransportError(
                "the server ended the TLS connection",
                remedy="Check the feed's certificate_file: the publisher may want one, or another one",
            ) from e
        raise TryAgainError(f"the transfer failed ({type(e).__name__})") from e


def _reason(e: aiohttp.ClientConnectorError) -> str:
    return e.os_error.strerror or "unknown reason"


def _refused_by_proxy(status: int) -> Exception:
    if status == 407:
        return FeedTransportError("the proxy wants a password", remedy="Check the feed's proxy_basic_file")
    if status in _TRY_AGAIN or status >= 500:
        return TryAgainError(f"the proxy answered {status}", nothing_done=True)
    return FeedTransportError(
        f"the proxy answered {status}", remedy="Ask who keeps it whether it lets this through"
    )


def check_status(response: aiohttp.ClientResponse, accept: frozenset[int]) -> None:
    """Nothing where the answer is one of those, 200 to 299 where none are named.

    Raises:
        TryAgainError: it may be another one later.
        FeedTransportError: it is no such answer.
    """
    status = response.status
    if status in accept:
        return
    if status in _TRY_AGAIN or status >= 500:
        raise TryAgainError(
            f"the server answered {status}", retry_after(response), nothing_done=status in _NOTHING_DONE
        )
    raise refused(status)


def refused(status: int) -> FeedTransportError:
    remedies = {
        400: "Check the feed's url, and its certificate_file: a server that wants one may answer so",
        401: "Check the feed's bearer_file or basic_file",
        403: "Check the feed's bearer_file or basic_file, and whether the publisher lets this address in",
        404: "Check the feed's url",
        410: "The publisher has withdrawn it: ask for the new address",
    }
    return FeedTransportError(
        f"the server answered {status}", remedy=remedies.get(status, "Ask the publisher what it means")
    )


def retry_after(response: aiohttp.ClientResponse) -> float | None:
    """Seconds the server wants us to wait; a date counts from the server's own."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    until, now = http_date(text), http_date(response.headers.get("Date", ""))
    return None if until is None or now is None else max(0.0, (until - now).total_seconds())


def http_date(text: str) -> datetime | None:
    """A date of a header in UTC, None for what is none."""
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None
