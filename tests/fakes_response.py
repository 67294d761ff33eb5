"""A small durable journal, a volume with a vault beside it, and a way to die at any system call."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from scanner.model.files import FileStat
from scanner.model.hashes import Digests
from scanner.model.ports import SystemIds
from scanner.model.steps import Step, StepKind, StepState
from scanner.response import (
    Place,
    RecoveryNote,
    Restorer,
    Securer,
    SecureRequest,
    SecureResult,
    SecuringPolicy,
    Vault,
    VaultLimits,
    open_root,
    recover,
)
from scanner.system.opening import DIRECTORY_FLAGS, open_regular

NOW_NS = 1_800_000_000_123_456_789  # UTC, nanoseconds: any fixed moment
OWNER = "owner-1"
CASE = "case-1"


class FixedClock:
    def now_ns(self) -> int:
        return NOW_NS


class FileJournal:
    """A StepJournal in one file of JSON lines, synced at every line; refuses to finish a step twice."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._path.touch()

    def begin(self, step: Step) -> None:
        self._append({"begin": asdict(step)})

    def finish(self, step_id: str, state: StepState, outcome: str) -> None:
        if step_id not in {s.id for s in self.open_steps()}:
            raise RuntimeError(f"step {step_id} is not open")
        self._append({"finish": step_id, "state": state, "outcome": outcome})

    def open_steps(self) -> Sequence[Step]:
        steps: dict[str, Step] = {}
        for line in self._lines():
            if "begin" in line:
                fields = line["begin"]
                steps[fields["id"]] = Step(**{**fields, "kind": StepKind(fields["kind"])})
            else:
                del steps[line["finish"]]
        return list(steps.values())

    def outcomes(self) -> list[tuple[StepState, str]]:
        return [(StepState(li["state"]), li["outcome"]) for li in self._lines() if "finish" in li]

    def _lines(self) -> Iterator[dict]:
        for line in self._path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):  # else torn by a crash: was never promised
                yield json.loads(line)

    def _append(self, line: dict) -> None:
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(fd, json.dumps(line).encode() + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)


@dataclass(slots=True)
class House:
    """One volume, its vault and its journal."""

    root: Path
    vault: Vault
    journal: FileJournal

    @classmethod
    def build(cls, base: Path, *, vault: Path | None = None, limits: VaultLimits | None = None) -> House:
        root = base / "volume"
        root.mkdir(parents=True)
        made = Vault(
            vault or base / "vault", limits or VaultLimits(reserve=0, reserve_inodes=0), FixedClock()
        )
        made.prepare()
        return cls(root, made, FileJournal(base / "journal"))

    def write(self, path: bytes | str, content: bytes) -> bytes:
        """Make a file below the root; returns its absolute path as bytes."""
        full = os.path.join(os.fsencode(self.root), os.fsencode(path))
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as f:
            f.write(content)
        return full

    @contextmanager
    def request(self, path: bytes | str) -> Iterator[SecureRequest]:
        """Open and hash a file as a scan does, and hold it open."""
        directory, name = os.path.split(os.fsencode(path))
        root = os.fsencode(self.root)
        root_fd = os.open(root, DIRECTORY_FLAGS)
        directory_fd = os.open(directory or b".", DIRECTORY_FLAGS, dir_fd=root_fd)
        fd, st = open_regular(directory_fd, name)
        try:
            yield SecureRequest(
                root_fd=root_fd,
                volume="web",
                root=root,
                directory=directory,
                name=name,
                fd=fd,
                stat=FileStat.of(name, st),
                directory_fd=directory_fd,
                digests=digests_of(fd),
                case_id=CASE,
            )
        finally:
            for opened in (fd, directory_fd, root_fd):
                os.close(opened)

    def secure(self, path: bytes | str, **how: Any) -> SecureResult:
        with self.request(path) as request:
            return self.securer(**how).secure(request)

    def securer(
        self,
        *,
        vault: Vault | None = None,
        journal: FileJournal | None = None,
        policy: SecuringPolicy = SecuringPolicy(),
    ) -> Securer:
        return Securer(vault or self.vault, journal or self.journal, FixedClock(), SystemIds(), OWNER, policy)

    def restorer(self) -> Restorer:
        return Restorer(self.vault, self.journal, FixedClock(), SystemIds(), OWNER)

    def recover(self) -> list[RecoveryNote]:
        return recover(self.journal, self.vault, open_root, lambda step: step.owner == OWNER)

    def staged(self) -> list[str]:
        folder = self.root / ".hostsweep-staging"
        return sorted(os.listdir(folder)) if folder.exists() else []

    def place(self, path: bytes) -> Place:
        directory, name = os.path.split(path)
        return Place(os.fsencode(self.root), directory, name)


def digests_of(fd: int) -> Digests:
    content = os.pread(fd, 1 << 26, 0)
    exact = {k: hashlib.new(k, content, usedforsecurity=False).digest() for k in ("md5", "sha1", "sha256")}
    return Digests(size=len(content), media_type="image/jpeg", exact=exact)


# What changes a file system, as Python calls it. To die at a read is to die at the next of these.
_CHANGING = frozenset(
    {
        "open",
        "write",
        "fsync",
        "rename",
        "unlink",
        "mkdir",
        "fchown",
        "fchmod",
        "utime",
        "setxattr",
        "flush",
        "ioctl",
    }
)


class _Counter:
    """A profile hook that counts changing calls and acts at the entry of one of them."""

    def __init__(self, point: int = 0, act: Callable[[], object] = lambda: None) -> None:
        self.calls = 0
        self._point, self._act = point, act

    def __call__(self, frame: FrameType, event: str, called: object) -> None:
        changing = event == "c_call" and getattr(called, "__name__", "") in _CHANGING
        if changing or (event == "call" and frame.f_code.co_name == "rename_noreplace"):
            self.calls += 1
            if self.calls == self._point:
                self._act()


def calls_of(work: Callable[[], object]) -> int:
    """How many calls that change a file system some work makes."""
    counter = _Counter()
    sys.setprofile(counter)
    try:
        work()
    finally:
        sys.setprofile(None)
    return counter.calls


@contextmanager
def memory_directory() -> Iterator[Path]:
    """A directory in memory where there is one: dying is the same there, and syncing costs nothing."""
    shm = Path("/dev/shm")
    base = shm if os.access(shm, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="hostsweep-test-", dir=base) as path:
        yield Path(path)


def dies_at(point: int, work: Callable[[], object]) -> bool:
    """Run work in a child that is killed at the entry of its `point`-th call that changes a file system.

    The call itself is not made. Returns False when the work was done before there were that many.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            sys.setprofile(_Counter(point, lambda: os.kill(os.getpid(), signal.SIGKILL)))
            work()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the work failed by itself"
    return False
