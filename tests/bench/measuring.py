"""Running whole processes and measuring them: wall time, processor time, memory, children included."""

from __future__ import annotations

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

SAMPLE_SECONDS = 0.05  # a worker's largest picture takes longer than that
_MIB = 1 << 20


class Skipped(Exception):
    """Something can't be measured here; the text says why."""


@dataclass(frozen=True, slots=True)
class Run:
    """One process with all its children.

    Attributes:
        wall: seconds from its start to its end.
        cpu: seconds of processor time, user and system, of it and of every child it has reaped.
        output: what it wrote to standard output.
    """

    wall: float
    cpu: float
    output: bytes


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    keep: bool = False,
    ends: Sequence[int] = (0,),
) -> Run:
    """Run a process to its end.

    Args:
        keep: keep the output, which else goes to /dev/null.
        ends: with which status it may end.

    Raises:
        Skipped: it ended with another status.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if keep else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=dict(os.environ, **(env or {})),
    )
    return finish(process, start, ends)


def finish(process: subprocess.Popen[bytes], start: float, status: Sequence[int] = (0,)) -> Run:
    """Wait for a process that was started at `start`, on the clock of time.perf_counter.

    Raises:
        Skipped: it ended with a status that is none of these.
    """
    assert process.stderr is not None
    output = process.stdout.read() if process.stdout else b""
    said = process.stderr.read()
    # wait4 instead of wait: it is the only call that gives the processor time of this child alone.
    _, code, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(code)
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()
    if process.returncode not in status:
        text = said.decode(errors="replace").strip().splitlines()
        raise Skipped(f"{process.args!r} ended with {process.returncode}: {text[-1] if text else ''}")
    return Run(wall, usage.ru_utime + usage.ru_stime, output)


def alternate(rounds: int, *actions: Callable[[], Run]) -> list[list[Run]]:
    """Run actions in turn, A B A B: what else the machine does meanwhile then concerns all of them alike."""
    return [list(one) for one in zip(*([action() for action in actions] for _ in range(rounds)), strict=True)]


def median_of(runs: Sequence[Run], what: str = "wall") -> float:
    return statistics.median(getattr(r, what) for r in runs)


def ratios(ours: Sequence[Run], theirs: Sequence[Run], what: str) -> list[float]:
    """Ours by theirs, round by round, in order of size."""
    return sorted(getattr(a, what) / getattr(b, what) for a, b in zip(ours, theirs, strict=True))


# Memory


@dataclass(slots=True)
class Memory:
    """The highest sums over a process and all below it, in bytes, and how many processes there were then.

    Attributes:
        private: dirty private pages of no file: what only the end of a process gives back.
        pss: all resident pages, those that are shared divided among the sharers; pages of files, which the
            kernel takes back when it needs them, included.
        processes: at the peak of `private`.
        hidden: processes that would not be looked into.
    """

    private: int = 0
    pss: int = 0
    processes: int = 0
    hidden: int = 0
    parts: dict[str, int] = field(default_factory=dict)

    def note(self, pids: Sequence[int]) -> None:
        """One look at these processes."""
        found = [(pid, rollup) for pid in pids if (rollup := _rollup(pid)) is not None]
        self.hidden = max(self.hidden, sum(1 for _, r in found if not r))
        private = sum(_own(r) for _, r in found)
        self.pss = max(self.pss, sum(r.get("Pss", 0) for _, r in found))
        if private > self.private:
            self.private, self.processes = private, len(found)
            self.parts = {}
            for pid, r in found:
                name = role(pid)
                self.parts[name] = self.parts.get(name, 0) + _own(r)

    @property
    def text(self) -> str:
        """The parts of the peak, for a table."""
        return ", ".join(f"{name} {size / _MIB:.0f}" for name, size in sorted(self.parts.items()))


def _own(rollup: Mapping[str, int]) -> int:
    # A mapped page of a file that was just written counts as dirty and private too, until it is on the disk.
    return min(rollup.get("Private_Dirty", 0), rollup.get("Anonymous", 0))


def role(pid: int) -> str:
    """What a process of ours is, by the module that it runs."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "gone"
    module = next((w for w in words if w.startswith(b"scanner.")), b"main")
    return {"walker_process": "walker", "import_process": "import"}.get(
        name := module.rpartition(b".")[2].decode(), name
    )


def _rollup(pid: int) -> dict[str, int] | None:
    """Sums of a process in bytes; empty if it won't be looked into, None if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except PermissionError:
        return {}
    except OSError:
        return None
    rows = (line.split() for line in lines[1:])
    return {name.rstrip(":"): int(value) * 1024 for name, value, *_ in rows}


def with_children(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # a thread may have ended since
                for child in (task / "children").read_text().split():
                    yield from with_children(int(child))


def measure_memory(
    command: Sequence[str], *, beside: Sequence[int] = (), ends: Sequence[int] = (0,)
) -> tuple[Run, Memory]:
    """Run a process to its end and look at its memory, and its children's, every 50 ms.

    Args:
        beside: processes that work for it without being its children.
        ends: with which status it may end.

    Raises:
        Skipped: it failed, or its processes hide their memory from this user.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    memory, ended = Memory(), threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            memory.note([*with_children(process.pid), *beside])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        finished = finish(process, start, ends)
    finally:
        ended.set()
        thread.join()
    if memory.hidden:
        raise Skipped("the workers run as another user, who hides their memory: run as root")
    return finished, memory


def own_peak() -> int:
    """The most that was resident of this process since it began, in bytes, pages of files included.

    getrusage begins with what the parent had before this program was put in its place.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


def memory_of(pid: int, seconds: float) -> Memory:
    """Look at a running process, and its children, for some time.

    Raises:
        Skipped: its processes hide their memory from this user.
    """
    memory, end = Memory(), time.monotonic() + seconds
    while time.monotonic() < end:
        memory.note(list(with_children(pid)))
        time.sleep(SAMPLE_SECONDS)
    if memory.hidden:
        raise Skipped("the workers run as another user, who hides their memory: run as root")
    return memory


def wait_until(there: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Ask until something is so.

    Raises:
        Skipped: it wasn't so in time.
    """
    end = time.monotonic() + seconds
    while not there():
        if time.monotonic() > end:
            raise Skipped(otherwise)
        time.sleep(SAMPLE_SECONDS)
