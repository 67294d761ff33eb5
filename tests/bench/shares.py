"""Running a whole process and telling what each kind of its processes used of the processors."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from measuring import Run, finish, role, with_children

_SAMPLE_SECONDS = 0.02  # what a process does after the last look at it is not counted


@dataclass(frozen=True, slots=True)
class Shares:
    """One run of a command.

    Attributes:
        done: the whole of it.
        main: seconds of processor time of the process itself, to a hundredth.
        walker, workers: the same of those below it.
        first_worker: when the first of the workers was seen, in seconds from the start; what comes before is
            start-up. The whole time, where there was none.
        told: when each line of its output came, in seconds from the start.
    """

    done: Run
    main: float
    walker: float
    workers: float
    first_worker: float
    told: tuple[tuple[float, bytes], ...]


def measure_shares(command: Sequence[str]) -> Shares:
    """Run a process to its end and look every 20 ms at what its children have used.

    Raises:
        Skipped: it failed.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    used: dict[int, tuple[str, float]] = {}
    lines: list[tuple[float, bytes]] = []
    seen: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_SAMPLE_SECONDS):
            for pid in with_children(process.pid):
                _note(used, pid, process.pid)
            if not seen and any(name == "worker" for name, _ in used.values()):
                seen.append(time.perf_counter() - start)

    def listen() -> None:
        assert process.stdout is not None
        lines.extend((time.perf_counter() - start, line) for line in iter(process.stdout.readline, b""))

    threads = [_started(watch), _started(listen)]
    threads[1].join()
    try:
        done = finish(process, start, (0, 1))  # 1: something was found
    finally:
        ended.set()
        threads[0].join()
    by_role: defaultdict[str, float] = defaultdict(float)
    for pid, (name, seconds) in used.items():
        if pid != process.pid:
            by_role[name] += seconds
    main = used[process.pid][1] if process.pid in used else 0.0
    below = by_role["walker"], by_role["worker"]
    output = b"".join(line for _, line in lines)
    return Shares(
        Run(done.wall, done.cpu, output),
        main,
        *below,
        min(seen, default=done.wall),
        tuple(lines),
    )


def _started(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def _note(used: dict[int, tuple[str, float]], pid: int, main: int) -> None:
    """The processor time of a process so far; its role is told once it runs a module of ours."""
    try:
        seconds = _with_ended_threads(pid) if pid == main else _of_threads(pid)
    except OSError:
        return
    known = used.get(pid)
    name = known[0] if known is not None and known[0] != "main" else role(pid)
    if known is None or seconds > known[1]:
        used[pid] = (name if name != "gone" else "main", seconds)


def _with_ended_threads(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _of_threads(pid: int) -> float:
    """In nanoseconds, which matters for one that works little."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
