"""Workers that lie are found out by canaries, and nothing they said since the last one is believed."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import io
import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from scanner.app import App, scanning
from scanner.app.state import StateDirectory
from scanner.config import Config
from scanner.hashing import HashJob, HashResult, WorkerPool, WorkerSettings, sniff
from scanner.hashing.canary import Canary, CanaryMaker
from scanner.hashing.frames import Done, Exact, ReadStatus
from scanner.hashing.process import WorkerHandle, WorkerProcess
from scanner.model.errors import WorkerError
from scanner.model.hashes import EXACT_KINDS, VIEWS, PerceptualHash
from scanner.model.matches import Case
from scanner.model.outcomes import ScanCounts

TAKE_OVER = b"take over"  # a file with these bytes makes the worker below a liar
LIAR = """
from scanner.hashing import exact, worker
real, taken = exact.read_and_hash, []
def lying(reader, fd, kinds, header, *args, **more):
    content = real(reader, fd, kinds, header, *args, **more)
    if b"take over" in header:
        taken.append(True)
    if not taken:
        return content
    wrong = {kind: bytes(len(digest)) for kind, digest in content.digests.items()}
    return exact.Content(content.size, wrong, content.data)
exact.read_and_hash = lying
worker.main()
"""
SETTINGS = WorkerSettings(perceptual=(), canary_every=8)


class Starts:
    """Starts workers: the first `liars` can be taken over, the others can't."""

    def __init__(self, liars: int) -> None:
        self.left = liars

    def __call__(self, settings: WorkerSettings) -> WorkerHandle:
        self.left -= 1
        return (
            partial(WorkerProcess, program=("-c", LIAR))(settings)
            if self.left >= 0
            else WorkerProcess(settings)
        )


class Files:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.contents: list[bytes] = []
        self.fds: list[int] = []

    def job(self, content: bytes) -> HashJob:
        number = len(self.fds)
        (self.directory / str(number)).write_bytes(content)
        self.contents.append(content)
        self.fds.append(os.open(self.directory / str(number), os.O_RDONLY))
        return HashJob(number, self.fds[-1], len(content), media_only=False)

    def believed(self, result: HashResult) -> bool:
        """Whether the result has the true digests; fails if it has others."""
        if result.digests is None:
            return False
        assert result.digests.exact["md5"] == hashlib.md5(self.contents[result.job_id]).digest()
        return True


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    made = Files(tmp_path)
    yield made
    for fd in made.fds:
        os.close(fd)


def put_through(pool: WorkerPool, jobs: list[HashJob], victim: int = -1) -> dict[int, HashResult]:
    """All jobs' results; fails if one comes twice. Kills a worker once `victim` have come."""
    found: dict[int, HashResult] = {}
    waiting, end = jobs[::-1], time.monotonic() + 100
    while len(found) < len(jobs):
        assert time.monotonic() < end
        while waiting and pool.room > 0:
            pool.submit(waiting.pop())
        if not waiting:
            pool.prove()
        pool.flush()
        select.select([pool.fileno()], [], [], 0.2)
        for result in pool.poll(time.monotonic()):
            assert result.job_id not in found
            found[result.job_id] = result
        if 0 <= victim <= len(found):
            os.kill(pool.pids[0], signal.SIGKILL)
            victim = -1
    assert pool.in_flight == 0
    return found


def test_honest_workers_answer_every_canary_right(files: Files) -> None:
    settings = WorkerSettings(perceptual=("pdq", "phash"), views=VIEWS, canary_every=1)
    pool = WorkerPool(settings, 2)
    pool.start()
    try:
        found = put_through(pool, [files.job(b"%d" % n) for n in range(120)])
    finally:
        pool.stop()
    assert all(files.believed(r) for r in found.values()) and len(found) == 120
    assert not pool.restarts


def test_what_a_liar_said_is_not_believed_and_its_files_are_hashed_again(files: Files) -> None:
    jobs = [files.job(TAKE_OVER if n == 20 else b"%d" % n) for n in range(100)]
    pool = WorkerPool(SETTINGS, 1, spawn=Starts(1))
    pool.start()
    try:
        found = put_through(pool, jobs)
    finally:
        pool.stop()
    assert all(files.believed(r) for r in found.values()) and len(found) == 100
    assert dict(pool.restarts) == {"lied": 1}


def test_file_that_takes_over_every_worker_fails_alone(files: Files) -> None:
    jobs = [files.job(TAKE_OVER if n == 20 else b"%d" % n) for n in range(100)]
    pool = WorkerPool(SETTINGS, 1, spawn=Starts(100))
    pool.start()
    try:
        found = put_through(pool, jobs)
    finally:
        pool.stop()
    assert [(n, r.status, r.kind) for n, r in found.items() if not files.believed(r)] == [
        (20, "failed", "distrusted")
    ]
    assert dict(pool.restarts) == {"lied": 3}


def test_answers_of_a_worker_that_dies_before_its_canary_are_not_believed_either(files: Files) -> None:
    pool = WorkerPool(WorkerSettings(perceptual=(), canary_every=32), 2)
    pool.start()
    try:
        found = put_through(pool, [files.job(b"%d" % n) for n in range(600)], victim=1)
    finally:
        pool.stop()
    assert pool.restarts["crash"] == 1 and len(found) == 600
    assert [r.kind for r in found.values() if not files.believed(r)] in ([], ["crash"])


def test_workers_that_fail_at_their_first_canary_end_in_an_error_not_in_a_loop(files: Files) -> None:
    code = LIAR.replace("taken = exact.read_and_hash, []", "taken = exact.read_and_hash, [True]")
    pool = WorkerPool(SETTINGS, 1, spawn=partial(WorkerProcess, program=("-c", code)))
    pool.start()
    try:
        with pytest.raises(WorkerError, match="picture made to test them"):
            put_through(pool, [files.job(b"x")])
    finally:
        pool.stop()
    assert dict(pool.restarts) == {"lied": 3}


def test_worker_that_was_busy_long_enough_is_replaced_and_no_file_is_lost(files: Files) -> None:
    pool = WorkerPool(dataclasses.replace(SETTINGS, recycle_seconds=0.001), 1)
    pool.start()
    try:
        found = put_through(pool, [files.job(b"%d" % n) for n in range(100)])
    finally:
        pool.stop()
    assert all(files.believed(r) for r in found.values()) and len(found) == 100
    assert set(pool.restarts) == {"recycled"}


def test_descriptors_held_until_answers_are_believed_are_bounded(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scanner.hashing.pool.resource.getrlimit", lambda which: (80, 80))
    pool = WorkerPool(WorkerSettings(perceptual=(), canary_every=100_000), 1)
    pool.start()
    try:
        found = put_through(pool, [files.job(b"%d" % n) for n in range(200)])
    finally:
        pool.stop()
    assert len(found) == 200


def canary() -> Canary:
    return CanaryMaker(EXACT_KINDS, ("pdq",), VIEWS).make()


def test_canary_is_a_read_only_file_with_no_name_like_a_thumbnail() -> None:
    made = canary()
    fd = made.open()
    assert sniff(made.content) == made.media_type
    assert os.pread(fd, 1 << 20, 0) == made.content
    with pytest.raises(OSError):
        os.pwrite(fd, b"x", 0)
    with Image.open(io.BytesIO(made.content)) as picture:
        picture.load()
        assert min(picture.size) >= 40
    assert os.fstat(fd).st_mtime < time.time()
    os.close(fd)


def test_every_wrong_answer_about_a_canary_is_noticed() -> None:
    made = canary()
    read = Exact(1, ReadStatus.HASHED, True, False, len(made.content), made.media_type, dict(made.digests))
    true = tuple(PerceptualHash("pdq", view, *found) for view, found in made.pdq.items())
    done = Done(1, "", true)
    flipped = bytes(b ^ 0x11 for b in true[0].value)
    tilted = next(n for n, one in enumerate(true) if one.view == "tiltp2")
    assert made.right(read, done, ("pdq",))
    wrong_reads = [
        {"status": ReadStatus.IO_ERROR}, {"changed": True}, {"size": 1}, {"media_type": "image/png"},
        {"digests": {**made.digests, "sha1": bytes(20)}},
    ]  # fmt: skip
    for change in wrong_reads:
        assert not made.right(read._replace(**change), done, ("pdq",))  # type: ignore[arg-type]
    wrong = [
        None, Done(1, "undecodable", ()), Done(1, "", ()), Done(1, "", true[1:]),
        Done(1, "", (dataclasses.replace(true[0], value=flipped), *true[1:])),
        Done(1, "", (dataclasses.replace(true[0], quality=0), *true[1:])),
        Done(1, "", (*true[:tilted], dataclasses.replace(true[tilted], value=flipped), *true[tilted + 1 :])),
    ]  # fmt: skip
    for answer in wrong:
        assert not made.right(read, answer, ("pdq",))


class _Notes:
    """A reporter that remembers what an operator is told, and hits."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, dict[str, object]]] = []
        self.hits: list[bytes] = []

    def hit(self, case: Case, path: bytes) -> None:
        self.hits.append(path)

    def error(self, volume: str, path: bytes, kind: str) -> None: ...

    def skipped(self, volume: str, path: bytes, reason: str, files: int) -> None: ...

    def progress(self, volume: str, counts: ScanCounts, queued: int, hashing: int) -> None: ...

    def note(self, event: str, **fields: object) -> None:
        self.notes.append((event, fields))


def _png(text: str) -> bytes:
    comment = PngImagePlugin.PngInfo()
    comment.add_text("text", text)
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG", pnginfo=comment)
    return out.getvalue()


@pytest.mark.parametrize(("liars", "failed"), [(1, {}), (100, {"distrusted": 1})])
def test_scan_finds_what_a_lying_worker_hid_and_calls_nothing_clean_that_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, liars: int, failed: dict[str, int]
) -> None:
    starts = Starts(liars)
    monkeypatch.setattr(scanning, "worker_pool", lambda config: WorkerPool(SETTINGS, 1, spawn=starts))
    (tmp_path / "root").mkdir()
    pictures = [_png("take over" if n == 5 else str(n)) for n in range(60)]
    for n, content in enumerate(pictures):
        (tmp_path / "root" / f"{n:03}.png").write_bytes(content)
    listed = [hashlib.sha256(pictures[n]).hexdigest() for n in (6, 7, 59)]
    (tmp_path / "list.csv").write_text("sha256\n" + "\n".join(listed) + "\n")
    app = App(Config(), StateDirectory(tmp_path / "state", tmp_path / "state" / "quarantine"))
    for first in (True, False):
        told = _Notes()
        counts = asyncio.run(
            app.scan_paths(
                [tmp_path / "root"], [str(tmp_path / "list.csv")], told, threading.Event(),
                quarantine=False, full=False,
            )
        ).counts  # fmt: skip
        assert counts.balanced and counts.files == 60
        assert (counts.matched, counts.failed, len(told.hits)) == (3, failed, 3)
        assert counts.clean + counts.unchanged == 57 - sum(failed.values())
        assert counts.complete == (not failed)
        lies = 3 if failed else 1 if first else 0  # a file that takes over workers does so in each scan
        assert dict(told.notes).get("workers_lied") == ({"workers": lies} if lies else None)
