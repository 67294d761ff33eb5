"""The sites that faults strike at, and what was really struck, told at the end of the run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_site import Site

TOLD = pytest.StashKey[list[str]]()


@pytest.fixture
def tell(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Say something in the run's summary."""
    return pytestconfig.stash.setdefault(TOLD, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(TOLD, []):
        terminalreporter.write_line(f"faults: {line}")


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory in memory where there is one: dying is the same there, and syncing costs nothing."""
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="hostsweep-fault-", dir=shm if os.access(shm, os.W_OK) else None
    ) as path:
        yield Path(path)
        _close_below(path)


def _close_below(base: str) -> None:
    """Let go of what works left open that died, or ran here without dying: they end with their process."""
    for fd in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{fd}").startswith(base):
                os.close(int(fd))
        except OSError:
            continue  # the listing's own


@pytest.fixture
def site(memory: Path) -> Site:
    made = Site(memory)
    made.build()
    return made
