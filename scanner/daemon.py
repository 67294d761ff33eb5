"""The daemon: schedules, signals, readiness, shutdown. It only orchestrates; work is done by the app.

Every task has an owner (the one TaskGroup of a run), a name and a last act. A side task that fails takes
the group with it, and so the daemon: there is no silently dead scheduler. One run lasts until a stop or a
reload; a reload begins a new run with the new configuration, or keeps the old one if the new is wrong.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from scanner.app import App, FeedChange
from scanner.app.running import Life, first_of, start_watchdog, sync_once
from scanner.app.service import Service
from scanner.app.surface import Surface, http_token
from scanner.http import start
from scanner.model.errors import (
    ConfigError,
    ScannerError,
    SourceError,
    WorkerError,
)
from scanner.system.notify import notify

log = structlog.get_logger("hostsweep.daemon")

_STATUS_SECONDS = 10.0  # how often the service manager hears what we are doing
_FEED_RETRY_SECONDS = 300.0  # after the transport's own retries are used up
_SCAN_RETRY_SECONDS = 300.0  # after a volume could not be scanned (not mounted, workers dying)
_LISTS_SECONDS = 3.0  # how often to look whether somebody else put a list into use, or suppressed an entry
_SHORTEST_WAIT = 1.0  # never spin, whatever is configured


@dataclass(slots=True)
class _Run:
    """What the tasks of one run share."""

    service: Service
    wakes: _Wakes
    end: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Queue[FeedChange] = field(default_factory=asyncio.Queue)
    stop_work: threading.Event = field(default_factory=threading.Event)
    doing: dict[str, str] = field(default_factory=dict)
    scanning: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    @property
    def app(self) -> App:
        return self.service.app

    def finish(self) -> None:
        self.stop_work.set()
        self.end.set()


class _Wakes:
    """What the HTTP surface can ask for: an event for each volume and feed, which its task waits for.

    One that is busy begins anew when it is done: what was asked for happens after the asking. Asking
    twice meanwhile is asking once.
    """

    def __init__(self, app: App) -> None:
        self.volumes = {v.name: asyncio.Event() for v in app.volumes}
        # Feeds that another service syncs are not ours to wake.
        feeds = app.feed_names if app.state.feeds_are_ours else ()
        self.feeds = {name: asyncio.Event() for name in feeds}

    def scan(self, volume: str) -> bool:
        return self._set(self.volumes.get(volume))

    def sync(self, feed: str) -> bool:
        return self._set(self.feeds.get(feed))

    @staticmethod
    def _set(event: asyncio.Event | None) -> bool:
        if event is None:
            return False
        event.set()
        return True


class Daemon:
    """Runs an app until SIGTERM or SIGINT.

    Args:
        load: reads the configuration and builds an app from it; called again on SIGHUP.
    """

    def __init__(self, load: Callable[[], App]) -> None:
        self._load = load
        self._life = Life()

    async def run(self) -> None:
        """Serve until stopped.

        Raises:
            ScannerError: the state directory is in use, the configuration is wrong at the start, our own
                storage failed, or a side task died.
        """
        surface = self._checked()
        with surface.service.app.single_daemon():
            self._life.listen()
            while await self._serve(surface):
                surface = self._reloaded(surface)
            notify(os.environ, STOPPING=1, STATUS="stopping")
            log.info("daemon_stopped")

    def _checked(self) -> Surface:
        """What is to be served by the configuration of now.

        Raises:
            ConfigError: something is wrong with it.
        """
        app = self._load()
        for warning in app.check():
            log.warning("configuration", text=warning)
        return Surface(Service(app), http_token(app.config))

    def _reloaded(self, old: Surface) -> Surface:
        try:
            fresh = self._checked()
        except ScannerError as e:
            log.error("reload_refused", error=str(e))
            return old
        fresh.service.take_over(old.service)
        log.info("reloaded")
        return fresh

    # One run

    async def _serve(self, surface: Surface) -> bool:
        """Serve with one configuration. Returns whether to go on with a new one."""
        app = surface.service.app
        run = _Run(surface.service, _Wakes(app))
        self._life.begin(run.finish)
        if self._life.stopping:
            return False
        await run.service.prepare()
        server = await start(surface.application(run.wakes), app.config.http.listen)
        try:
            notify(os.environ, READY=1, STATUS="running")
            log.info("daemon_ready", listen=str(app.config.http.listen), volumes=len(app.volumes))
            await self._tasks(run)
        finally:
            await server.cleanup()
        return self._life.reload

    async def _tasks(self, run: _Run) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._status(run), name="status")]
                tasks.append(group.create_task(self._suppressions(run), name="suppressions"))
                if run.app.state.feeds_are_ours:
                    tasks += [
                        group.create_task(self._feed(run, name), name=f"feed:{name}")
                        for name in run.app.feed_names
                    ]
                else:
                    tasks.append(group.create_task(self._lists(run), name="lists"))
                tasks += [
                    group.create_task(self._volume(run, v.name), name=f"volume:{v.name}")
                    for v in run.app.volumes
                ]
                tasks.append(group.create_task(self._changes(run), name="changes"))
                tasks.append(group.create_task(self._retries(run), name="retries"))
                tasks += start_watchdog(group)
                await run.end.wait()
                for task in tasks:
                    task.cancel()
        except BaseExceptionGroup as failed:
            first = first_of(failed)
            log.error("task_failed", error=str(first), kind=type(first).__name__)
            if isinstance(first, ScannerError):
                raise first from failed
            raise

    @staticmethod
    async def _sleep(seconds: float, wake: asyncio.Event) -> None:
        """Sleep until the time is over or somebody asks for it now; a moment in any case."""
        await asyncio.sleep(_SHORTEST_WAIT)
        try:
            async with asyncio.timeout(max(seconds - _SHORTEST_WAIT, 0.0)):
                await wake.wait()
        except TimeoutError:
            return

    async def _status(self, run: _Run) -> None:
        while True:
            await run.service.refresh_gauges()
            doing = "; ".join(run.doing.values()) or "waiting"
            notify(os.environ, STATUS=doing)
            await asyncio.sleep(_STATUS_SECONDS)

    async def _feed(self, run: _Run, name: str) -> None:
        """Sync one feed for ever. A publisher's failure keeps the last good list."""
        wake = run.wakes.feeds[name]
        while True:
            await self._sleep(run.app.feed_due_in(name), wake)
            wake.clear()
            change = await sync_once(run.app, name, run.doing, log)
            if change is None:
                await self._sleep(_FEED_RETRY_SECONDS * random.uniform(0.8, 1.2), wake)
            elif change.result == "updated":
                await run.changed.put(change)

    async def _lists(self, run: _Run) -> None:
        """Look for ever for lists that another service has put into use."""
        while True:
            for change in await run.service.lists_from_elsewhere():
                log.info("feed_synced", feed=change.feed, result=change.result, entries=change.entries)
                await run.changed.put(change)
            await asyncio.sleep(_LISTS_SECONDS)

    async def _suppressions(self, run: _Run) -> None:
        """Look for ever whether a person suppressed an entry of a list, or such a decision has ended."""
        while True:
            feeds = await run.service.suppressions_changed()
            if feeds:
                log.warning("suppressions_changed", feeds=list(feeds))
                await run.changed.put(FeedChange(", ".join(feeds), "suppressions", 0))
            await asyncio.sleep(_LISTS_SECONDS)

    async def _changes(self, run: _Run) -> None:
        """A list changed: swap the index, then match what is already known against what is new."""
        while True:
            change = await run.changed.get()
            news = await run.service.swap_index()
            log.info("index_swapped", feed=change.feed, index=run.service.index_id[:16])
            for volume in run.app.volumes:
                run.doing["rematch"] = f"matching known files of {volume.name}"
                try:
                    counts = await run.service.act_on_known(volume.name, news, run.stop_work)
                    log.info(
                        "known_files_matched", volume=volume.name, hits=counts.matched, secured=counts.secured
                    )
                except SourceError as e:
                    log.error("rematch_failed", volume=volume.name, error=str(e))
                finally:
                    run.doing.pop("rematch", None)

    async def _retries(self, run: _Run) -> None:
        """Try again, every so often, what could not be secured. A volume in scan is left to its scan."""
        every = run.app.config.quarantine.retry_every
        while True:
            await asyncio.sleep(max(every, _SHORTEST_WAIT))
            await run.service.lists_loaded()
            for volume in run.app.volumes:
                lock = run.scanning[volume.name]
                if not lock.locked():
                    async with lock:
                        await self._retry(run, volume.name)

    @staticmethod
    async def _retry(run: _Run, name: str) -> None:
        run.doing["retry"] = f"securing what is left of {name}"
        try:
            counts = await run.service.retry_unsecured(name, run.stop_work)
        except (SourceError, ConfigError, WorkerError) as e:
            log.error("retry_failed", volume=name, error=str(e))
        else:
            if counts.files:
                log.info("retried", volume=name, secured=counts.secured, unsecured=counts.unsecured)
        finally:
            run.doing.pop("retry", None)

    async def _volume(self, run: _Run, name: str) -> None:
        """Scan one volume for ever. A volume that fails is tried again; our own storage failing is fatal."""
        wake = run.wakes.volumes[name]
        while True:
            await self._sleep(await run.service.scan_due_in(name), wake)
            await run.service.lists_loaded()
            wake.clear()
            run.doing[name] = f"scanning {name}"
            try:
                async with run.scanning[name]:
                    counts = await run.service.scan_volume(name, run.stop_work)
            except (SourceError, ConfigError, WorkerError) as e:
                run.app.metrics.error("scan", "failed")
                log.error("scan_failed", volume=name, error=str(e))
                await self._sleep(_SCAN_RETRY_SECONDS, wake)
                continue
            finally:
                run.doing.pop(name, None)
            log.info(
                "scan_finished",
                volume=name,
                files=counts.files,
                hits=counts.matched,
                errors=counts.errors,
                complete=counts.complete,
            )
