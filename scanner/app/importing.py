"""From a list to the index of a feed: built in a process of its own, checked, put in place of the last."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from scanner.app.guarding import Guarding, Judged, accepted_record
from scanner.app.questions import asker_of
from scanner.config import Config, FeedConfig
from scanner.feeds import FeedStore, FormatOptions
from scanner.feeds.decrypting import read_identities
from scanner.feeds.detect import AUTO
from scanner.feeds.exchanges import available_exchanges
from scanner.feeds.guard import SHRINK, FeedGuardError
from scanner.feeds.trust import Accepted
from scanner.hashing import plugged_kinds
from scanner.index import ListKey, Snapshot
from scanner.model.errors import FeedProcessError, FeedRefusedError, SnapshotError, StorageError
from scanner.model.ports import Clock, Ids
from scanner.pipeline.feed_answers import ImportAnswer
from scanner.pipeline.feed_processes import FeedLimits, FeedProcesses, ImportOrder

log = structlog.get_logger("hostsweep.feeds")


@dataclass(frozen=True, slots=True)
class FeedChange:
    """What a sync came to. `result` is "updated" or "not_modified"; `accepted` tells, a text each, what the
    guard had found about a list that was taken all the same."""

    feed: str
    result: str
    entries: int
    accepted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A list that was built and looked at, and is not in use.

    Attributes:
        answer: of the process that read it.
        path: of its index; gone when whoever has it is done.
        snapshot: the index, opened in full.
        judged: what the guard says; None where nobody asked.
    """

    answer: ImportAnswer
    path: Path
    snapshot: Snapshot
    judged: Judged | None


class Importer:
    """Builds indexes of lists in a store.

    Args:
        work: where they are built.
        guarding: looks at each list before it is used; None: whoever names a list knows it.
        actor: who decides, on record where a list is taken in spite of the guard.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        ids: Ids,
        store: FeedStore,
        work: Path,
        *,
        guarding: Guarding | None = None,
        actor: str = "",
    ) -> None:
        self._config = config
        self._clock = clock
        self.ids = ids
        self.store = store
        self.work = work
        self._guarding = guarding
        self._actor = actor

    def now_ns(self) -> int:
        """The time, UTC, nanoseconds since 1970."""
        return self._clock.now_ns()

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
        *,
        key: ListKey,
        accept: bool = False,
        trust: Accepted | None = None,
    ) -> FeedChange:
        """Import a list that was not fetched; see `build`."""
        now = self._clock.now_ns()
        built = await self.build(feed, source, descriptor, key=key, accept=accept, trust=trust)
        await asyncio.to_thread(
            self.store.record_success,
            feed.name, now, etag="", last_modified="", source_sha256=built.answer.sha256,
            format=built.answer.format, counts=built.answer.list_counts(),
            guard=built.guard, accepted=built.accepted,
        )  # fmt: skip
        return FeedChange(feed.name, "updated", built.answer.list.entries, built.findings)

    async def build(
        self,
        feed: FeedConfig,
        source: Path,
        descriptor: int,
        *,
        key: ListKey,
        accept: bool = False,
        memory: str = "",
        partial: bool = False,
        trust: Accepted | None = None,
    ) -> Built:
        """Build a snapshot from a list and make it the feed's current one.

        Args:
            key: under which it is stored.
            accept: take it whatever the guard finds; that is on record.
            memory: of the publisher's protocol, to be kept with the list.
            partial: these are changes to the list in use.
            trust: why the list is believed, None for an unsigned one.

        Raises:
            FeedGuardError: the guard found something.
            FeedError: the list can't be used, or the process that reads it died or left nonsense.
            StorageError: the snapshot can't be written.
        """
        made = self.candidate(
            feed, source, descriptor, key=key, accept=accept, memory=memory, partial=partial
        )
        async with made as candidate:
            judged = candidate.judged
            accepted = None
            if judged is not None and judged.findings:
                if not accept:
                    raise FeedGuardError(feed.name, judged.findings)
                accepted = self._accept(feed.name, judged)
            await asyncio.to_thread(self.store.promote, feed.name, candidate.path, trust)
        guard = {} if judged is None else dict(judged.figures.benign)
        if guard:
            log.warning("feed_benign_entries", feed=feed.name, **guard)
        return Built(candidate.answer, guard, accepted)

    @asynccontextmanager
    async def candidate(
        self,
        feed: FeedConfig,
        source: Path,
        descriptor: int,
        *,
        key: ListKey,
        accept: bool = False,
        memory: str = "",
        partial: bool = False,
    ) -> AsyncIterator[Candidate]:
        """Build a snapshot from a list and look at it, and no more; arguments and errors as of `build`."""
        target = self.work / f"{feed.name}-{self.ids.new()}.index"
        # Where everything is to be accepted, the guard counts what is malformed, and that is on record.
        order = replace(
            self.order(feed, source),
            max_malformed=1.0 if accept else feed.max_malformed,
            memory=memory,
            partial=partial,
            key=key.hex(),
            identities=await _identities(feed),
        )
        try:
            with _opened_base(self.store.current(feed.name) if partial else None) as base:
                answer = await self.processes.build(replace(order, base=base), descriptor, self.work, target)
            # A candidate is opened and checked before it takes the place of the last good list.
            snapshot = await asyncio.to_thread(_opened_candidate, target, feed.name, key)
            try:
                judged = None
                # Answers to our own questions are no list of a publisher's: they grow with our files.
                if self._guarding is not None and asker_of(feed) is None:
                    judged = await asyncio.to_thread(self._guarding.judge, feed, snapshot, answer.counts)
                yield Candidate(answer, target, snapshot, judged)
            finally:
                snapshot.close()
        finally:
            target.unlink(missing_ok=True)

    def order(self, feed: FeedConfig, source: Path) -> ImportOrder:
        """How a feed's list is read; `source` is what it is called in errors."""
        format_name = feed.format
        if feed.exchange and feed.format == AUTO:
            format_name = available_exchanges()[feed.exchange].format
        now = self._clock.now_ns()
        options = FormatOptions(
            columns=dict(feed.columns),
            delimiter=feed.delimiter,
            encoding=feed.encoding,
            hash=feed.hash,
            values={field: dict(meant) for field, meant in feed.values.items()},
            header=feed.header,
            member=feed.member,
            options=dict(feed.options),
            now_ns=now,
        )
        return ImportOrder(
            feed.name,
            str(source),
            format_name,
            options,
            now,
            feed.max_bytes,
            feed.max_malformed,
            polarity=feed.polarity,
            kinds=tuple(plugged_kinds(self._config.hashing.named).values()),
        )

    def _accept(self, feed: str, judged: Judged) -> dict[str, Any]:
        for finding in judged.findings:
            log.warning(
                "feed_guard_accepted",
                feed=feed, check=finding.check, what=finding.what, who=self._actor, **finding.figures,
            )  # fmt: skip
            if finding.check == SHRINK:
                (name, before), (_, after) = finding.figures.items()
                what = name.removesuffix("_before")
                log.warning("feed_shrink_accepted", feed=feed, what=what, before=before, after=after)
        return accepted_record(judged, self._actor, self._clock.now_ns())


@dataclass(frozen=True, slots=True)
class Built:
    """A list that was put into use.

    Attributes:
        answer: of the process that read it.
        guard: what the guard counted.
        accepted: the record of what was found and taken all the same; None: nothing was found.
    """

    answer: ImportAnswer
    guard: dict[str, int]
    accepted: dict[str, Any] | None

    @property
    def findings(self) -> tuple[str, ...]:
        return () if self.accepted is None else tuple(self.accepted["findings"])


async def _identities(feed: FeedConfig) -> str:
    """Read each time, like every secret."""
    return await asyncio.to_thread(read_identities, feed.identity_file) if feed.identity_file else ""


def _opened_candidate(path: Path, feed: str, key: ListKey) -> Snapshot:
    """Open what a confined process has made, in full.

    Raises:
        FeedProcessError: it is not the index of this feed. Our own disk is not to blame.
    """
    snapshot: Snapshot | None = None
    try:
        snapshot = Snapshot.open(path, key=key)
        snapshot.check()
        _check_whose(snapshot, feed)
    except SnapshotError as e:
        if snapshot is not None:
            snapshot.close()
        raise FeedProcessError(
            f"the process that reads the list left an index that can't be used: {e.what}",
            where=f"feed {feed}",
            remedy="The last good list stays in use; ask the publisher whether the list is as it should be",
        ) from e
    except FeedProcessError:
        if snapshot is not None:
            snapshot.close()
        raise
    return snapshot


def _check_whose(snapshot: Snapshot, feed: str) -> None:
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
