"""The workers alone: what their sandbox costs, how fast descriptors go through, how fast they start."""

from __future__ import annotations

import os
import select
import signal
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from measuring import Skipped
from report import Row, judged

from scanner.hashing import HashJob, WorkerPool, WorkerSettings, absent_layers
from scanner.hashing.process import WorkerProcess

FILES, ROUNDS, STARTS = 8_000, 5, 5
SIZE = 160  # bytes: next to nothing to hash
_WITHOUT = "from scanner.hashing import sandbox, worker; sandbox.LAYERS = (); worker.main()"
_EXACT_ONLY = WorkerSettings(perceptual=())


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds a file: by the clock, and of processor time here and in the workers."""

    wall: float
    ours: float
    theirs: float


def _processor_time(pids: tuple[int, ...]) -> float:
    """Seconds of user and system time of live processes, to a hundredth."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _put_through(pool: WorkerPool, fds: list[int]) -> None:
    sent = got = 0
    while got < FILES:
        while sent < FILES and pool.room > 0:
            pool.submit(HashJob(sent, fds[sent % len(fds)], SIZE, media_only=False))
            sent += 1
        if sent == FILES:
            pool.prove()
        pool.flush()
        select.select([pool.fileno()], [], [], 0.2)
        got += len(pool.poll(time.monotonic()))


def _cost(fds: list[int], workers: int, *, locked: bool) -> Cost:
    spawn = WorkerProcess if locked else partial(WorkerProcess, program=("-c", _WITHOUT))
    pool = WorkerPool(_EXACT_ONLY, workers, spawn=spawn)
    pool.start()
    try:
        pids = pool.pids
        theirs, ours, wall = _processor_time(pids), time.process_time(), time.perf_counter()
        _put_through(pool, fds)
        wall, ours = time.perf_counter() - wall, time.process_time() - ours
        theirs = _processor_time(pids) - theirs
    finally:
        pool.stop()
    return Cost(*(seconds / FILES * 1e6 for seconds in (wall, ours, theirs)))


def _median(costs: list[Cost], what: str) -> float:
    return statistics.median(getattr(cost, what) for cost in costs)


def sandbox(work: Path) -> Iterator[Row]:
    """Locked workers beside workers without any layer."""
    if absent_layers():
        raise Skipped(f"this kernel lacks {', '.join(absent_layers())}")
    fds = []
    for n in range(64):
        (work / str(n)).write_bytes(os.urandom(SIZE))
        fds.append(os.open(work / str(n), os.O_RDONLY))
    try:
        for workers in (1, 2):
            locked, without = [], []
            for _ in range(ROUNDS):
                locked.append(_cost(fds, workers, locked=True))
                without.append(_cost(fds, workers, locked=False))
            yield from _rows(workers, locked, without)
    finally:
        for fd in fds:
            os.close(fd)
    yield from _starts()


def _rows(workers: int, locked: list[Cost], without: list[Cost]) -> Iterator[Row]:
    which = f"{workers} worker{'s' if workers > 1 else ''}"
    more = _median(locked, "theirs") - _median(without, "theirs")
    yield Row(
        f"sandbox, {which}: processor time of a worker, a file more than without layers",
        "-",
        f"{more:+.1f} us",
        "-",
        f"{_median(locked, 'theirs'):.0f} us with all, {_median(without, 'theirs'):.0f} us without",
    )
    wall, best = _median(locked, "wall"), min(cost.wall for cost in locked)
    note = f"best round {best:.0f} us; {_median(locked, 'ours'):.0f} us of it here, canaries included"
    text = f"{wall:.0f} us a file, {1e6 / wall:,.0f} files/s"
    yield judged(f"descriptors through {which}, tiny files", "under 60 us a file", text, wall < 60, note)


_LATER_SECONDS = 10.0  # by then a pool has its spare


def _starts() -> Iterator[Row]:
    """Time to start a worker that can do everything, and to have the spare in a killed one's place."""
    starts, again = [], []
    for _ in range(STARTS):
        pool = WorkerPool(WorkerSettings(), 1)
        begun = time.perf_counter()
        pool.start()
        starts.append(time.perf_counter() - begun)
        while pool.spare is None:  # some seconds later, as the pool sees it
            pool.poll(time.monotonic() + _LATER_SECONDS)
            select.select([pool.fileno()], [], [], 0.2)
        victim = pool.pids[0]
        begun = time.perf_counter()
        os.kill(victim, signal.SIGKILL)
        while pool.pids == (victim,) or pool.deadline() is not None:
            select.select([pool.fileno()], [], [], 0.2)
            pool.poll(time.monotonic())
        again.append(time.perf_counter() - begun)
        pool.stop()
    for what, values in (("started", starts), ("replaced after it was killed", again)):
        middle = statistics.median(values)
        note = f"{min(values):.2f} to {max(values):.2f} s"
        yield judged(
            f"a worker with all decoders and layers, {what}",
            "within 1 s",
            f"{middle:.2f} s",
            middle < 1,
            note,
        )
