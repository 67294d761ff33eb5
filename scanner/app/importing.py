"""From a list to the index of a feed: built in a process of its own, checked, put in place of the last."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from scanner.config import Config, FeedConfig
from scanner.feeds import FeedStore, FormatOptions
from scanner.feeds.detect import AUTO
from scanner.feeds.exchanges import available_exchanges
from scanner.index import ListKey, Snapshot
from scanner.model.errors import FeedProcessError, FeedRefusedError, SnapshotError, StorageError
from scanner.model.ports import Clock, Ids
from scanner.pipeline.feed_answers import ImportAnswer
from scanner.pipeline.feed_processes import FeedLimits, FeedProcesses, ImportOrder

log = structlog.get_logger("hostsweep.feeds")


@dataclass(frozen=True, slots=True)
class FeedChange:
    """What a sync came to. `result` is "updated" or "not_modified"."""

    feed: str
    result: str
    entries: int


class Importer:
    """Builds indexes of lists in a store."""

    def __init__(self, config: Config, clock: Clock, ids: Ids) -> None:
        self._config = config
        self._clock = clock
        self.ids = ids

    @property
    def processes(self) -> FeedProcesses:
        """What fetches and reads lists, as configured."""
        sync = self._config.sync
        user = sync.process_user if os.geteuid() == 0 else None
        return FeedProcesses(FeedLimits(user, sync.memory, sync.time_limit), self.ids)

    async def by_hand(
        self,
        feed: FeedConfig,
        source: Path,
        descriptor: int,
        store: FeedStore,
        work: Path,
        *,
        key: ListKey,
        accept: bool = False,
    ) -> FeedChange:
        """Import a list that was not fetched; see `build`."""
        now = self._clock.now_ns()
        answer = await self.build(feed, source, descriptor, store, work, key=key, accept=accept)
        await asyncio.to_thread(
            store.record_success,
            feed.name, now, etag="", last_modified="", source_sha256=answer.sha256,
            format=answer.format, counts=answer.list_counts(),
        )  # fmt: skip
        return FeedChange(feed.name, "updated", answer.list.entries)

    async def build(
        self,
        feed: FeedConfig,
        source: Path,
        descriptor: int,
        store: FeedStore,
        work: Path,
        *,
        key: ListKey,
        accept: bool = False,
        memory: str = "",
        partial: bool = False,
    ) -> ImportAnswer:
        """Build a snapshot from a list and make it the feed's current one.

        Args:
            key: under which it is stored.
            memory: of the publisher's protocol, to be kept with the list.
            partial: these are changes to the list in use.

        Raises:
            FeedError: the list can't be used, or the process that reads it died or left nonsense.
            StorageError: the snapshot can't be written.
        """
        target = work / f"{feed.name}-{self.ids.new()}.index"
        options = FormatOptions(
            columns=dict(feed.columns), delimiter=feed.delimiter, encoding=feed.encoding, hash=feed.hash
        )
        format_name = feed.format
        if feed.exchange and feed.format == AUTO:
            format_name = available_exchanges()[feed.exchange].format
        order = ImportOrder(
            feed.name,
            str(source),
            format_name,
            options,
            self._clock.now_ns(),
            feed.max_bytes,
            feed.max_malformed,
            memory,
            partial,
            key.hex(),
        )
        try:
            with _opened_base(store.current(feed.name) if partial else None) as base:
                answer = await self.processes.build(replace(order, base=base), descriptor, work, target)
            self._check_shrinking(feed, store, answer.list_counts(), accept)
            # A candidate is opened and checked before it takes the place of the last good list.
            await asyncio.to_thread(_check_candidate, target, feed.name, key)
            await asyncio.to_thread(store.promote, feed.name, target)
        finally:
            target.unlink(missing_ok=True)
        return answer

    def _check_shrinking(
        self, feed: FeedConfig, store: FeedStore, counts: Mapping[str, Any], accept: bool
    ) -> None:
        """A list that lost most of what it had was cut off, is another list, or would blind us on purpose."""
        if store.current(feed.name) is None:
            return
        for what, before, after in _sizes(store.state(feed.name).counts or {}, counts):
            if before - after <= feed.max_shrink * before:
                continue
            if accept:
                log.warning("feed_shrink_accepted", feed=feed.name, what=what, before=before, after=after)
                continue
            raise FeedRefusedError(
                f"the new list has {after:,} {what} where the one in use has {before:,}: "
                f"it lost more than {feed.max_shrink:.0%}",
                where=f"feed {feed.name}",
                remedy="The last good list stays in use. Ask the publisher; if it is right, "
                f"`hostsweep feed sync {feed.name} --accept` takes it this once",
            )


def _check_candidate(path: Path, feed: str, key: ListKey) -> None:
    """Open what a confined process has made, in full.

    Raises:
        FeedProcessError: it is not the index of this feed. Our own disk is not to blame.
    """
    try:
        snapshot = Snapshot.open(path, key=key)
        try:
            snapshot.check()
        finally:
            snapshot.close()
    except SnapshotError as e:
        raise FeedProcessError(
            f"the process that reads the list left an index that can't be used: {e.what}",
            where=f"feed {feed}",
            remedy="The last good list stays in use; ask the publisher whether the list is as it should be",
        ) from e
    if snapshot.key is None:
        raise FeedProcessError(
            "the process that reads the list left an index without a key", where=f"feed {feed}"
        )
    if snapshot.meta.feed != feed:
        raise FeedProcessError(
            "the process that reads the list left the index of another feed", where=f"feed {feed}"
        )


@contextmanager
def _opened_base(path: Path | None) -> Iterator[int | None]:
    """The index in use as a descriptor, for a process that changes it."""
    if path is None:
        yield None
        return
    try:
        file = path.open("rb", buffering=0)
    except OSError as e:
        raise StorageError(f"the list in use can't be read ({e.strerror})", where=str(path)) from e
    with file:
        yield file.fileno()


@contextmanager
def opened_list(path: Path) -> Iterator[int]:
    """A list on this machine as a descriptor, which stays good whatever rights are given up.

    Raises:
        FeedRefusedError: it can't be read.
    """
    try:
        file = path.open("rb", buffering=0)
    except IsADirectoryError as e:
        raise FeedRefusedError("this is a directory, expected a hash list", where=str(path)) from e
    except OSError as e:
        raise FeedRefusedError(
            f"the list can't be read ({e.strerror})",
            where=str(path),
            remedy="Name a file that exists and may be read",
        ) from e
    with file:
        yield file.fileno()


def _sizes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
    """Entries and hashes of two lists, side by side."""
    yield "entries", int(old.get("entries", 0)), int(new.get("entries", 0))
    yield "hashes", sum(old.get("hashes", {}).values()), sum(new.get("hashes", {}).values())
