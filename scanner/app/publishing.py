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
from scanner.app.state import StateDirectory
from scanner.app.syncing import FeedSync
from scanner.config import FeedConfig
from scanner.feeds.times import told_ns
from scanner.feeds.tree.notification import Notification
from scanner.feeds.tree.writing import Published, Signer, TreeWriter
from scanner.feeds.trust.signing import KeyPair, comment, sign_bytes
from scanner.model.errors import BusyError, StorageError
from scanner.model.ports import Clock, Ids
from scanner.system.locking import FileLock, LockHeld

log = structlog.get_logger("hostsweep.feeds")

_LOCK = ".lock"
# A signed tree is signed anew after this, also where nothing has changed: followers refuse what was signed
# long ago, 30 days where they say nothing else.
_RENEWED_AFTER = 7 * 86_400 * 10**9


def signer(key: KeyPair, now_ns: int) -> Signer:
    """Signs notifications as the newest of their feed."""

    def sign(data: bytes, told: Notification) -> bytes:
        return sign_bytes(key, data, comment(told.feed, told.serial, now_ns))

    return sign


class Publisher:
    """Reads a list, from its publisher or a file, and puts it out as the next serial of a tree.

    What is published is in the clear; the lists in use are not, so the list is fetched for it anew.
    """

    def __init__(self, syncing: FeedSync, state: StateDirectory, clock: Clock, ids: Ids) -> None:
        self._requests = syncing.requests
        self._importer = syncing.importer
        self._state = state
        self._clock = clock
        self._ids = ids

    async def publish_feed(
        self, feed: FeedConfig, target: Path, key: KeyPair | None, *, name: str | None = None
    ) -> Published:
        """Fetch a configured feed and publish it.

        Raises:
            FeedError: it can't be fetched or used.
            StorageError: the tree can't be written.
        """
        staged = self._state.work / f"publish-{self._ids.new()}"
        try:
            await self._importer.processes.fetch(self._requests.first(feed), self._state.work, staged)
            with opened_list(staged) as descriptor:
                where = Path(f"feed {feed.name}")
                named = feed.model_copy(update={"name": name or feed.name})
                return await self.publish_list(named, where, descriptor, target, key)
        finally:
            staged.unlink(missing_ok=True)

    async def publish_list(
        self, feed: FeedConfig, source: Path, descriptor: int, target: Path, key: KeyPair | None
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
                published = await asyncio.to_thread(self._write, feed.name, lines, target, key)
        finally:
            lines.unlink(missing_ok=True)
        log.info(
            "feed_published", feed=feed.name, serial=published.serial, entries=published.entries,
            added=published.added, removed=published.removed, changed=published.changed,
        )  # fmt: skip
        return published

    def _write(self, name: str, lines: Path, target: Path, key: KeyPair | None) -> Published:
        time = datetime.fromtimestamp(self._clock.now_ns() // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        session = str(uuid.uuid4())
        writer = TreeWriter(target, signer(key, self._clock.now_ns()) if key is not None else None)
        old = writer.current()
        renew = key is not None and old is not None and self._is_old(old)
        with lines.open("rb") as sorted_lines:
            return writer.publish(name, time, session, iter(sorted_lines), renew=renew)

    def _is_old(self, told: Notification) -> bool:
        made = told_ns(told.time)
        return made is None or self._clock.now_ns() - made > _RENEWED_AFTER


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
