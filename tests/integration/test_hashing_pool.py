"""The pool with real worker processes: right answers, nothing lost, powers given up."""

from __future__ import annotations

import ctypes
import hashlib
import io
import mmap
import os
import re
import select
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import imagehash
import pytest
import skimage
from PIL import Image

from scanner.hashing import HashJob, HashResult, WorkerPool, WorkerSettings
from scanner.hashing.pdq import PdqHasher
from scanner.hashing.samples import tiny_pictures
from scanner.model.errors import WorkerError
from scanner.model.hashes import EXACT_KINDS

PICTURES = Path(skimage.__file__).parent / "data"
SETTINGS = WorkerSettings(exact=EXACT_KINDS, perceptual=("pdq", "phash", "dhash", "phash256"))


def results(pool: WorkerPool, jobs: list[HashJob]) -> dict[int, HashResult]:
    """Put all jobs through the pool as the pipeline does; fails if one is answered twice or never."""
    found: dict[int, HashResult] = {}
    waiting = list(reversed(jobs))
    end = time.monotonic() + 60
    with selectors.DefaultSelector() as selector:
        selector.register(pool, selectors.EVENT_READ)
        while len(found) < len(jobs):
            while pool.room and waiting:
                pool.submit(waiting.pop())
            pool.flush()
            selector.select(max(0.0, min(pool.deadline() or end, end) - time.monotonic()))
            assert time.monotonic() < end
            for result in pool.poll(time.monotonic()):
                assert result.job_id not in found
                found[result.job_id] = result
    return found


class Files:
    """Files of a test as jobs; closes their descriptors."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.fds: list[int] = []

    def job(self, content: bytes, *, media_only: bool = False, size: int = -1) -> HashJob:
        number = len(self.fds)
        path = self.directory / str(number)
        path.write_bytes(content)
        path.chmod(0o600)
        if size >= 0:
            os.truncate(path, size)
        self.fds.append(os.open(path, os.O_RDONLY))
        return HashJob(number, self.fds[-1], path.stat().st_size, media_only)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    made = Files(tmp_path)
    yield made
    for fd in made.fds:
        os.close(fd)  # fails if the pool closed it


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool(SETTINGS, 2)
    pool.start()
    yield pool
    assert not pool.restarts  # nothing in this module may cost a shared worker
    pool.stop()


def saved(picture: Image.Image, file_format: str = "JPEG", **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, file_format, **options)
    return out.getvalue()


def astronaut() -> Image.Image:
    return Image.open(PICTURES / "astronaut.png").convert("RGB")


def test_picture_gets_exact_and_perceptual_hashes(pool: WorkerPool, files: Files) -> None:
    data = (PICTURES / "astronaut.png").read_bytes()
    result = results(pool, [files.job(data)])[0]
    digests = result.digests
    assert (result.status, result.kind) == ("hashed", "")
    assert digests is not None
    assert (digests.size, digests.media_type, digests.problem) == (len(data), "image/png", "")
    assert digests.exact == {kind: hashlib.new(kind, data).digest() for kind in EXACT_KINDS}
    found = {(h.kind, h.view): h.value for h in digests.perceptual}
    assert found["phash", "whole"].hex() == str(imagehash.phash(astronaut()))
    assert found["dhash", "whole"].hex() == str(imagehash.dhash(astronaut()))
    assert found["phash256", "whole"].hex() == str(imagehash.phash(astronaut(), hash_size=16))
    expected = {("pdq", view): value for view, value, _ in PdqHasher().hashes(astronaut())}
    assert expected.items() <= found.items()
    assert os.lseek(files.fds[0], 0, os.SEEK_CUR) == 0


def test_every_format_is_decoded_behind_the_sandbox(pool: WorkerPool, files: Files) -> None:
    pictures = list(tiny_pictures())
    big = astronaut().resize((1300, 1300))
    for file_format, mime in (("JPEG", "image/jpeg"), ("WEBP", "image/webp"), ("AVIF", "image/avif")):
        pictures.append((mime, saved(big, file_format)))
    pictures.append(("image/webp", saved(big, "WEBP", save_all=True, append_images=[big.rotate(90)])))
    pictures.append(("image/jpeg", saved(astronaut(), "MPO", save_all=True, append_images=[big])))
    found = results(pool, [files.job(data) for _, data in pictures])
    for number, (mime, _) in enumerate(pictures):
        digests = found[number].digests
        assert digests is not None
        assert (digests.media_type, digests.problem) == (mime, "")
        # Ten or nine of PDQ, eight of each other kind; boxes and parts of a file come on top.
        whole = [h for h in digests.perceptual if not re.match(r"(frame|embedded|preview)\d|box", h.view)]
        assert len(whole) in (33, 34)


def test_what_is_not_media_is_left_alone_if_only_media_is_wanted(pool: WorkerPool, files: Files) -> None:
    page = files.job(b"<html>", media_only=True, size=1 << 40)  # a terabyte that nobody must read
    film = files.job(b"\0\0\0\x18ftypmp42\0\0\0\0isom", media_only=True)
    text = files.job(b"hello", media_only=False)
    empty = files.job(b"", media_only=False)
    found = results(pool, [page, film, text, empty])
    assert [found[i].status for i in range(4)] == ["not_media", "hashed", "hashed", "hashed"]
    assert found[0].digests is not None and not found[0].digests.exact
    assert found[1].digests is not None and found[1].digests.media_type == "video/mp4"
    assert found[1].digests.problem == "" and not found[1].digests.perceptual
    assert found[3].digests is not None
    assert found[3].digests.exact["md5"] == hashlib.md5(b"").digest()


def test_many_files_are_each_answered_once_with_their_own_digests(pool: WorkerPool, files: Files) -> None:
    contents = [b"%d" % i * (1 + i * 37 % 900) for i in range(400)]
    found = results(pool, [files.job(content) for content in contents])
    for number, content in enumerate(contents):
        digests = found[number].digests
        assert digests is not None and digests.exact["sha256"] == hashlib.sha256(content).digest()
    assert pool.room == 2 * 96 and pool.deadline() is None


def test_file_written_to_while_it_is_read_is_reported_as_changed(pool: WorkerPool, files: Files) -> None:
    job = files.job(b"", size=48 << 20)
    with open(files.directory / "0", "r+b", buffering=0) as writer:
        pool.submit(job)
        pool.flush()
        found: list[HashResult] = []
        while not found:
            os.pwrite(writer.fileno(), b"x", 0)
            found = pool.poll(time.monotonic())
    assert found[0].status == "changed"


def cached(fd: int, size: int) -> list[bool]:
    """Whether each page of a file is in the page cache, without bringing it there."""
    with mmap.mmap(fd, size, access=mmap.ACCESS_COPY) as place:
        pages = ctypes.create_string_buffer(-(-size // mmap.PAGESIZE))
        view = ctypes.c_char.from_buffer(place)
        address = ctypes.c_void_p(ctypes.addressof(view))
        failed = ctypes.CDLL(None).mincore(address, ctypes.c_size_t(size), pages)
        del view
    assert not failed
    return [bool(page & 1) for page in pages.raw]


def test_hashing_leaves_the_page_cache_as_it_was(pool: WorkerPool, files: Files) -> None:
    jobs = [files.job(saved(astronaut(), "PNG")), files.job(os.urandom(3 << 20)), files.job(b"x" * 9000)]
    try:
        os.preadv(jobs[0].fd, [bytearray(1)], 0, 0x80)  # RWF_DONTCACHE
    except OSError as e:
        pytest.skip(f"reading without caching does not work here, so pages stay: {e}")
    for job in jobs:
        os.fsync(job.fd)
        os.posix_fadvise(job.fd, 0, 0, os.POSIX_FADV_DONTNEED)
    if any(any(cached(job.fd, job.size)) for job in jobs):
        pytest.skip("pages can't be dropped from the cache here")
    os.pread(jobs[1].fd, 100_000, 1 << 20)  # somebody's working set, with what was read ahead
    before = [cached(job.fd, job.size) for job in jobs]
    assert any(before[1]) and not all(before[1])
    found = results(pool, jobs)
    assert {r.status for r in found.values()} == {"hashed"}
    assert [cached(job.fd, job.size) for job in jobs] == before


def test_pipe_and_unreadable_descriptor_fail_as_input_errors(pool: WorkerPool, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    blind = os.open(tmp_path / "x", os.O_WRONLY | os.O_CREAT)
    found = results(pool, [HashJob(0, reader, 0, False), HashJob(1, blind, 0, True)])
    assert {(r.status, r.kind) for r in found.values()} == {("failed", "io_error")}
    for fd in (reader, writer, blind):
        os.close(fd)


def test_only_exact_kinds_may_be_wanted(files: Files) -> None:
    pool = WorkerPool(WorkerSettings(exact=("sha1",), perceptual=(), max_bytes=1 << 20), 1)
    pool.start()
    try:
        found = results(pool, [files.job(saved(astronaut())), files.job(b"", size=(1 << 20) + 1)])
        assert found[0].digests is not None
        assert set(found[0].digests.exact) == {"sha1"} and not found[0].digests.perceptual
        assert (found[1].status, found[1].kind) == ("failed", "too_large")
    finally:
        pool.stop()


def test_workers_that_cannot_start_are_an_error_with_their_own_words() -> None:
    pool = WorkerPool(WorkerSettings(perceptual=("nonsense",)), 1)
    with pytest.raises(WorkerError, match="nonsense"):
        pool.start()
    assert pool.restarts["start"] == 3


def test_stop_leaves_no_process_and_no_descriptor() -> None:
    before = os.listdir("/proc/self/fd")
    pool = WorkerPool(SETTINGS, 2)
    pool.start()
    pids = pool.pids
    os.kill(pids[0], signal.SIGSTOP)  # does not end by itself
    pool.stop()
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
    assert os.listdir("/proc/self/fd") == before


ORPHAN_MAKER = """
import sys, time
from scanner.hashing import WorkerPool, WorkerSettings
pool = WorkerPool(WorkerSettings(perceptual=()), 1)
pool.start()
print(pool.pids[0], flush=True)
sys.stdin.read()
"""


def test_worker_dies_with_its_parent_even_when_it_cannot_see_the_end_of_its_socket() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHAN_MAKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None and parent.stdin is not None
    worker = os.pidfd_open(int(parent.stdout.readline()))
    signal.pidfd_send_signal(worker, signal.SIGSTOP)
    parent.kill()
    parent.wait()
    waiter = select.poll()
    waiter.register(worker, select.POLLIN)
    ended = waiter.poll(10_000)  # readable once the process has ended
    if not ended:
        signal.pidfd_send_signal(worker, signal.SIGKILL)
    os.close(worker)
    parent.stdin.close()
    parent.stdout.close()
    assert ended


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_worker_has_no_new_privileges_limits_and_only_its_own_descriptors(pool: WorkerPool) -> None:
    pid = pool.pids[0]
    seen = status(pid)
    assert seen["NoNewPrivs"] == "1"
    assert seen["Threads"] == "1"
    assert int(seen["CapEff"], 16) == int(seen["CapPrm"], 16) == int(seen["CapInh"], 16) == 0
    limits = Path(f"/proc/{pid}/limits").read_text()
    for name, value in (
        ("Max address space", SETTINGS.address_space),
        ("Max file size", 0),
        ("Max core file size", 0),
        ("Max open files", 128),
    ):
        assert re.search(rf"^{name} +{value} +{value} ", limits, re.MULTILINE)
    assert {"close_descriptors", "limits", "no_new_privs", "die_with_parent", "not_dumpable"} <= pool.layers


@pytest.mark.root
def test_worker_of_root_is_nobody_with_an_empty_bounding_set_and_sees_no_secrets(pool: WorkerPool) -> None:
    pid = pool.pids[0]
    seen = status(pid)
    assert seen["Uid"].split() == seen["Gid"].split() == ["65534"] * 4
    assert re.search(r"^Max processes +1024 +1024 ", Path(f"/proc/{pid}/limits").read_text(), re.MULTILINE)
    assert int(seen["CapBnd"], 16) == 0 and seen["Groups"] == ""
    assert "user" in pool.layers
    assert set(os.listdir(f"/proc/{pid}/fd")) - {"0", "1", "2"} == {
        fd for fd in os.listdir(f"/proc/{pid}/fd") if "socket" in os.readlink(f"/proc/{pid}/fd/{fd}")
    }
    assert len(os.listdir(f"/proc/{pid}/fd")) == 4
    assert os.stat(f"/proc/{pid}/environ").st_uid == 0  # not dumpable: no peer of the same user may look
    names = {pair.split(b"=")[0] for pair in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if pair}
    assert names == {b"LANG", b"PATH", b"OPENBLAS_NUM_THREADS", b"OMP_NUM_THREADS", b"MALLOC_ARENA_MAX"}
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
