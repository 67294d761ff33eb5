"""Fetching a list: conditional, bounded in time and size, whole or not at all."""

from __future__ import annotations

import asyncio
import builtins
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote

from yarl import URL

from scanner.feeds.addresses import is_loopback, masked, parse, redirected
from scanner.feeds.credentials import authorization
from scanner.feeds.optionfiles import option_files
from scanner.feeds.reading import DEFAULT_MAX_BYTES
from scanner.feeds.signatures import local_signature
from scanner.feeds.staging import copy_local, open_local, staged, too_large
from scanner.model.errors import FeedError, FeedTransportError

if TYPE_CHECKING:
    # At run time only where it is used: local lists need none of it, and it is a quarter of all loading.
    import aiohttp

_T = TypeVar("_T")

_CHUNK = 256 * 1024  # bytes written at once
_MAX_TAG = 1024  # characters of an ETag or Last-Modified that are kept; theirs have some 40
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRY_AGAIN = frozenset({408, 425, 429})  # and all from 500 on
# Ways of sending that leave the list as it is, or as a gzip file, which the import reads as well.
_ENCODINGS = frozenset({"", "identity", "gzip", "x-gzip"})


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What to fetch.

    Attributes:
        feed: its name, for errors.
        url: https://, file://, or http:// from this machine.
        etag, last_modified: as the last answer said, "" to get it in any case.
        insecure: http:// from another machine is accepted.
        allow_other_hosts: redirects may lead to another host (by https).
        bearer_file, basic_file: hold a token, or user:password; read anew each time.
        max_bytes: most that is taken.
        exchange: the publisher's protocol, "" for a list that is one file.
        signature: address of its signature, "" for none.
        options, memory, now_ns: as `scanner.feeds.exchanges.Call` has them; `memory` is JSON, "" for none.
    """

    feed: str
    url: str
    etag: str = ""
    last_modified: str = ""
    insecure: bool = False
    allow_other_hosts: bool = False
    bearer_file: Path | None = None
    basic_file: Path | None = None
    max_bytes: int = DEFAULT_MAX_BYTES
    exchange: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    memory: str = ""
    now_ns: int = 0
    signature: str = ""


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """Limits of fetching; times in seconds.

    Attributes:
        total: for one transfer; a list of 5 GB at 20 Mbit/s takes 35 minutes.
        connect, read: until connected; between two pieces that come.
        attempts: tries in all, where trying again can help.
        first_wait, longest_wait: the waits between tries double from one to the other.
        longest_retry_after: a server's own wish is followed that far.
        redirects: followed one after another.
    """

    total: float = 3600
    connect: float = 30
    read: float = 60
    attempts: int = 4
    first_wait: float = 2
    longest_wait: float = 60
    longest_retry_after: float = 300
    redirects: int = 5


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came.

    Attributes:
        path: the staging file, synced to disk; None where nothing changed.
        etag, last_modified: for the next time, "" where the server gives none.
        not_modified: the list is still the one these belong to.
        bytes, sha256: of the file, in hexadecimal; 0 and "" where nothing changed.
        memory: what a publisher's protocol wants to know the next time; JSON, "" for nothing.
        partial: these are changes to the list in use.
        signature: what came as its signature, b"" where there is none.
    """

    path: Path | None
    etag: str
    last_modified: str
    not_modified: bool = False
    bytes: int = 0
    sha256: str = ""
    memory: str = ""
    partial: bool = False
    signature: builtins.bytes = b""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a fetch takes from this machine: to be opened before the process gives up its rights.

    Attributes:
        source: descriptor of the list where it is a file of this machine.
        signature: its signature where it is one, b"" where there is none.
        authorization: the header with the secret, "" for none.
        files: those that options of a publisher's protocol name.
    """

    source: int | None = None
    authorization: str = ""
    signature: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def for_request(cls, request: FetchRequest) -> Opened:
        """Open it; blocking.

        Raises:
            FeedTransportError: the address is refused, or the local list can't be read.
            ConfigError: a file with a secret can't be used.
        """
        with _told_where(request):
            url = parse(request.url, insecure=request.insecure)
            if url.scheme == "file":
                source = open_local(Path(unquote(url.raw_path)))
                return cls(source=source, signature=local_signature(request.signature))
            return cls(
                authorization=authorization(request.bearer_file, request.basic_file),
                files=option_files(request.options) if request.exchange else {},
            )


class TryAgainError(Exception):
    """An attempt failed in a way that may pass."""

    def __init__(self, what: str, retry_after: float | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.retry_after = retry_after


async def fetch(
    request: FetchRequest,
    session: aiohttp.ClientSession | None,
    staging: Path,
    *,
    policy: FetchPolicy | None = None,
    rng: random.Random | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    opened: Opened | None = None,
) -> Fetched:
    """Fetch a list into `staging`, which is made anew with mode 0600, and is gone after any error.

    Args:
        session: needed for all but local lists.
        opened: where files can't be opened any more, what was opened before; used up.

    Raises:
        FeedTransportError: the address is refused, or the list could not be fetched.
        FeedRefusedError: it is too large.
        ConfigError: a file with a secret can't be used.
        StorageError: the staging file can't be written.
    """
    with _told_where(request):
        url = parse(request.url, insecure=request.insecure)
        if url.scheme == "file":
            return await asyncio.to_thread(_fetch_local, request, url, opened, staging)
        if session is None:
            raise RuntimeError("a list is fetched from a server with a session")
        transfer = _Transfer(request, session, staging, policy or FetchPolicy(), opened)
        return await with_retries(lambda: transfer.run(url), transfer.policy, rng or random.Random(), sleep)


@contextmanager
def _told_where(request: FetchRequest) -> Iterator[None]:
    """Errors say which list it is about, without what may be secret in its address."""
    try:
        yield
    except FeedError as e:
        address = masked(request.url)
        # A list of the command line has no name but its address, which may hold secrets.
        where = address if "://" in request.feed else f"feed {request.feed} ({address})"
        raise type(e)(e.what, where=where, remedy=e.remedy) from e


def _fetch_local(request: FetchRequest, url: URL, opened: Opened | None, staging: Path) -> Fetched:
    source = opened.source if opened else None
    fd = open_local(Path(unquote(url.raw_path))) if source is None else source
    copied = copy_local(fd, staging, request.max_bytes, request.etag)
    if copied is None:
        return Fetched(None, request.etag, "", not_modified=True)
    tag, size, digest = copied
    return Fetched(staging, tag, "", bytes=size, sha256=digest)


async def with_retries(
    attempt: Callable[[], Awaitable[_T]],
    policy: FetchPolicy,
    rng: random.Random,
    sleep: Callable[[float], Awaitable[None]],
) -> _T:
    """Exponential back-off with full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015)."""
    for number in range(policy.attempts):
        try:
            return await attempt()
        except TryAgainError as e:
            last = e
        if number + 1 < policy.attempts:
            wait = rng.uniform(0, min(policy.longest_wait, policy.first_wait * 2**number))
            if last.retry_after is not None:
                wait += min(last.retry_after, policy.longest_retry_after)
            await sleep(wait)
    raise FeedTransportError(
        f"{last.what}; tried {policy.attempts} times",
        remedy="The last good list stays in use, and it is tried again at the next turn",
    ) from last


class _Transfer:
    """One list from one server into one file."""

    def __init__(
        self,
        request: FetchRequest,
        session: aiohttp.ClientSession,
        staging: Path,
        policy: FetchPolicy,
        opened: Opened | None,
    ) -> None:
        self._request = request
        self._session = session
        self._staging = staging
        self.policy = policy
        self._opened = opened

    async def _secret(self) -> str:
        if self._opened is not None:
            return self._opened.authorization
        return await asyncio.to_thread(authorization, self._request.bearer_file, self._request.basic_file)

    async def run(self, start: URL) -> Fetched:
        """One attempt, with its redirects.

        Raises:
            TryAgainError: it may go better later.
        """
        import aiohttp

        url = start
        limits = aiohttp.ClientTimeout(
            total=self.policy.total,
            connect=self.policy.connect,
            sock_connect=self.policy.connect,
            sock_read=self.policy.read,
        )
        for _ in range(self.policy.redirects + 1):
            headers = await self._headers(start, url)
            with network_errors():
                async with self._session.get(
                    url, headers=headers, timeout=limits, allow_redirects=False, auto_decompress=False
                ) as response:
                    if response.status not in _REDIRECTS:
                        return await self._answer(response)
                    location = response.headers.get("Location", "")
            url = redirected(
                start,
                url,
                location,
                insecure=self._request.insecure,
                other_hosts=self._request.allow_other_hosts,
            )
        raise FeedTransportError(f"the server redirects more than {self.policy.redirects} times")

    async def _headers(self, start: URL, url: URL) -> dict[str, str]:
        request = self._request
        # The list as it is published: a signature is made over these bytes, and limits count them.
        headers = {"Accept-Encoding": "identity", "User-Agent": "hostsweep"}
        if request.etag:
            headers["If-None-Match"] = request.etag
        if request.last_modified:
            headers["If-Modified-Since"] = request.last_modified
        if url.origin() == start.origin():  # a redirect must not carry the secret elsewhere
            secret = await self._secret()
            if secret and url.scheme != "https" and not is_loopback(url.host):
                raise FeedTransportError(
                    "a secret is sent by https:// only", remedy="Use https://, or leave the secret out"
                )
            if secret:
                headers["Authorization"] = secret
        return headers

    async def _answer(self, response: aiohttp.ClientResponse) -> Fetched:
        request = self._request
        etag, last_modified = _kept(response, "ETag"), _kept(response, "Last-Modified")
        if response.status == 304 and (request.etag or request.last_modified):
            return Fetched(
                None, etag or request.etag, last_modified or request.last_modified, not_modified=True
            )
        if response.status in _TRY_AGAIN or response.status >= 500:
            raise TryAgainError(f"the server answered {response.status}", retry_after(response))
        if response.status != 200:
            raise refused(response.status)
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in _ENCODINGS:
            raise FeedTransportError(
                "the server sent the list in an encoding that was not asked for",
                remedy="Have it published as it is, or as a gzip file",
            )
        size, digest = await self._body(response)
        return Fetched(self._staging, etag, last_modified, bytes=size, sha256=digest)

    async def _body(self, response: aiohttp.ClientResponse) -> tuple[int, str]:
        announced = response.content_length
        if announced is not None and announced > self._request.max_bytes:
            raise too_large(self._request.max_bytes)
        async with staged(self._staging, self._request.max_bytes) as target:
            async for chunk in response.content.iter_chunked(_CHUNK):
                await target.write(chunk)
            if announced is not None and target.bytes != announced:
                raise TryAgainError(f"{target.bytes} of {announced} bytes came")
        return target.bytes, target.sha256


@contextmanager
def network_errors() -> Iterator[None]:
    """What goes wrong between us and the server, in our words: aiohttp's hold addresses with secrets."""
    import aiohttp

    try:
        yield
    except (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch) as e:
        raise FeedTransportError(
            "the server's certificate is not accepted", remedy="Check the address and this machine's clock"
        ) from e
    except aiohttp.InvalidURL as e:
        raise FeedTransportError("the address can't be used") from e
    except TimeoutError as e:
        raise TryAgainError("the server did not answer or send in time") from e
    except aiohttp.ClientPayloadError as e:
        raise TryAgainError("the transfer was cut short") from e
    except aiohttp.ClientConnectorError as e:
        raise TryAgainError(f"no connection ({e.os_error.strerror or 'unknown reason'})") from e
    except aiohttp.ClientError as e:
        raise TryAgainError(f"the transfer failed ({type(e).__name__})") from e


def refused(status: int) -> FeedTransportError:
    remedies = {
        401: "Check the feed's bearer_file or basic_file",
        403: "Check the feed's bearer_file or basic_file, and whether the publisher lets this address in",
        404: "Check the feed's url",
        410: "The publisher has withdrawn it: ask for the new address",
    }
    return FeedTransportError(
        f"the server answered {status}", remedy=remedies.get(status, "Ask the publisher what it means")
    )


def _kept(response: aiohttp.ClientResponse, header: str) -> str:
    value = response.headers.get(header, "")
    return value if len(value) <= _MAX_TAG and value.isascii() and value.isprintable() else ""


def retry_after(response: aiohttp.ClientResponse) -> float | None:
    """Seconds the server wants us to wait; a date counts from the server's own."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        until = parsedate_to_datetime(text)
        now = parsedate_to_datetime(response.headers.get("Date", ""))
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None
