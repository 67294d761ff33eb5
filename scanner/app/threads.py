"""Blocking work for hours, beside an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from scanner.system import heap

T = TypeVar("T")


async def in_thread(work: Callable[[], T], stop: threading.Event) -> T:
    """Run blocking work in a thread; a cancelled caller tells it to stop and waits for its last act.

    The thread is its own: scans take hours, and some dozens of volumes (or a few whose storage is dead)
    would take all threads of the loop's pool, which readiness, status and syncs need. It is a daemon
    thread, so that one that hangs in a system call does not keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(how: Callable[[Any], None], value: object) -> None:
        if not future.done():
            how(value)

    def run() -> None:
        try:
            told: tuple[Callable[[Any], None], object] = (future.set_result, work())
        except BaseException as e:  # noqa: BLE001 - whatever it is, the caller gets it
            told = (future.set_exception, e)
        heap.give_back()  # hours may go by until so much is needed again
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, *told)

    threading.Thread(target=run, name="scan", daemon=True).start()
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([future])
        raise
