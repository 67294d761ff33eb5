"""The service that syncs hash lists and does nothing else: `hostsweep feed daemon`, with `sync.by: service`.

It needs the network and the feeds' directory; no volume, no vault, no catalog, no ledger. The daemon sees new
lists in that directory by itself. Built like the daemon: every task has an owner, the one TaskGroup of a run,
and a task that fails takes the service with it. A run lasts until a stop or a reload.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from scanner.app import App
from scanner.app.freshness import OverdueLog, all_fresh
from scanner.app.running import Life, first_of, start_watchdog, sync_once
from scanner.model.errors import ConfigError, ScannerError
from scanner.system.notify import notify

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
    doing: dict[str, str] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    overdue: OverdueLog = field(default_factory=OverdueLog)


class Syncer:
    """Syncs the feeds of an app until SIGTERM or SIGINT.

    Args:
        load: reads the configuration and builds an app from it; called again on SIGHUP.
        rng: for the jitter.
    """

    def __init__(self, load: Callable[[], App], rng: random.Random | None = None) -> None:
        self._load = load
        self._rng = rng or random.Random()
        self._life = Life()
        self._overdue = OverdueLog()

    async def run(self) -> None:
        """Serve until stopped.

        Raises:
            ScannerError: the feeds' directory is in use, the configuration is wrong at the start, or our own
                storage failed.
        """
        app = self._checked()
        app.take_feeds_in_hand()
        with app.single_syncer():
            self._life.listen()
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

    # One run

    async def _serve(self, app: App) -> bool:
        """Serve with one configuration. Returns whether to go on with a new one."""
        run = _Run(app, overdue=self._overdue)
        self._life.begin(run.end.set)
        if self._life.stopping:
            return False
        notify(os.environ, READY=1, STATUS="running")
        log.info("syncer_ready", feeds=len(app.feed_names))
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._status(run), name="status")]
                tasks += [group.create_task(self._feed(run, n), name=f"feed:{n}") for n in app.feed_names]
                tasks += start_watchdog(group)
                await run.end.wait()
                for task in tasks:
                    task.cancel()
        except* ScannerError as failed:
            first = first_of(failed)
            log.error("task_failed", error=str(first), kind=type(first).__name__)
            raise first from failed
        return self._life.reload

    async def _status(self, run: _Run) -> None:
        while True:
            app = run.app
            now = app.clock.now_ns()
            run.overdue.look(await asyncio.to_thread(all_fresh, app.keeper, app.config, now))
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
            if await sync_once(run.app, name, run.doing, log) is None:
                run.failed.add(name)
                wait = min(_RETRY_SECONDS * 2**failures, _LONGEST_RETRY)
                failures = min(failures + 1, 10)
                await asyncio.sleep(wait * self._rng.uniform(0.8, 1.2))
            else:
                failures = 0
                run.failed.discard(name)
