"""One answer for everybody who asks at about the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Makes a value at most once in `seconds`, and never twice at a time.

    A making that hangs (a dead disk) keeps those who wait for it waiting until their own time is up, and
    is never begun a second time beside itself.
    """

    def __init__(self, name: str, make: Callable[[], Awaitable[T]], seconds: float) -> None:
        self._name = name
        self._make = make
        self._seconds = seconds
        self._task: asyncio.Task[T] | None = None
        self._done_at = 0.0

    async def get(self) -> T:
        """The value.

        Raises:
            whatever the making raised, for all who waited for it and nobody after them.
        """
        task = self._task
        if task is None or (task.done() and not self._fresh(task)):
            task = self._task = asyncio.create_task(self._made(), name=f"http:{self._name}")
        return await asyncio.shield(task)

    def _fresh(self, task: asyncio.Task[T]) -> bool:
        if task.cancelled() or task.exception() is not None:
            return False
        return asyncio.get_running_loop().time() - self._done_at < self._seconds

    async def _made(self) -> T:
        try:
            return await self._make()
        finally:
            self._done_at = asyncio.get_running_loop().time()

    async def close(self) -> None:
        """End a making that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
