"""Code that runs inside a real, locked worker, as if a decoder had been taken over, gets nowhere.

The code is a hasher of somebody else's, found by its entry point; a picture's comment says what it tries.
Every attempt is also made in a worker without layers, where it must work: else the test would prove nothing.
"""

from __future__ import annotations

import hashlib
import io
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from scanner.hashing import HashJob, HashResult, WorkerPool, WorkerSettings, absent_layers
from scanner.hashing.process import WorkerProcess

SETTINGS = WorkerSettings(perceptual=("attack",), canary_every=0, base_seconds=20)
PLACE = "/tmp/hostsweep-attack"  # what attacks would make; never there

# Each attempt returns what it got, or raises OSError; `died` means that the kernel ended the worker.
ATTACKS = '''
import ctypes, errno, mmap, os, signal, socket, stat, threading

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p

def call(name, *args):
    result = getattr(libc, name)(*args)
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result

def files():
    """The descriptors of customers' files that this worker holds, this picture's among them."""
    for fd in range(3, 100):
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                yield fd
        except OSError:
            pass

def mine():
    return next(files())

def forked():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)

def executed():
    if os.fork() == 0:
        os.execv("/bin/true", ["true"])
    os.wait()

def connected(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(5)
        s.connect(address)

def sent_udp(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"stolen", ("127.0.0.1", port))

def executable_memory():
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()

def made_executable():
    place = mmap.mmap(-1, 4096)
    at = ctypes.addressof(ctypes.c_char.from_buffer(place))
    call("mprotect", ctypes.c_void_p(at), ctypes.c_size_t(4096), 5)

def memory_file():
    fd = os.memfd_create("code", 0)
    os.write(fd, b"x" * 4096)
    call("mmap", None, ctypes.c_size_t(4096), 5, 2, fd, ctypes.c_long(0))

def thread():
    done = threading.Event()
    t = threading.Thread(target=done.set)
    t.start(); t.join()
    if not done.is_set():
        raise OSError(errno.EAGAIN, "no thread")

TRIES = {
    "open": lambda a: os.close(os.open("/etc/passwd", os.O_RDONLY)),
    "list": lambda a: os.listdir("/"),
    "reopen": lambda a: os.close(os.open(f"/proc/self/fd/{mine()}", os.O_RDONLY)),
    "reopen-writing": lambda a: os.close(os.open(f"/proc/self/fd/{mine()}", os.O_RDWR)),
    "create": lambda a: os.close(os.open(a, os.O_WRONLY | os.O_CREAT, 0o600)),
    "stat": lambda a: os.stat("/etc/passwd"),
    "unlink": lambda a: os.unlink(a),
    "chmod": lambda a: os.fchmod(mine(), 0o777),
    "write": lambda a: os.pwrite(mine(), b"changed", 0),
    "truncate": lambda a: os.ftruncate(mine(), 0),
    "tcp": lambda a: connected(socket.AF_INET, ("127.0.0.1", int(a))),
    "abstract": lambda a: connected(socket.AF_UNIX, "\\0" + a),
    "udp": lambda a: sent_udp(int(a)),
    "fork": lambda a: forked(),
    "exec": lambda a: executed(),
    "ptrace": lambda a: call("ptrace", 0, 0, None, None),
    "kill": lambda a: os.kill(os.getppid(), 0),
    "executable-memory": lambda a: executable_memory(),
    "made-executable": lambda a: made_executable(),
    "memory-file": lambda a: memory_file(),
    "dumpable": lambda a: call("prctl", 4, 1, 0, 0, 0),
    "namespace": lambda a: call("unshare", 0x20000000),
    "duplicate": lambda a: os.close(os.dup(mine())),
    "thread": lambda a: thread(),
    "overrun": lambda a: ctypes.string_at(0),
    "endless": lambda a: [None for _ in iter(int, 1)],
    "hungry": lambda a: bytearray(10 << 30),
}

class Attack:
    kind = "attack"
    accepts_reduced = False

    def hashes(self, picture):
        wanted = picture.info.get("attack")
        if wanted is None:
            return ()
        name, _, argument = wanted.partition(" ")
        try:
            TRIES[name](argument)
            got = "worked"
        except OSError as e:
            got = errno.errorcode.get(e.errno, "error")
        return [("whole", got.encode(), 0)]
'''


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt: "worked", the name of an error, or the problem that is on record."""

    got: str
    result: HashResult
    content: bytes


def picture(attack: str) -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("attack", attack)
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (hash(attack) % 256, 1, 2)).save(out, "PNG", pnginfo=text)
    return out.getvalue()


class Lab:
    """Workers with the attacker's hasher, with all layers or without some."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        plugin = directory / "plugin"
        (plugin / "attack-1.dist-info").mkdir(parents=True)
        (plugin / "attack.py").write_text(ATTACKS)
        (plugin / "attack-1.dist-info" / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: attack\nVersion: 1\n"
        )
        (plugin / "attack-1.dist-info" / "entry_points.txt").write_text(
            "[hostsweep.hashers]\nattack = attack:Attack\n"
        )
        for path in (directory, plugin):
            path.chmod(0o755)

    def pool(self, without: Callable[[str], bool], settings: WorkerSettings = SETTINGS) -> WorkerPool:
        names = [name for name in LAYERS if without(name)]
        code = (
            f"import sys; sys.path.insert(0, {str(self.directory / 'plugin')!r})\n"
            "from scanner.hashing import sandbox, worker\n"
            f"sandbox.LAYERS = tuple(l for l in sandbox.LAYERS if l.name not in {names})\n"
            "worker.main()"
        )
        return WorkerPool(settings, 1, spawn=partial(WorkerProcess, program=("-c", code)))

    def run(
        self, attacks: list[str], without: Callable[[str], bool] = lambda name: False, mode: int = os.O_RDONLY
    ) -> dict[str, Outcome]:
        pool, contents, fds = self.pool(without), [picture(a) for a in attacks], []
        for n, content in enumerate(contents):
            path = self.directory / f"{n}.png"
            path.write_bytes(content)
            path.chmod(0o666)
            fds.append(os.open(path, mode))
        pool.start()
        found: dict[int, HashResult] = {}
        try:
            for n, fd in enumerate(fds):
                pool.submit(HashJob(n, fd, len(contents[n]), media_only=True))
                found |= self._answer(pool)
            for n, content in enumerate(contents):
                if mode == os.O_RDONLY:
                    assert (self.directory / f"{n}.png").read_bytes() == content
        finally:
            pool.stop()
            for fd in fds:
                os.close(fd)
        return {a: Outcome(_got(found[n]), found[n], contents[n]) for n, a in enumerate(attacks)}

    @staticmethod
    def _answer(pool: WorkerPool) -> dict[int, HashResult]:
        """Put one file through: so the next one's worker is fresh if this one's died."""
        end, found = time.monotonic() + 60, list[HashResult]()
        while not found:
            pool.flush()
            select.select([pool.fileno()], [], [], 1)
            assert time.monotonic() < end
            found = pool.poll(time.monotonic())
        return {r.job_id: r for r in found}


def _got(result: HashResult) -> str:
    if result.digests is None:
        return result.kind
    if result.digests.problem:
        return result.digests.problem
    (found,) = result.digests.perceptual
    return found.value.decode()


LAYERS = (
    "close_descriptors", "first_to_be_killed", "limits", "user", "no_capabilities", "no_new_privs",
    "die_with_parent", "not_dumpable", "landlock", "seccomp",
)  # fmt: skip
DIED = "decoder_crashed"
needs_all = pytest.mark.skipif(bool(absent_layers()), reason=f"this kernel lacks {absent_layers()}")


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"))


@pytest.fixture
def listening() -> Iterator[dict[str, str]]:
    """Sockets that attacks could reach; the names of the attacks with them as arguments."""
    tcp, udp = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    abstract = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    name = f"hostsweep-{os.getpid()}-{threading.get_ident()}"
    abstract.bind(b"\0" + name.encode())
    abstract.listen()
    yield {
        "tcp": f"tcp {tcp.getsockname()[1]}",
        "udp": f"udp {udp.getsockname()[1]}",
        "abstract": f"abstract {name}",
    }
    for s in (tcp, udp, abstract):
        s.close()


# What seccomp answers with an error, and the rest, for which it ends the process.
REFUSED = {"open": "EACCES", "list": "EACCES", "reopen": "EACCES", "reopen-writing": "EACCES"}
ENDED = (
    "unlink", "chmod", "write", "truncate", "tcp", "abstract", "udp", "fork", "exec", "ptrace", "kill",
    "executable-memory", "made-executable", "memory-file", "dumpable", "namespace", "duplicate",
)  # fmt: skip


@needs_all
def test_code_inside_a_locked_worker_can_do_nothing_and_costs_only_its_own_file(
    lab: Lab, listening: dict[str, str]
) -> None:
    attacks = [*REFUSED, f"create {lab.directory}/new", "thread"]
    attacks += [listening.get(a, f"unlink {lab.directory}/0.png" if a == "unlink" else a) for a in ENDED]
    found = lab.run(attacks)
    got = {attack.partition(" ")[0]: outcome.got for attack, outcome in found.items()}
    assert got == {**REFUSED, "create": "EACCES", "thread": "worked", **dict.fromkeys(ENDED, DIED)}
    for outcome in found.values():
        assert outcome.result.digests is not None
        assert outcome.result.digests.exact["sha256"] == hashlib.sha256(outcome.content).digest()


@needs_all
def test_landlock_alone_keeps_files_tcp_and_other_processes_out_of_reach(
    lab: Lab, listening: dict[str, str]
) -> None:
    attacks = [*REFUSED, f"create {lab.directory}/new", f"unlink {lab.directory}/0.png"]
    found = lab.run(
        [*attacks, listening["tcp"], listening["abstract"], "kill"], lambda name: name != "landlock"
    )
    got = {attack.partition(" ")[0]: outcome.got for attack, outcome in found.items()}
    assert got == {
        **REFUSED, "create": "EACCES", "unlink": "EACCES",
        "tcp": "EACCES", "abstract": "EPERM", "kill": "EPERM",
    }  # fmt: skip


def test_every_attack_works_in_a_worker_without_layers(lab: Lab, listening: dict[str, str]) -> None:
    attacks = [
        *REFUSED,
        f"create {lab.directory}/new",
        *(listening.get(a, a) for a in ENDED if a != "unlink"),
    ]
    found = lab.run([*attacks, f"unlink {lab.directory}/new"], lambda name: True, os.O_RDWR)
    assert {attack: o.got for attack, o in found.items() if o.got != "worked"} == {}


@pytest.mark.parametrize(
    ("attack", "problem", "reason"), [("overrun", DIED, "crash"), ("hungry", "out_of_memory", "memory")]
)
def test_overrun_and_ten_gigabytes_end_one_worker_and_leave_exact_digests(
    lab: Lab, attack: str, problem: str, reason: str
) -> None:
    pool, content = lab.pool(lambda name: False), picture(attack)
    (lab.directory / "x").write_bytes(content)
    fd = os.open(lab.directory / "x", os.O_RDONLY)
    pool.start()
    try:
        pool.submit(HashJob(0, fd, len(content), media_only=True))
        result = lab._answer(pool)[0]
        assert _got(result) == problem and dict(pool.restarts) == {reason: 1}
        assert result.digests is not None
        assert result.digests.exact["sha256"] == hashlib.sha256(content).digest()
    finally:
        pool.stop()
        os.close(fd)


@pytest.fixture
def looping(lab: Lab) -> Iterator[Callable[[WorkerSettings], WorkerPool]]:
    """A pool of these settings whose worker is in an endless loop."""
    pools: list[WorkerPool] = []
    content = picture("endless")
    (lab.directory / "x").write_bytes(content)
    fd = os.open(lab.directory / "x", os.O_RDONLY)

    def make(settings: WorkerSettings) -> WorkerPool:
        pool = lab.pool(lambda name: False, settings)
        pools.append(pool)
        pool.start()
        pool.submit(HashJob(0, fd, len(content), media_only=True))
        pool.flush()
        return pool

    yield make
    for pool in pools:
        pool.stop()
    os.close(fd)


def test_decoder_that_never_returns_is_ended_at_the_time_limit(
    looping: Callable[[WorkerSettings], WorkerPool],
) -> None:
    pool = looping(SETTINGS)
    assert select.select([pool.fileno()], [], [], 60)[0]  # the exact digests
    assert pool.poll(0.0) == []
    deadline = pool.deadline()
    assert deadline is not None
    (result,) = pool.poll(deadline)
    assert _got(result) == "decoder_timeout" and dict(pool.restarts) == {"timeout": 1}


def test_kernel_ends_a_worker_that_uses_too_much_processor_time_though_the_pool_does_not_look(
    looping: Callable[[WorkerSettings], WorkerPool],
) -> None:
    settings = WorkerSettings(perceptual=("attack",), canary_every=0, recycle_seconds=0.5, max_seconds=0.5)
    assert settings.cpu_seconds == 2
    pool, end, results = looping(settings), time.monotonic() + 60, list[HashResult]()
    while not results:
        assert time.monotonic() < end
        select.select([pool.fileno()], [], [], 1)
        results = pool.poll(0.0)  # for the pool no time goes by
    assert _got(results[0]) == DIED and dict(pool.restarts) == {"crash": 1}


def test_a_thread_that_is_about_to_end_does_not_keep_a_worker_from_starting() -> None:
    code = (
        "import threading, time\n"
        "from scanner.hashing import sandbox\n"
        "threading.Thread(target=time.sleep, args=(0.2,)).start()\n"
        "raise SystemExit(sandbox._threads_left() != 1)\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
