"""Fetching a list: conditional, bounded in time and size, whole or not at all."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scanner.feeds.fetching import Fetched, FetchPolicy, FetchRequest
from scanner.feeds.opening import Opened, start_of, told_where
from scanner.feeds.retrying import TryAgainError, network_errors, refused, retry_after, with_retries
from scanner.feeds.staging import copy_local, staged, written_meanwhile
from scanner.feeds.transfer import Transfer
from scanner.feeds.wire import Wire
from scanner.model.errors import FeedTransportError

if TYPE_CHECKING:
    import aiohttp

__all__ = [
    "FetchPolicy",
    "FetchRequest",
    "Fetched",
    "Opened",
    "TryAgainError",
    "fetch",
    "network_errors",
    "refused",
    "retry_after",
    "with_retries",
]

_SECOND = 10**9  # nanoseconds


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
        session: needed for all but local lists, see `scanner.feeds.wire.open_session`.
        opened: where files can't be opened any more, what was opened before; used up.

    Raises:
        FeedTransportError: the address is refused, or the list could not be fetched.
        FeedRefusedError: it is too large.
        ConfigError: a file with a secret or a certificate can't be used.
        StorageError: the staging file can't be written.
    """
    policy = policy or FetchPolicy()
    if opened is None:
        opened = await asyncio.to_thread(Opened.for_request, request)
    with told_where(request):
        if opened.source is not None:
            return await _fetch_local(request, opened, opened.source, staging, policy, sleep)
        if session is None:
            raise RuntimeError("a list is fetched from a server with a session")
        wire = Wire(request, start_of(request), session, opened, policy)
        fetched = await _fetch_remote(wire, staging, rng or random.Random(), sleep)
        return replace(fetched, traffic=wire.meter.traffic())


async def _fetch_remote(
    wire: Wire, staging: Path, rng: random.Random, sleep: Callable[[float], Awaitable[None]]
) -> Fetched:
    async with staged(staging, wire.request.max_bytes) as target:
        transfer = Transfer(wire, target)
        fetched = await with_retries(transfer.attempt, wire.policy, rng, sleep)
    if fetched.not_modified:
        await asyncio.to_thread(staging.unlink, missing_ok=True)
        return fetched
    return replace(fetched, path=staging)


async def _fetch_local(
    request: FetchRequest,
    opened: Opened,
    source: int,
    staging: Path,
    policy: FetchPolicy,
    sleep: Callable[[float], Awaitable[None]],
) -> Fetched:
    before = os.fstat(source)
    if opened.name:
        await _settled(request, source, policy, sleep)
    copied = await asyncio.to_thread(copy_local, source, staging, request.max_bytes, request.etag)
    if copied is not None:
        tag, size, digest = copied
        return Fetched(staging, tag, "", bytes=size, sha256=digest)
    if opened.name and 0 < request.max_age < (request.now_ns - before.st_mtime_ns) / _SECOND:
        # Nobody confirms a list by leaving it where it is: only a newer one says that the way still works.
        raise FeedTransportError(
            "no newer list came into the folder for longer than max_age",
            remedy="Bring the next one; the last good list stays in use",
        )
    return Fetched(None, request.etag, "", not_modified=True)


async def _settled(
    request: FetchRequest, source: int, policy: FetchPolicy, sleep: Callable[[float], Awaitable[None]]
) -> None:
    """Wait until a file of a drop folder is old enough not to be written any more.

    Raises:
        FeedTransportError: it is.
    """
    before = os.fstat(source)
    wait = policy.settle - (request.now_ns - before.st_mtime_ns) / _SECOND
    if wait <= 0:
        return
    await sleep(min(wait, policy.settle))
    if written_meanwhile(before, os.fstat(source)):
        os.close(source)
        raise FeedTransportError(
            "the newest list in the folder is still being written",
            remedy="Copy it under another name, such as NAME.part, and rename it when it is whole",
        )
