"""One attempt at a feed: alone, and on record where it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from scanner.feeds import FeedStore
from scanner.feeds.guard import MALFORMED, FeedGuardError
from scanner.model.errors import (
    BusyError,
    ConfigError,
    FeedError,
    FeedMalformedError,
    FeedTrustError,
    ScannerError,
)
from scanner.model.ports import Clock
from scanner.system.locking import FileLock

log = structlog.get_logger("hostsweep.feeds")

_LOCK_PAUSE = 0.2  # seconds between two looks whether another process is done with a feed


async def locked(store: FeedStore, name: str, wait: float) -> FileLock:
    """The lock of a feed.

    Args:
        wait: seconds for another process that has it to be done.

    Raises:
        BusyError: it was not done.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + wait
    while True:
        try:
            return store.lock(name)
        except BusyError:
            if loop.time() >= until:
                raise
        await asyncio.sleep(_LOCK_PAUSE)


@asynccontextmanager
async def recorded(store: FeedStore, clock: Clock, name: str, staged: Path) -> AsyncIterator[None]:
    """Failures go into the feed's state, and what was staged goes."""
    try:
        yield
    except (FeedError, ConfigError) as e:
        e.where = e.where.replace(str(staged), f"feed {name}") or f"feed {name}"
        log_refusal(name, e)
        await asyncio.to_thread(store.record_failure, name, str(e), clock.now_ns(), refused=refusals_of(e))
        raise
    finally:
        remove(staged)


def remove(staged: Path) -> None:
    """Remove a staged file."""
    staged.unlink(missing_ok=True)  # at once: a task that is being cancelled does not wait for a thread


def log_refusal(feed: str, error: ScannerError) -> None:
    """Say that the guard refused a list; of other failures whoever asked for it tells."""
    if isinstance(error, FeedGuardError | FeedMalformedError):
        log.error("feed_guard_refused", feed=feed, checks=list(refusals_of(error)), error=str(error))


def refusals_of(error: ScannerError) -> tuple[str, ...]:
    """Why a list was refused, by the guard's checks or as not believed; nothing if it failed otherwise."""
    if isinstance(error, FeedTrustError):
        return (error.reason,)
    if isinstance(error, FeedGuardError):
        return error.reasons
    return (MALFORMED,) if isinstance(error, FeedMalformedError) else ()
