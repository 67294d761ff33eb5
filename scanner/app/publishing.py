"""Publishing a list as a tree of files: `hostsweep feed publish`."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import structlog

from scanner.app.importing import opened_list
from scanner.app.lists import ListKeeper
from scanner.app.state import StateDirectory
from scanner.config import FeedConfig
from scanner.feeds.tree.writing import Published, Signer, TreeWriter
from scanner.model.errors import BusyError, StorageError
from scanner.model.ports import Clock, Ids
from scanner.system.locking import FileLock, LockHeld

log = structlog.get_logger("hostsweep.feeds")

_LOCK = ".lock"


class Publisher:
    """Reads a list, from its publisher or a file, and puts it out as the next serial of a tree.

    What is published is in the clear; the lists in use are not, so the list is fetched for it anew.
    """

    def __init__(self, keeper: ListKeeper, state: StateDirectory, clock: Clock, ids: Ids) -> None:
        self._keeper = keeper
        self._importer = keeper.importer
        self._state = state
        self._clock = clock
        self._ids = ids

    async def publish_feed(
        self, feed: FeedConfig, target: Path, sign: Signer | None, *, name: str | None = None
    ) -> Published:
        """Fetch a configured feed and publish it.

        Raises:
            FeedError: it can't be fetched or used.
            StorageError: the tree can't be written.
        """
        staged = self._state.work / f"publish-{self._ids.new()}"
        try:
            await self._importer.processes.fetch(self._keeper.request(feed), self._state.work, staged)
            with opened_list(staged) as descriptor:
                where = Path(f"feed {feed.name}")
                named = feed.model_copy(update={"name": name or feed.name})
                return await self.publish_list(named, where, descriptor, target, sign)
        finally:
            staged.unlink(missing_ok=True)

    async def publish_list(
        self, feed: FeedConfig, source: Path, descriptor: int, target: Path, sign: Signer | None
    ) -> Published:
        """Publish an open list.

        Args:
            feed: how it is read and what it is called.
            source: what it is called in errors.

        Raises:
            FeedError: it can't be used.
            StorageError: the tree can't be written.
            BusyError: somebody else is publishing there.
        """
        lines = self._state.work / f"publish-{self._ids.new()}.lines"
        try:
            with _locked(target):
                order = self._importer.order(feed, source)
                await self._importer.processes.sort(order, descriptor, self._state.work, lines)
                published = await asyncio.to_thread(self._write, feed.name, lines, target, sign)
        finally:
            lines.unlink(missing_ok=True)
        log.info(
            "feed_published", feed=feed.name, serial=published.serial, entries=published.entries,
            added=published.added, removed=published.removed, changed=published.changed,
        )  # fmt: skip
        return published

    def _write(self, name: str, lines: Path, target: Path, sign: Signer | None) -> Published:
        time = datetime.fromtimestamp(self._clock.now_ns() // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        session = str(uuid.uuid4())
        with lines.open("rb") as sorted_lines:
            return TreeWriter(target, sign).publish(name, time, session, iter(sorted_lines))


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    try:
        target.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock = FileLock.acquire(target / _LOCK)
    except LockHeld as e:
        raise BusyError(
            f"process {e.holder or 'unknown'} is publishing there", where=str(target), remedy="Wait for it"
        ) from e
    except OSError as e:
        raise StorageError(
            f"the tree can't be written ({e.strerror})",
            where=str(target),
            remedy="Name a directory that this user may write",
        ) from e
    with lock:
        yield
