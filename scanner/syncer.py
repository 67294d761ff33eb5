"""The service that syncs hash lists and does nothing else: `hostsweep feed daemon`, with `sync.by: service`.

It needs the network and the feeds' directory; no volume, no vault, no catalog, no ledger. The daemon sees new
lists in that directory by itself. Built like the daemon: every task has an owner, the one TaskGroup of a run,
and a task that fails takes the service with it. A run lasts until a stop or a reload.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from scanner.app import App
from scanner.model.errors import BusyError, ConfigError, FeedError, ScannerError
from scanner.system.notify import notify, watchdog_seconds

log = structlog.get_logger("hostsweep.syncer")

_STATUS_SECONDS = 10.0  # how often the service manager hears what we are doing
_RETRY_SECONDS = 300.0  # after the transport's own retries are used up; doubles from failure to failure
_LONGEST_RETRY = 3600.0
_SHORTEST_WAIT = 1.0  # never spin, whatever is configured
_JITTER = 0.05  # of a feed's interval: many hosts must not ask a publisher at the same second


@dataclass(slots=True)
class _Run:
    """What the tasks of one run share."""

    app: App
    end: asyncio.Event = field(default_factory=asyncio.Event)
    reload: bool = False
    doing: dict[str, str] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)


class Syncer:
    """Syncs the feeds of an app until SIGTERM or SIGINT.

    Args:
        load: reads the configuration and builds an app from it; called again on SIGHUP.
        rng: for the jitter.
    """

    def __init__(self, load: Callable[[], App], rng: random.Random | None = None) -> None:
        self._load = load
        self._rng = rng or random.Random()
        self._run: _Run | None = None
        self._stopping = False

    async def run(self) -> None:
        """Serve until stopped.

        Raises:
            ScannerError: the feeds' directory is in use, the configuration is wrong at the start, or our own
                storage failed.
        """
        app = self._checked()
        app.take_feeds_in_hand()
        with app.single_syncer():
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._on_stop)
            loop.add_signal_handler(signal.SIGHUP, self._on_reload)
            while await self._serve(app):
                app = self._reloaded(app)
            notify(os.environ, STOPPING=1, STATUS="stopping")
            log.info("syncer_stopped")

    def _checked(self) -> App:
        app = self._load()
        if app.state.feeds_are_ours:
            raise ConfigError(
                "by this configuration the daemon syncs the feeds itself",
                where="sync.by",
                remedy="Set sync.by: service and feeds_directory, or don't run this service",
            )
        for warning in app.check_feeds():
            log.warning("configuration", text=warning)
        return app

    def _reloaded(self, app: App) -> App:
        try:
            fresh = self._checked()
            if fresh.state.feeds != app.state.feeds:
                raise ConfigError("another feeds_directory takes a restart", where="feeds_directory")
        except ScannerError as e:
            log.error("reload_refused", error=str(e))
            return app
        fresh.take_over(app)
        log.info("reloaded")
        return fresh

    def _on_stop(self) -> None:
        self._stopping = True
        if self._run is not None:
            self._run.reload = False
            self._run.end.set()

    def _on_reload(self) -> None:
        if self._run is not None and not self._stopping:
            notify(os.environ, RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)
            self._run.reload = True
            self._run.end.set()

    # One run

    async def _serve(self, app: App) -> bool:
        """Serve with one configuration. Returns whether to go on with a new one."""
        run = self._run = _Run(app)
        if self._stopping:
            return False
        notify(os.environ, READY=1, STATUS="running")
        log.info("syncer_ready", feeds=len(app.feed_names))
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._status(run), name="status")]
                tasks += [group.create_task(self._feed(run, n), name=f"feed:{n}") for n in app.feed_names]
                seconds = watchdog_seconds(os.environ)
                if seconds is not None:
                    tasks.append(group.create_task(self._watchdog(seconds), name="watchdog"))
                await run.end.wait()
                for task in tasks:
                    task.cancel()
        except* ScannerError as failed:
            first = _first(failed)
            log.error("task_failed", error=str(first), kind=type(first).__name__)
            raise first from failed
        return run.reload

    async def _watchdog(self, seconds: float) -> None:
        """Says that the event loop turns; a loop that hangs is restarted by the service manager."""
        while True:
            notify(os.environ, WATCHDOG=1)
            await asyncio.sleep(seconds)

    async def _status(self, run: _Run) -> None:
        while True:
            doing = [*run.doing.values(), *(f"feed {name} failed" for name in sorted(run.failed))]
            notify(os.environ, STATUS="; ".join(doing) or "waiting")
            await asyncio.sleep(_STATUS_SECONDS)

    async def _feed(self, run: _Run, name: str) -> None:
        """Sync one feed for ever. A publisher's failure keeps the last good list."""
        failures = 0
        every = run.app.keeper.feed(name).every
        while True:
            due = run.app.feed_due_in(name)
            if due > 0:
                due += self._rng.uniform(0, every * _JITTER)
            await asyncio.sleep(max(due, _SHORTEST_WAIT))
            run.doing[name] = f"syncing feed {name}"
            try:
                change = await run.app.sync_feed(name)
            except (FeedError, ConfigError, BusyError) as e:
                log.warning("feed_sync_failed", feed=name, error=str(e))
                run.failed.add(name)
                wait = min(_RETRY_SECONDS * 2**failures, _LONGEST_RETRY)
                failures = min(failures + 1, 10)
                await asyncio.sleep(wait * self._rng.uniform(0.8, 1.2))
                continue
            finally:
                run.doing.pop(name, None)
            failures = 0
            run.failed.discard(name)
            log.info("feed_synced", feed=name, result=change.result, entries=change.entries)


def _first(group: BaseExceptionGroup[ScannerError]) -> ScannerError:
    """The first real exception of a group, for one clear sentence."""
    e = group.exceptions[0]
    return _first(e) if isinstance(e, BaseExceptionGroup) else e
