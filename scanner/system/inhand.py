"""Who of this process's threads works on what: one at a time on each thing, whatever it is called."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class InHand:
    """Things that threads of this process have in hand, by name.

    A worker waits for the thing it needs, and has one at a time. Whoever clears up takes what is free and
    passes over the rest, so nobody waits in a circle.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: set[str] = set()

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Have one thing in hand; waits while another thread has it. Not to be nested."""
        with self._changed:
            while name in self._held:
                self._changed.wait()
            self._held.add(name)
        try:
            yield
        finally:
            self._drop({name})

    @contextmanager
    def taking(self) -> Iterator[Callable[[str], bool]]:
        """Gives a function that takes a thing if nobody has it, and says whether it is ours; until the end
        of the block."""
        taken: set[str] = set()

        def take(name: str) -> bool:
            with self._changed:
                if name in self._held:
                    return name in taken
                self._held.add(name)
                taken.add(name)
                return True

        try:
            yield take
        finally:
            self._drop(taken)

    def _drop(self, names: set[str]) -> None:
        with self._changed:
            self._held -= names
            self._changed.notify_all()
