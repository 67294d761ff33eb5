"""Workers that crash, hang, lie or are fed bombs cost their own file, and nothing else."""

from __future__ import annotations

import hashlib
import io
import os
import select
import signal
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from scanner.hashing import HashJob, HashResult, WorkerPool, WorkerSettings, frames
from scanner.hashing.frames import Done, Exact, ReadStatus
from scanner.hashing.process import WorkerHandle
from scanner.model.errors import WorkerError
from scanner.system import descriptors

FOREVER = 10_000.0  # seconds past any time limit
PDQ = WorkerSettings()
# Answers count at once: where a certain task must be the current one, or is answered by one who knows no PDQ.
BELIEVED = WorkerSettings(canary_every=0)


def drain(pool: WorkerPool, wanted: int) -> dict[int, HashResult]:
    """Results until there are so many; fails on one that comes twice, or after a minute."""
    found: dict[int, HashResult] = {}
    end = time.monotonic() + 60
    pool.prove()
    pool.flush()
    while len(found) < wanted:
        waiter = select.poll()
        waiter.register(pool.fileno(), select.POLLIN)
        waiter.poll(1000)
        assert time.monotonic() < end
        for result in pool.poll(time.monotonic()):
            assert result.job_id not in found
            found[result.job_id] = result
    return found


def settle(pool: WorkerPool) -> None:
    """Wait until all workers are ready; the pool must have no jobs."""
    waiter = select.poll()
    waiter.register(pool.fileno(), select.POLLIN)
    while pool.deadline() is not None:
        waiter.poll(1000)
        assert pool.poll(time.monotonic()) == []


@pytest.fixture
def make_job(tmp_path: Path) -> Iterator[Callable[..., HashJob]]:
    fds: list[int] = []

    def make(content: bytes = b"text", *, media_only: bool = False) -> HashJob:
        path = tmp_path / str(len(fds))
        path.write_bytes(content)
        fds.append(os.open(path, os.O_RDONLY))
        return HashJob(len(fds) - 1, fds[-1], len(content), media_only)

    yield make
    for fd in fds:
        os.close(fd)


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool(BELIEVED, 1)
    pool.start()
    yield pool
    pool.stop()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, rows: bytes = b"", *, colour_type: int = 2, extra: bytes = b"") -> bytes:
    """A PNG that claims a size; `rows` is what its pixel data unpacks to."""
    head = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def text_bomb() -> bytes:
    """A PNG whose comment unpacks to 200 MB."""
    data = b"Comment\0\0" + zlib.compress(bytes(200_000_000), 9)
    return png(8, 8, b"\0" * 200, extra=chunk(b"zTXt", data))


def gif(frames: int) -> bytes:
    """An animation whose frames are all as large as its canvas and pack to next to nothing."""
    one = io.BytesIO()
    Image.linear_gradient("L").resize((400, 400)).save(one, "GIF")
    data = one.getvalue()
    frame = data[data.index(b"\x2c\0\0\0\0") : -1]
    return data[:-1] + frame * frames + b";"


def tiff(width: int, height: int) -> bytes:
    """A TIFF that claims a size: tags 256 and 257, of type LONG."""
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "TIFF")
    data = out.getvalue()
    for tag, value in ((256, width), (257, height)):
        at = data.index(struct.pack("<HHI", tag, 4, 1)) if struct.pack("<HHI", tag, 4, 1) in data else -1
        at = at if at >= 0 else data.index(struct.pack("<HHI", tag, 3, 1))
        data = data[:at] + struct.pack("<HHII", tag, 4, 1, value) + data[at + 12 :]
    return data


def webp() -> bytes:
    """A lossless WebP of the format's largest size, 16383x16383, cut off after the header."""
    bits = 16382 | 16382 << 14
    body = b"VP8L" + struct.pack("<I", 64) + b"\x2f" + struct.pack("<I", bits) + bytes(59)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def photo(side: int = 300) -> bytes:
    out = io.BytesIO()
    Image.radial_gradient("L").resize((side, side)).convert("RGB").save(out, "JPEG")
    return out.getvalue()


def expect_problem(result: HashResult, content: bytes, problem: str) -> None:
    """The picture has no perceptual hash and says why; its exact digests are there all the same."""
    assert result.status == "hashed"
    assert result.digests is not None
    assert (result.digests.problem, result.digests.perceptual) == (problem, ())
    assert result.digests.exact["sha256"] == hashlib.sha256(content).digest()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (png(60_000, 60_000), "too_many_pixels"),
        (text_bomb(), "undecodable"),
        (tiff(60_000, 60_000), "too_many_pixels"),
        (webp(), "undecodable"),
        (photo()[:900], "undecodable"),
        (b"\xff\xd8\xff" + b"nonsense" * 9, "undecodable"),
        (b"gimp xcf v001\0" + b"\0" * 99, "unsupported_format"),
    ],
    ids=["pixels", "comment", "tiff", "webp", "truncated", "nonsense", "unsupported"],
)
def test_bomb_or_broken_picture_keeps_its_exact_digests_and_costs_no_worker(
    pool: WorkerPool, make_job: Callable[..., HashJob], content: bytes, problem: str
) -> None:
    pool.submit(make_job(content))
    pool.submit(make_job(photo()))
    pids = pool.pids
    found = drain(pool, 2)
    expect_problem(found[0], content, problem)
    assert found[1].digests is not None and found[1].digests.perceptual
    assert pool.pids == pids and not pool.restarts


def test_an_animation_of_thousands_of_frames_is_followed_for_a_bounded_time_and_that_is_told(
    pool: WorkerPool, make_job: Callable[..., HashJob]
) -> None:
    content = gif(5_000)
    pool.submit(make_job(content))
    digests = drain(pool, 1)[0].digests
    assert digests is not None and digests.perceptual and digests.problem == "partial"
    assert digests.exact["sha256"] == hashlib.sha256(content).digest() and not pool.restarts


def test_picture_beyond_the_memory_limit_is_out_of_memory_and_the_next_gets_a_fresh_worker(
    make_job: Callable[..., HashJob],
) -> None:
    pool = WorkerPool(WorkerSettings(address_space=700 << 20), 1)
    pool.start()
    try:
        content = png(16_000, 16_000)  # 1 GB as pixels, within the pixel limit
        for job in (make_job(content), make_job(photo())):
            pool.submit(job)
        found = drain(pool, 2)
        expect_problem(found[0], content, "out_of_memory")
        assert found[1].digests is not None and found[1].digests.perceptual
        assert dict(pool.restarts) == {"memory": 1}
    finally:
        pool.stop()


@pytest.mark.parametrize("killed_by", [signal.SIGKILL, signal.SIGSEGV])
def test_crash_blames_the_current_file_and_the_others_are_hashed(
    pool: WorkerPool, make_job: Callable[..., HashJob], killed_by: signal.Signals
) -> None:
    os.kill(pool.pids[0], signal.SIGSTOP)
    for _ in range(40):
        pool.submit(make_job())
    pool.flush()
    os.kill(pool.pids[0], killed_by)
    os.kill(pool.pids[0], signal.SIGCONT)
    found = drain(pool, 40)
    assert (found[0].status, found[0].kind, found[0].digests) == ("failed", "crash", None)
    assert {found[i].status for i in range(1, 40)} == {"hashed"}
    assert dict(pool.restarts) == {"crash": 1}


def test_hang_ends_at_the_time_limit_and_the_others_are_hashed(
    pool: WorkerPool, make_job: Callable[..., HashJob]
) -> None:
    os.kill(pool.pids[0], signal.SIGSTOP)
    for _ in range(3):
        pool.submit(make_job())
    pool.flush()
    deadline = pool.deadline()
    assert deadline is not None
    assert pool.poll(deadline - 0.001) == []
    (hung,) = pool.poll(deadline)
    assert (hung.job_id, hung.status, hung.kind) == (0, "failed", "timeout")
    assert {(i, r.status) for i, r in drain(pool, 2).items()} == {(1, "hashed"), (2, "hashed")}
    assert dict(pool.restarts) == {"timeout": 1}


def test_time_limit_grows_with_the_file_up_to_a_most() -> None:
    settings = WorkerSettings(base_seconds=10, bytes_per_second=1000, max_seconds=100)
    assert [settings.seconds_for(n) for n in (0, 5000, 2**63)] == [10, 15, 100]


def test_idle_worker_that_dies_is_replaced_and_no_file_is_blamed(
    pool: WorkerPool, make_job: Callable[..., HashJob]
) -> None:
    os.kill(pool.pids[0], signal.SIGKILL)
    pool.submit(make_job())
    found = drain(pool, 1)
    assert found[0].status == "hashed" or found[0].kind == "crash"  # sent before or after its end was seen
    assert pool.restarts["crash"] == 1


def test_two_hundred_files_with_crashes_lose_no_job_and_no_descriptor(
    make_job: Callable[..., HashJob],
) -> None:
    jobs = [make_job(b"%d" % i) for i in range(200)]
    before = os.listdir("/proc/self/fd")
    pool = WorkerPool(BELIEVED, 2)
    pool.start()
    found: dict[int, HashResult] = {}
    for first in range(0, 200, 40):
        settle(pool)
        victim = pool.pids[0]
        os.kill(victim, signal.SIGSTOP)
        for job in jobs[first : first + 40]:
            pool.submit(job)
        pool.flush()
        os.kill(victim, signal.SIGKILL)
        found |= drain(pool, 40)
    assert set(found) == set(range(200))
    failed = [r.kind for r in found.values() if r.status == "failed"]
    assert failed == ["crash"] * 5 and dict(pool.restarts) == {"crash": 5}
    for i, result in found.items():
        if result.digests is not None:
            assert result.digests.exact["md5"] == hashlib.md5(b"%d" % i).digest()
    pool.stop()
    assert os.listdir("/proc/self/fd") == before


LATER = 10.0  # seconds after its start a pool has a spare worker


def with_spare(pool: WorkerPool) -> int:
    """Wait until the spare worker is ready; returns its process id."""
    waiter = select.poll()
    waiter.register(pool.fileno(), select.POLLIN)
    end = time.monotonic() + 60
    while pool.spare is None:
        assert time.monotonic() < end
        assert pool.poll(time.monotonic() + LATER) == []
        waiter.poll(1000)
    return pool.spare


def test_after_a_crash_the_next_answer_is_from_a_worker_that_was_there_before_it(
    pool: WorkerPool, make_job: Callable[..., HashJob]
) -> None:
    spare, victim = with_spare(pool), pool.pids[0]
    assert spare not in pool.pids
    os.kill(victim, signal.SIGSTOP)
    for _ in range(2):
        pool.submit(make_job())
    pool.flush()
    os.kill(victim, signal.SIGKILL)
    found = drain(pool, 2)
    assert (found[0].kind, found[1].status, pool.pids) == ("crash", "hashed", (spare,))
    another = with_spare(pool)
    assert another not in (victim, spare)
    pool.stop()
    assert not any(os.path.exists(f"/proc/{pid}") for pid in (victim, spare, another))


class Liar:
    """A worker that the test plays: `theirs` is its end of the socket."""

    made: list[Liar]

    def __init__(self) -> None:
        self.socket, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.setblocking(False)
        self.theirs.settimeout(10)
        self.pid = 0
        self.killed = False

    def kill(self) -> None:
        self.killed = True
        self.theirs.close()

    def reap(self, seconds: float = 0.0) -> bool:
        self.theirs.close()
        return True

    def last_words(self) -> str:
        return "nothing"

    def say(self, message: bytes) -> None:
        self.theirs.send(message)

    def take(self) -> list[int]:
        """Receive one message of jobs; returns their ids."""
        message, fds = descriptors.receive(self.theirs, frames.REQUEST_SIZE, frames.MAX_JOBS)
        for fd in fds:
            os.close(fd)
        return [job.id for job in frames.parse_jobs(message)]


class Stage:
    """A pool whose workers are all played by the test; each is ready as soon as it is made."""

    def __init__(self, *, ready: bool = True, settings: WorkerSettings = BELIEVED) -> None:
        self.made: list[Liar] = []
        self.ready = ready
        self.pool = WorkerPool(settings, 1, spawn=self.spawn)

    def spawn(self, settings: WorkerSettings) -> WorkerHandle:
        liar = Liar()
        if self.ready:
            liar.say(frames.encode_ready(["limits"]))
        self.made.append(liar)
        return liar

    def with_jobs(self, n: int) -> Liar:
        self.pool.start()
        for i in range(n):
            self.pool.submit(HashJob(i, 0, 10, False))
        self.pool.flush()
        assert self.made[0].take() == list(range(n))
        return self.made[0]


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.pool.stop()


DIGESTS = {"md5": b"m" * 16, "sha1": b"s" * 20, "sha256": b"S" * 32}


def exact(job: int, *, more: bool = False, **changes: object) -> bytes:
    fields = {
        "status": ReadStatus.HASHED,
        "changed": False,
        "size": 10,
        "media_type": "image/png",
        "digests": DIGESTS,
    }
    return frames.encode_exact(Exact(id=job, more=more, **{**fields, **changes}))


LIES = {
    "garbage": b"garbage",
    "too long": bytes(5000),
    "another file": exact(1),
    "no file": exact(77),
    "done before exact": frames.encode_done(Done(0, "", ()), ("pdq",)),
    "not asked for": exact(0, status=ReadStatus.NOT_MEDIA, size=0, digests={}),
    "digest missing": exact(0, digests={"md5": b"m" * 16}),
    "ready again": frames.encode_ready(["limits"]),
    "escape in the type": exact(0, media_type="image/\x1b[2J"),
}


@pytest.mark.parametrize("name", LIES)
def test_lie_costs_the_worker_and_its_current_file_only(stage: Stage, name: str) -> None:
    liar = stage.with_jobs(3)
    liar.say(LIES[name])
    (result,) = stage.pool.poll(0.0)
    assert (result.job_id, result.status, result.kind) == (0, "failed", "protocol")
    assert liar.killed and dict(stage.pool.restarts) == {"protocol": 1}
    assert stage.pool.poll(0.0) == []
    assert stage.made[1].take() == [0, 1]  # numbered anew
    stage.made[1].say(exact(0))
    stage.made[1].say(exact(1))
    assert [r.job_id for r in stage.pool.poll(0.0)] == [1, 2]


def test_descriptor_sent_by_a_worker_is_refused_and_closed(stage: Stage) -> None:
    liar = stage.with_jobs(1)
    before = len(os.listdir("/proc/self/fd"))
    descriptors.send(liar.theirs, exact(0), [0])
    (result,) = stage.pool.poll(0.0)
    assert (result.status, result.kind) == ("failed", "protocol")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(("end", "problem"), [("crash", "decoder_crashed"), ("hang", "decoder_timeout")])
def test_decoder_that_crashes_or_hangs_leaves_the_exact_digests(stage: Stage, end: str, problem: str) -> None:
    liar = stage.with_jobs(2)
    liar.say(exact(0, more=True))
    assert stage.pool.poll(0.0) == []
    if end == "crash":
        liar.theirs.close()
    (result,) = stage.pool.poll(time.monotonic() + (FOREVER if end == "hang" else 0.0))
    assert (result.status, result.kind) == ("hashed", "")
    assert result.digests is not None
    assert (result.digests.problem, dict(result.digests.exact)) == (problem, DIGESTS)


def test_answers_given_before_a_crash_count_although_jobs_were_left_unread(stage: Stage) -> None:
    liar = stage.with_jobs(2)
    for i in (2, 3):
        stage.pool.submit(HashJob(i, 0, 10, False))
    stage.pool.flush()  # a second message, which the worker never reads
    liar.say(exact(0))
    liar.theirs.close()
    found = {r.job_id: (r.status, r.kind) for r in stage.pool.poll(0.0)}
    assert found == {0: ("hashed", ""), 1: ("failed", "crash")}
    stage.pool.poll(0.0)
    assert stage.made[1].take() == [0, 1]
    stage.made[1].say(exact(0))
    assert [r.job_id for r in stage.pool.poll(0.0)] == [2]


def test_clock_of_a_file_starts_when_it_becomes_the_current_one(stage: Stage) -> None:
    liar = stage.with_jobs(2)
    first = stage.pool.deadline()
    assert first is not None
    liar.say(exact(0))
    (result,) = stage.pool.poll(first - 1)
    assert (result.job_id, result.status) == (0, "hashed")
    assert stage.pool.deadline() == pytest.approx(first - 1 + PDQ.seconds_for(10))


def test_workers_that_die_before_they_are_ready_end_in_an_error_not_in_a_loop(stage: Stage) -> None:
    stage.pool.start()
    stage.ready = False
    stage.made[0].theirs.close()
    for _ in range(20):
        try:
            stage.pool.poll(0.0)
        except WorkerError as e:
            assert "nothing" in str(e)
            break
        stage.made[-1].theirs.close()
    else:
        pytest.fail("the pool goes on for ever")
    assert len(stage.made) == 4


def test_worker_that_never_becomes_ready_is_replaced(stage: Stage) -> None:
    stage.pool.start()
    stage.ready = False
    stage.made[0].theirs.close()
    stage.pool.poll(0.0)
    assert stage.pool.deadline() == PDQ.start_seconds
    stage.ready = True
    stage.pool.poll(PDQ.start_seconds)
    assert stage.made[1].killed and dict(stage.pool.restarts) == {"crash": 1, "start": 1}
    assert stage.pool.poll(PDQ.start_seconds) == [] and stage.pool.deadline() is None


def test_a_spare_is_started_late_is_no_room_and_takes_a_lost_workers_place_at_once(stage: Stage) -> None:
    first = stage.with_jobs(2)
    now, room = time.monotonic(), stage.pool.room
    assert stage.pool.poll(now) == [] and len(stage.made) == 1, "a few files don't repay it"
    stage.pool.poll(now + LATER)
    stage.pool.poll(now + LATER)
    assert len(stage.made) == 2 and stage.pool.spare is not None
    assert stage.pool.room == room
    first.theirs.close()
    (blamed,) = stage.pool.poll(now)
    assert (blamed.job_id, blamed.kind) == (0, "crash")
    assert len(stage.made[1].take()) == 1, "it has the other file"
    assert dict(stage.pool.restarts) == {"crash": 1} and len(stage.made) == 3


def test_a_spare_that_dies_is_blamed_for_no_file_and_the_next_one_comes_later(stage: Stage) -> None:
    stage.with_jobs(1)
    now = time.monotonic() + LATER
    stage.pool.poll(now)
    stage.made[1].theirs.close()
    for _ in range(5):
        assert stage.pool.poll(now) == []
    assert dict(stage.pool.restarts) == {"crash": 1} and len(stage.made) == 2
    stage.made[0].say(exact(0))
    assert [r.status for r in stage.pool.poll(now)] == ["hashed"]
    stage.pool.poll(now + 100)
    assert len(stage.made) == 3 and not stage.made[0].killed


def test_spares_that_cannot_start_end_no_pool_and_one_that_still_starts_takes_the_place(stage: Stage) -> None:
    stage.pool.start()
    stage.ready = False
    now = time.monotonic() + LATER
    for number in range(1, 5):
        stage.pool.poll(now)
        assert len(stage.made) == number + 1 and stage.pool.spare is None
        stage.pool.poll(now + PDQ.start_seconds)
        assert stage.made[number].killed
        now += PDQ.start_seconds + 100
    stage.pool.poll(now)
    stage.made[0].theirs.close()
    assert stage.pool.poll(now) == []
    assert dict(stage.pool.restarts) == {"start": 4, "crash": 1}
    assert len(stage.made) == 6 and not stage.made[5].killed
    stage.made[5].say(frames.encode_ready(["limits"]))
    stage.pool.poll(now)
    assert stage.pool.deadline() is None and stage.pool.pids == (0,)


def test_worker_without_a_layer_that_is_required_does_no_work() -> None:
    stage = Stage(settings=WorkerSettings(canary_every=0, layers=frozenset({"limits", "seccomp"})))
    with pytest.raises(WorkerError, match="no seccomp"):
        stage.pool.start()
    assert len(stage.made) == 1 and stage.made[0].killed
