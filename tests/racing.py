"""Attackers that swap things under the securer, each in a process of its own, and the account afterwards.

They destroy nothing: whatever they move away they move to a new name, so that everything can be found again.
Contents are unique: `listed N …` for what is to be secured, `innocent N` for what is not.
"""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import json
import mmap
import os
import random
import re
import signal
import stat
import struct
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from fakes_response import CASE, OWNER, FixedClock, digests_of

import scanner.response.securing as securing
from scanner.model.ports import SystemIds
from scanner.model.steps import Step, StepState
from scanner.pipeline.opening import OpenDirectory
from scanner.response import Securer, SecureRequest, Vault, VaultLimits, open_root, recover
from scanner.system.renaming import rename_noreplace

NAME = "a.jpg"
INNOCENTS = 16
POPULATION = 40  # listed files that are about at any time
HARVEST = 250  # rounds after which the vault is looked through and emptied, and open steps are recovered
_CLONE_NEWNS, _MS_BIND, _MS_REC, _MS_PRIVATE, _MNT_DETACH = 0x20000, 4096, 16384, 1 << 18, 2
_EXCHANGE = 2
_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    arguments = [os.fsencode(a) for a in (source, target, kind)]
    if _libc.mount(*arguments, ctypes.c_ulong(flags), os.fsencode(options)):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def unmount(target: str) -> None:
    """umount2(2), lazily."""
    if _libc.umount2(os.fsencode(target), _MNT_DETACH):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def exchange(first_fd: int, first: str, second_fd: int, second: str) -> None:
    """renameat2(2) with RENAME_EXCHANGE."""
    names = os.fsencode(first), os.fsencode(second)
    if _libc.renameat2(first_fd, names[0], second_fd, names[1], _EXCHANGE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def in_own_mounts(work: Callable[[], dict[str, object]]) -> dict[str, object]:
    """Run work in a child with mounts of its own (as root), which vanish with it; returns its answer."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            if os.geteuid() == 0:
                if _libc.unshare(_CLONE_NEWNS):
                    raise OSError(ctypes.get_errno(), "unshare")
                mount("none", "/", "", _MS_REC | _MS_PRIVATE)
            answer = work()
        except BaseException:  # noqa: BLE001 - told to the parent, which raises it
            answer = {"error": traceback.format_exc()}
        with os.fdopen(writer, "w") as out:
            json.dump(answer, out)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        text = said.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else {"error": "the child died without a word"}


class MemoryJournal:
    """A StepJournal in memory: nobody dies in these tests."""

    def __init__(self) -> None:
        self._open: dict[str, Step] = {}

    def begin(self, step: Step) -> None:
        self._open[step.id] = step

    def finish(self, step_id: str, state: StepState, outcome: str) -> None:
        del self._open[step_id]

    def open_steps(self) -> Sequence[Step]:
        return list(self._open.values())


class Strikes:
    """Counters that several processes share; each is written by one of them only."""

    KINDS = ("file", "exchange", "link", "parent", "mount", "write")

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    def hit(self, kind: str) -> None:
        at = 8 * self.KINDS.index(kind)
        (n,) = struct.unpack_from("Q", self._memory, at)
        struct.pack_into("Q", self._memory, at, n + 1)

    def counts(self) -> dict[str, int]:
        return {k: struct.unpack_from("Q", self._memory, 8 * i)[0] for i, k in enumerate(self.KINDS)}


@dataclass
class Arena:
    """A volume with two directories whose names are swapped, and a tree outside that nobody may touch."""

    base: Path
    vault_at: Path
    seed: int
    strikes: Strikes = field(default_factory=Strikes)

    def build(self) -> None:
        self.root, self.outside = self.base / "volume", self.base / "outside"
        for path in (self.root / "d", self.root / "e", self.outside / "decoy"):
            path.mkdir(parents=True)
        for n in range(4):
            (self.outside / f"secret-{n}").write_bytes(b"outside %d" % n)
            (self.outside / "decoy" / f"{NAME if n == 0 else n}").write_bytes(b"decoy %d" % n)
        self.fds = [os.open(self.root / d, os.O_RDONLY | os.O_DIRECTORY) for d in "de"]
        self.root_fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        for n in range(INNOCENTS):
            self._innocent(self.root / "de"[n % 2] / f"innocent-{n}", n)
        self.innocents = self.volume_by_inode()
        self.sentinels = look_through(self.outside)

    def reopen(self) -> None:
        """Descriptors of our own after a fork: a listing's position belongs to all who share one."""
        self.fds = [os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd) for fd in self.fds]

    def _innocent(self, path: Path, n: int) -> None:
        if n % 4 == 2:
            path.symlink_to(self.outside / f"secret-{n % 4}")
            return
        if n % 8 == 7:
            path.mkdir()
            (path / "inside").write_bytes(b"inside %d" % n)
        else:
            path.write_bytes(b"innocent %d" % n)
        os.chmod(path, 0o640 + n % 8)
        with suppress(OSError):
            os.setxattr(path, "user.mark", b"%d" % n)
        if os.geteuid() == 0:
            os.chown(path, 10_000 + n, 20_000 + n)
        os.utime(path, ns=(10**18 + n, 10**18 + 7 * n))

    def volume_by_inode(self) -> dict[int, object]:
        """What is in the volume, by inode, with all but ctime, access time and number of names."""
        return {st.st_ino: looks for st, looks in _walk(self.root)}


def _walk(top: Path) -> Iterator[tuple[os.stat_result, object]]:
    for folder, _, _ in os.walk(top):
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            st = os.lstat(path)
            # A directory's times and size are about what is in it.
            times = () if stat.S_ISDIR(st.st_mode) else (st.st_size, st.st_mtime_ns)
            yield st, (st.st_mode, st.st_uid, st.st_gid, times, _xattrs(path), _content(path, st))


def _content(path: str, st: os.stat_result) -> str:
    if stat.S_ISLNK(st.st_mode):
        return os.readlink(path)
    if not stat.S_ISREG(st.st_mode):
        return ""
    with open(path, "rb") as f:
        return f.read().decode("latin-1")


def _xattrs(path: str) -> list[tuple[str, str]]:
    with suppress(OSError):
        names = sorted(os.listxattr(path, follow_symlinks=False))
        return [(n, os.getxattr(path, n, follow_symlinks=False).decode("latin-1")) for n in names]
    return []


def look_through(top: Path) -> list[object]:
    """A tree with all its metadata, change times and numbers of names included."""
    found = [(st.st_ino, st.st_ctime_ns, st.st_nlink, looks) for st, looks in _walk(top)]
    return sorted(found, key=str)


# The attackers. Each runs for ever.


def _breathe(chance: random.Random) -> None:
    """Some tens of microseconds: many strikes a round all the same, and the securer gets a processor too."""
    time.sleep(chance.random() / 5000)


def swap_files(arena: Arena, chance: random.Random) -> None:
    """Move away what stands at the name, and something else to it."""
    for n in itertools.count():
        fd = chance.choice(arena.fds)
        with suppress(OSError):
            _rename(fd, NAME, chance.choice(arena.fds), f"aside-{n}")
        with suppress(OSError):
            _rename(fd, _some(chance, fd), fd, NAME)
            arena.strikes.hit("file")
        _breathe(chance)


def _rename(fd: int, source: str, target_fd: int, target: str) -> None:
    rename_noreplace(fd, os.fsencode(source), target_fd, os.fsencode(target))


def _some(chance: random.Random, fd: int) -> str:
    """Another name that is there."""
    names = [n for n in os.listdir(fd) if n != NAME]
    return chance.choice(names or ["none"])


def exchange_files(arena: Arena, chance: random.Random) -> None:
    """Exchange what stands at the name with something else, in one call."""
    while True:
        fd, other = chance.choice(arena.fds), chance.choice(arena.fds)
        with suppress(OSError):
            exchange(fd, NAME, other, _some(chance, other))
            arena.strikes.hit("exchange")
        _breathe(chance)


def add_links(arena: Arena, chance: random.Random) -> None:
    """Give what stands at the name a second name; now and then take such names away again."""
    trash = os.open(_made(arena.root / "trash"), os.O_RDONLY | os.O_DIRECTORY)
    for n in itertools.count():
        fd = chance.choice(arena.fds)
        name = f"link-{n}"
        with suppress(OSError):
            source = NAME if n % 2 else _some(chance, fd)
            os.link(source, name, src_dir_fd=fd, dst_dir_fd=fd, follow_symlinks=False)
            if n % 2 == 0:
                _rename(fd, name, fd, NAME)
            arena.strikes.hit("link")
        _breathe(chance)
        if n % 8 == 0:
            for each in os.listdir(fd):
                _take_away(fd, each, trash)


def _take_away(fd: int, name: str, trash: int) -> None:
    """Remove one of several names of an inode, where nobody can change what it stands for."""
    with suppress(OSError):
        st = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if stat.S_ISDIR(st.st_mode) or st.st_nlink == 1:
            return
        _rename(fd, name, trash, name)
        if _plenty(os.stat(name, dir_fd=trash, follow_symlinks=False)):
            os.unlink(name, dir_fd=trash)
        else:
            _rename(trash, name, fd, f"back-{time.monotonic_ns()}")


def _plenty(st: os.stat_result) -> bool:
    return not stat.S_ISDIR(st.st_mode) and st.st_nlink > 1


def _made(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path


def swap_parents(arena: Arena, chance: random.Random) -> None:
    """Exchange the two directories, so that the path leads to the other one."""
    while True:
        with suppress(OSError):
            exchange(arena.root_fd, "d", arena.root_fd, "e")
            arena.strikes.hit("parent")
        time.sleep(chance.random() / 500)


def swap_mounts(arena: Arena, chance: random.Random) -> None:
    """Mount a directory from outside the volume over the file's directory, and take it away again."""
    while True:
        with suppress(OSError):
            mount(str(arena.outside / "decoy"), str(arena.root / "d"), "", _MS_BIND)
            arena.strikes.hit("mount")
        time.sleep(chance.random() / 1000)
        for name in "de":
            with suppress(OSError):
                unmount(str(arena.root / name))
        time.sleep(chance.random() / 200)


def write_files(arena: Arena, chance: random.Random) -> None:
    """Write to listed files in place, keeping them open for a while: `listed` becomes `LISTED` and back."""
    while True:
        fd = chance.choice(arena.fds)
        with suppress(OSError):
            opened = os.open(NAME, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=fd)
            with os.fdopen(opened, "r+b", buffering=0) as f:
                for _ in range(chance.randrange(6)):
                    word = os.pread(f.fileno(), 6, 0)
                    if word.lower() == b"listed":
                        os.pwrite(f.fileno(), word.swapcase(), 0)
                        arena.strikes.hit("write")
                    time.sleep(chance.random() / 1000)
        time.sleep(chance.random() / 200)


@contextmanager
def attackers(arena: Arena) -> Iterator[None]:
    """All of them, each in a process of its own, until the block ends."""
    kinds = [swap_files, exchange_files, add_links, swap_parents, write_files]
    if os.geteuid() == 0:
        kinds.append(swap_mounts)
    children = []
    for number, attack in enumerate(kinds):
        child = os.fork()
        if child == 0:
            try:
                arena.reopen()
                attack(arena, random.Random(f"{arena.seed} {number}"))
            except BaseException:  # noqa: BLE001 - a forked child must not return into pytest
                traceback.print_exc(file=sys.stderr)
            finally:
                os._exit(1)
        children.append(child)
    try:
        yield
        dead = [os.waitpid(child, os.WNOHANG)[0] for child in children]
        assert not any(dead), "an attacker died"
    finally:
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(child, 0)


class Defender:
    """Secures what stands at the name, as a scan does, while the attackers are at it."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.chance = random.Random(arena.seed)
        self.journal = MemoryJournal()
        self.vault = Vault(arena.vault_at, VaultLimits(reserve=0, reserve_inodes=0), FixedClock())
        self.vault.prepare()
        self.securer = Securer(self.vault, self.journal, FixedClock(), SystemIds(), OWNER)
        self.outcomes: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.generated = 0
        self.in_vault: set[int] = set()
        self.hashed: dict[str, bytes] = {}

    def run(self, rounds: int) -> None:
        """So many requests to secure; each round also brings a listed file to the name."""
        done = 0
        for _ in range(100 * rounds):
            for fd in self.arena.fds:
                self._bring(fd)
            done += self._round()
            if done and done % HARVEST == 0:
                self.harvest()
                recover(self.journal, self.vault, open_root, lambda step: step.owner == OWNER)
                self.harvest()
            if done == rounds:
                return
        raise AssertionError(f"only {done} rounds came about: {self.seen}")

    def _bring(self, fd: int) -> None:
        """See to it that a listed file is at the name, a new one or one that was moved away."""
        if self._is_listed(fd, NAME):
            return
        if self.generated - len(self.in_vault) - len(self.hashed) >= POPULATION:
            names = os.listdir(fd)
            self.chance.shuffle(names)
            name = next((n for n in names if self._is_listed(fd, n)), "")
            with suppress(OSError):
                exchange(fd, name, fd, NAME)
                return
            with suppress(OSError):
                _rename(fd, name, fd, NAME)
            if name:
                return  # else they are all in staging, or in the other directory
        with suppress(OSError):
            n, self.generated = self.generated, self.generated + 1
            content = (b"listed %d " % n).ljust(self.chance.choice((30, 3000, 200_000)), b"x")
            fresh = os.open("fresh", os.O_WRONLY | os.O_CREAT | os.O_EXCL, dir_fd=self.arena.root_fd)
            with os.fdopen(fresh, "wb") as f:
                f.write(content)
            try:
                _rename(self.arena.root_fd, "fresh", fd, NAME)
            except FileExistsError:
                _rename(self.arena.root_fd, "fresh", fd, f"listed-{n}")

    @staticmethod
    def _is_listed(fd: int, name: str) -> bool:
        try:
            opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=fd)
        except OSError:
            return False
        try:
            return os.pread(opened, 6, 0).lower() == b"listed"
        except OSError:  # a directory
            return False
        finally:
            os.close(opened)

    def _round(self) -> bool:
        directory = OpenDirectory(self.arena.root_fd, b"d", one_mount=True)
        try:
            fd, st, atime_ns = directory.open(os.fsencode(NAME))
        except OSError as e:
            self.seen[f"open: {e.strerror}"] += 1
            directory.close()
            return False
        try:
            content = os.pread(fd, 1 << 20, 0)
            if not content.lower().startswith(b"listed"):
                self.seen["innocent at the name"] += 1
                return False
            request = SecureRequest(
                volume="web",
                root=os.fsencode(self.arena.root),
                root_fd=self.arena.root_fd,
                directory=b"d",
                name=os.fsencode(NAME),
                fd=fd,
                stat=st,
                directory_fd=directory.fd,
                digests=digests_of(fd),
                case_id=CASE,
                atime_ns=atime_ns,
            )
            result = self.securer.secure(request)
            self._note(result, request.digests.exact["sha256"], directory)
            return True
        finally:
            os.close(fd)
            directory.close()

    def _note(self, result: securing.SecureResult, sha256: bytes, directory: OpenDirectory) -> None:
        self.outcomes[result.kind] += 1
        self.seen["kept in staging"] += "kept in staging" in result.text
        self.seen["links left"] += result.links_left > 0
        self.seen["open for writing"] += "open for writing" in result.text
        with suppress(OSError):
            there = os.stat("d", dir_fd=self.arena.root_fd)
            self.seen["parent elsewhere"] += there.st_ino != os.fstat(directory.fd).st_ino
        if result.secured:
            self.hashed[result.quarantine_id] = sha256

    def harvest(self) -> None:
        """Everything in the vault is what was hashed for it; then it is emptied."""
        for item in self.vault.items():
            path = self.vault.object_path(item)
            content = path.read_bytes()
            match = re.match(rb"listed (\d+) ", content.lower())
            assert match, content[:40]
            # Recovery finishes some into the vault that the securer had to leave in staging.
            assert hashlib.sha256(content).digest() == self.hashed.get(item.id, item.sha256), content[:40]
            self.in_vault.add(int(match[1]))
        assert self.vault.verify().problems == ()
        for item in self.vault.items():
            self.vault.discard(item.id, item.sha256)
        self.hashed.clear()

    def settle(self) -> dict[str, int]:
        """After the attack: free names until every open step is ended. Returns what had to be freed."""
        freed: Counter[str] = Counter()
        for n in range(4 * len(self.journal.open_steps()) + 4):
            for note in recover(self.journal, self.vault, open_root, lambda step: step.owner == OWNER):
                freed[str(note.state)] += 1
                if note.state is StepState.INTENT:
                    assert re.search("taken|written to since|not what was hashed", note.text), note.text
            for fd in self.arena.fds:
                with suppress(OSError):
                    _rename(fd, NAME, fd, f"freed-{n}")
            if not self.journal.open_steps():
                break
        return dict(freed)


@contextmanager
def displaced(seen: Counter[str]) -> Iterator[None]:
    """Count by type what the securer moved by mistake and put back."""
    put_back = securing.put_back

    def looked_at(staging, token, directory_fd, name):  # type: ignore[no-untyped-def]
        st = os.stat(token, dir_fd=staging.fd, follow_symlinks=False)
        kind = "hard link" if _plenty(st) else stat.filemode(st.st_mode)[0]
        seen[f"displaced {kind}"] += 1
        put_back(staging, token, directory_fd, name)

    securing.put_back = looked_at
    try:
        yield
    finally:
        securing.put_back = put_back


@contextmanager
def unsynced() -> Iterator[None]:
    """Leave out syncing: it changes no order that another process sees, and takes most of the time."""
    kept = os.fsync, os.fdatasync
    os.fsync = os.fdatasync = lambda fd: None
    try:
        yield
    finally:
        os.fsync, os.fdatasync = kept


def fight(arena: Arena, rounds: int) -> dict[str, object]:
    """So many rounds, then the account: nothing lost, nothing wrongly kept, nothing outside touched."""
    arena.build()
    defender = Defender(arena)
    started = time.monotonic()
    with attackers(arena), displaced(defender.seen):
        defender.run(rounds)
    seconds = time.monotonic() - started
    for name in "de" * 4:
        with suppress(OSError):
            unmount(str(arena.root / name))
    ended = defender.settle()
    defender.harvest()
    staging = arena.root / ".hostsweep-staging"
    assert defender.journal.open_steps() == []
    assert os.listdir(staging) == [], "nothing stays in staging without a record"
    found = arena.volume_by_inode()
    for inode, looks in arena.innocents.items():
        assert found.get(inode) == looks, f"innocent changed: {looks} -> {found.get(inode)}"
    listed = [re.match(r"listed (\d+) ", str(looks[-1]).lower()) for looks in found.values()]  # type: ignore[index]
    about = {int(m[1]) for m in listed if m}
    lost = set(range(defender.generated)) - about - defender.in_vault
    assert not lost, f"lost: {sorted(lost)[:10]}"
    assert look_through(arena.outside) == arena.sentinels, "something outside the volume was touched"
    return {
        "rounds": rounds,
        "seconds": round(seconds, 1),
        "outcomes": dict(defender.outcomes),
        "seen": dict(defender.seen),
        "strikes": arena.strikes.counts(),
        "recovered": ended,
        "generated": defender.generated,
        "in_vault": len(defender.in_vault),
    }


def file_system(path: Path) -> str:
    """The type of the file system of a path, as stat(1) calls it."""
    return subprocess.run(
        ["stat", "-f", "-c", "%T", str(path)], capture_output=True, text=True, check=True
    ).stdout.strip()


def mount_ext4(image: Path, target: Path) -> None:
    """A new ext4 of its own, in a file.

    Raises:
        OSError, subprocess.CalledProcessError: this machine has no loop devices or no mkfs.
    """
    target.mkdir(exist_ok=True)
    with open(image, "wb") as f:
        f.truncate(1 << 30)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(target)], check=True, capture_output=True)
