"""What the daemon and the syncing service have in common: signals, the watchdog, one sync of a feed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, MutableMapping
from typing import Any

from scanner.app.app import App
from scanner.app.importing import FeedChange
from scanner.model.errors import BusyError, ConfigError, FeedError
from scanner.system.notify import notify, watchdog_seconds


class Life:
    """SIGTERM and SIGINT end a service; SIGHUP ends a run, for another one with a new configuration."""

    def __init__(self) -> None:
        self.stopping = False
        self._reload = False
        self._end: Callable[[], None] | None = None

    def listen(self) -> None:
        """Take the signals from here on; needs a running loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload)

    def begin(self, end: Callable[[], None]) -> None:
        """A run begins, which `end` brings to its end."""
        self._reload = False
        self._end = end

    @property
    def reload(self) -> bool:
        """Whether the run that ended is to be followed by another."""
        return self._reload

    def _on_stop(self) -> None:
        self.stopping = True
        self._reload = False
        if self._end is not None:
            self._end()

    def _on_reload(self) -> None:
        if self._end is not None and not self.stopping:
            notify(os.environ, RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)
            self._reload = True
            self._end()


def start_watchdog(group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
    """The task that tells the service manager that the event loop turns, if it wants to hear it: a loop that
    hangs is restarted."""
    seconds = watchdog_seconds(os.environ)
    return [] if seconds is None else [group.create_task(_watchdog(seconds), name="watchdog")]


async def _watchdog(seconds: float) -> None:
    while True:
        notify(os.environ, WATCHDOG=1)
        await asyncio.sleep(seconds)


async def sync_once(app: App, name: str, doing: MutableMapping[str, str], log: Any) -> FeedChange | None:
    """Sync a feed and say so; None where the publisher's side failed, which keeps the last good list.

    Args:
        doing: what the service manager is told, by task.
        log: the service's logger.
    """
    doing[name] = f"syncing feed {name}"
    try:
        change = await app.sync_feed(name)
    except (FeedError, ConfigError, BusyError) as e:
        log.warning("feed_sync_failed", feed=name, error=str(e))
        return None
    finally:
        doing.pop(name, None)
    log.info("feed_synced", feed=name, result=change.result, entries=change.entries)
    return change


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first real exception of a group, for one clear sentence."""
    for e in group.exceptions:
        return first_of(e) if isinstance(e, BaseExceptionGroup) else e
    return group
