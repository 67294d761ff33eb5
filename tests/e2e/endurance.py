"""A host never at rest: files come, change and go, lists change, workers are killed, as long as one likes.

Everything is decided by one seeded generator, and this process alone changes the tree, so at the end it is
known which files have to be where.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from PIL import Image

_A_DIRECTORY = 100  # files
_NOISE = 2000  # entries of a list that nothing has
_MIB = 1 << 20


def _template() -> bytes:
    """A tiny PNG; what follows its end makes each file another one."""
    out = BytesIO()
    Image.linear_gradient("L").resize((16, 16)).save(out, "PNG")
    return out.getvalue()


@dataclass
class Tree:
    """Customers' files, and the listed ones among them.

    Attributes:
        files: content of each innocent file, by path; large trees share the text of most of them.
        planted: SHA-256 of each listed file, by path.
    """

    root: Path
    rng: random.Random
    files: dict[Path, bytes] = field(default_factory=dict)
    planted: dict[Path, str] = field(default_factory=dict)
    _names: Iterator[int] = field(default_factory=lambda: iter(range(1 << 40)))
    _picture: bytes = field(default_factory=_template)

    def grow(self, count: int) -> None:
        for _ in range(count):
            self._create()

    def churn(self, steps: int) -> None:
        """Create, rewrite, rename and delete some files."""
        for _ in range(steps):
            path = self.rng.choice(self._known()) if self.files else None
            what = self.rng.choice(("create", "rewrite", "rename", "delete"))
            if what == "create" or path is None:
                self._create()
            elif what == "rewrite":
                self._write(path, self._content())
            elif what == "rename":
                target = self._place(path.suffix)
                os.rename(path, target)
                self.files[target] = self.files.pop(path)
            else:
                path.unlink()
                del self.files[path]
            self._sample.clear()

    def plant(self) -> str:
        """A listed file more; its SHA-256."""
        content = self._picture + self.rng.randbytes(24)
        return self._plant(content)

    def announced(self) -> tuple[bytes, str]:
        """Content that is listed before it is there, and its SHA-256."""
        content = self._picture + self.rng.randbytes(24)
        return content, hashlib.sha256(content).hexdigest()

    def put(self, content: bytes) -> str:
        return self._plant(content)

    def wrong(self) -> list[str]:
        """What is not as this process left it, some lines at most."""
        left = {p for p in self.root.rglob("*") if p.is_file() and ".hostsweep-staging" not in p.parts}
        found = [f"lost: {p}" for p in self.files if p not in left]
        found += [f"still there: {p}" for p in self.planted if p in left]
        found += [
            f"changed: {p}" for p, content in self.files.items() if p in left and p.read_bytes() != content
        ]
        return found[:10]

    _sample: list[Path] = field(default_factory=list)

    def _known(self) -> list[Path]:
        # choice() needs a sequence; copying a million names for each step would be all that happens.
        if not self._sample:
            names = iter(self.files)
            skip = self.rng.randrange(max(1, len(self.files) - 50))
            for _ in range(skip):
                next(names)
            self._sample = [p for _, p in zip(range(50), names, strict=False)]
        return self._sample

    def _place(self, suffix: str) -> Path:
        n = next(self._names)
        directory = self.root / f"customer{n // _A_DIRECTORY % 97:02d}" / f"d{n // _A_DIRECTORY}"
        directory.mkdir(parents=True, exist_ok=True)
        return directory / f"f{n}{suffix}"

    def _content(self) -> bytes:
        if self.rng.random() < 0.3:
            return self._picture + self.rng.randbytes(8)
        return b"only words %d" % self.rng.randrange(1000)

    def _create(self) -> None:
        content = self._content()
        self._write(self._place(".png" if content[:1] == b"\x89" else ".txt"), content)

    def _write(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        self.files[path] = content

    def _plant(self, content: bytes) -> str:
        path = self._place(".jpg")
        path.write_bytes(content)
        self.planted[path] = hashlib.sha256(content).hexdigest()
        return self.planted[path]


class ListOf:
    """A list that grows: what is listed, and entries that nothing has."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self._path = path
        self._rng = rng
        self._listed: list[str] = []
        self.write()

    def add(self, digest: str) -> None:
        self._listed.append(digest)

    def write(self) -> None:
        """Publish it, with other noise than before."""
        noise = [self._rng.randbytes(32).hex() for _ in range(self._rng.randrange(_NOISE // 2, _NOISE))]
        new = self._path.with_suffix(".new")
        new.write_text("".join(f"{digest}\n" for digest in self._listed + noise))
        os.rename(new, self._path)


@dataclass
class Watch:
    """Memory and descriptors of a process and of those below it that stay."""

    pid: int
    memory: list[int] = field(default_factory=list)  # bytes of no file of the process itself
    descriptors: list[int] = field(default_factory=list)
    killed: int = 0

    def look(self) -> None:
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()[1:]
        # Not Private_Dirty: until they are on the disk it counts mapped pages of the catalog and lists, too.
        self.memory.append(
            next(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Anonymous:"))
        )
        self.descriptors.append(len(os.listdir(f"/proc/{self.pid}/fd")))

    def kill_a_worker(self, rng: random.Random) -> None:
        """Of those at work: where none gets as far as that, a scan ends with an error, as it should."""
        workers = [
            pid
            for task in Path(f"/proc/{self.pid}/task").iterdir()
            for pid in _children(task)
            if b"scanner.hashing.worker" in _command(pid) and _is_locked(pid)
        ]
        if workers:
            with suppress(ProcessLookupError):
                os.kill(int(rng.choice(workers)), signal.SIGKILL)
                self.killed += 1

    def growth(self) -> tuple[float, float]:
        """By how many MiB and descriptors the last third lies above the second: the first is warming up.

        Descriptors are compared at their fewest: in a scan there are some more for each worker, and a leak
        lifts the fewest too.
        """
        third = len(self.memory) // 3
        before, after = slice(third, 2 * third), slice(2 * third, None)
        memory = statistics.median(self.memory[after]) - statistics.median(self.memory[before])
        return memory / _MIB, min(self.descriptors[after]) - min(self.descriptors[before])


def _children(task: Path) -> list[str]:
    try:
        return (task / "children").read_text().split()
    except OSError:
        return []  # a thread that has ended since


def _command(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _is_locked(pid: str) -> bool:
    """Whether a process has a filter of system calls: a worker's last step before it is ready."""
    try:
        return "Seccomp:\t2" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def unrest(tree: Tree, police: ListOf, watch: Watch, rng: random.Random, seconds: float, plants: int) -> None:
    """Let things happen for so long, with so many listed files spread over the time.

    Half of them are there before a list has them, and are found by what is remembered of them; the others
    are listed first.
    """
    began, planted, waiting = time.monotonic(), 0, list[bytes]()
    while (elapsed := time.monotonic() - began) < seconds:
        tree.churn(20)
        for content in waiting:
            tree.put(content)
        waiting.clear()
        while planted < plants * elapsed / seconds:
            if planted % 2:
                content, digest = tree.announced()
                waiting.append(content)
                police.add(digest)
            else:
                police.add(tree.plant())
            planted += 1
        police.write()
        watch.look()
        if rng.random() < 0.5:
            watch.kill_a_worker(rng)
        time.sleep(min(0.5, seconds / 40))  # the pace of the unrest, nothing that is waited for
    for content in waiting:
        tree.put(content)


def room(root: Path) -> int:
    """Bytes free where a tree is made."""
    return shutil.disk_usage(root).free
