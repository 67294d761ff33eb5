"""What all services have in common that are asked hash by hash: pace, errors, pages of answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence

from scanner.feeds.exchanges.base import Outcome, Pages, Question
from scanner.model.errors import FeedError

DEFAULT_PACE = 20.0  # questions a second where the operator names no other; ask the service for its limit
_FASTEST = 10_000.0
_PAGE = 1000  # answers

Answer = str
"""A category: "" where the service says that it does not have this."""


class Pace:
    """Spaces requests evenly.

    Args:
        now, sleep: the event loop's, or a test's.
    """

    def __init__(
        self,
        per_second: float,
        *,
        now: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._gap = 1 / per_second
        self._now = now or asyncio.get_running_loop().time
        self._sleep = sleep
        self._next = 0.0

    async def turn(self) -> None:
        """Wait until the next request may go."""
        now = self._now()
        if self._next > now:
            await self._sleep(self._next - now)
        self._next = max(self._next, now) + self._gap


def pace_of(options: Mapping[str, str]) -> float:
    """The option `per_second`, as a number.

    Raises:
        ValueError: it is none that can be.
    """
    pace = float(options.get("per_second", DEFAULT_PACE))
    if not 0 < pace <= _FASTEST:
        raise ValueError
    return pace


def wrong_option(options: Mapping[str, str], known: Sequence[str]) -> str | None:
    """What is wrong with options of an asker, None if nothing is."""
    for key in options:
        if key not in (*known, *COMMON):
            return f"there is no option '{key}'; known: {', '.join((*known, *COMMON))}"
    try:
        pace_of(options)
    except ValueError:
        return "per_second: expected a number of questions a second"
    for key in ("remember_days", "most"):
        if key in options and not (options[key].isdecimal() and 0 < int(options[key]) <= 10**6):
            return f"{key}: expected a whole number above 0"
    return None


COMMON = ("per_second", "remember_days", "most")
"""Options of every asker: its pace, how long a "no" is believed, how many questions a sync asks at most."""


async def ask_all(
    questions: Sequence[Question],
    kind: str,
    now_ns: int,
    pages: Pages,
    ask: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]],
    at_once: int,
) -> Outcome:
    """Ask, `at_once` questions in a request, and write pages of answers.

    An error ends the asking: what was not answered stays open, and is asked the next time. It is an error of
    the sync as well if nothing at all was answered.

    Raises:
        FeedError: as `ask` does, at the first request.
    """
    told: list[tuple[str, Answer]] = []
    written = stopped = 0
    for i in range(0, len(questions), at_once):
        batch = questions[i : i + at_once]
        try:
            answers = await ask(batch)
        except FeedError:
            if not i:
                raise
            stopped = len(questions) - i
            break
        told += [(question.value.hex(), answer) for question, answer in zip(batch, answers, strict=True)]
        if len(told) >= _PAGE:
            await pages.write(_page(kind, now_ns, told))
            written, told = written + len(told), []
    if told:
        await pages.write(_page(kind, now_ns, told))
    memory = {"unanswered": stopped}
    return Outcome(memory, partial=True, unchanged=not (written or told))


def _page(kind: str, now_ns: int, answers: Sequence[tuple[str, Answer]]) -> bytes:
    return json.dumps({"answers": answers, "kind": kind, "time": now_ns}, separators=(",", ":")).encode()
