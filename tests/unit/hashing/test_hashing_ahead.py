"""Files are begun before their turn, and what is hashed is the same as without."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.hashing import exact, frames
from scanner.hashing.ahead import Ahead
from scanner.system import descriptors

_PIECE = 100_000


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    yield ours, theirs
    ours.close()
    theirs.close()


def _send(sock: socket.socket, paths: list[Path], first: int = 0) -> None:
    fds = [os.open(p, os.O_RDONLY) for p in paths]
    jobs = [frames.JobFrame(first + n, media_only=False) for n in range(len(paths))]
    descriptors.send(sock, frames.encode_jobs(jobs), fds)
    for fd in fds:
        os.close(fd)


@pytest.mark.parametrize("cached", [True, False])
def test_every_file_has_its_turn_once_in_order_and_whole(
    tmp_path: Path, pair: tuple[socket.socket, socket.socket], cached: bool
) -> None:
    ours, theirs = pair
    sizes = [0, 1, 4096, 8191, 8192, 8193, exact.CHUNK - 1, exact.CHUNK, exact.CHUNK + 1, 3 * exact.CHUNK]
    contents = [os.urandom(size) for size in sizes]
    paths = [tmp_path / str(n) for n in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
        if not cached:
            fd = os.open(path, os.O_RDWR)
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)
    _send(ours, paths[:5])
    _send(ours, paths[5:], first=5)
    ours.close()
    reader, found, before = exact.Reader(), [], os.listdir("/proc/self/fd")
    for begun in Ahead(theirs, reader):
        st = os.fstat(begun.fd)
        head, device, size = bytes(begun.data), st.st_dev, st.st_size
        assert contents[begun.job.id].startswith(head)
        if len(head) < 8192:
            head += reader.read(begun.fd, device, 8192 - len(head), len(head))
        content = exact.read_and_hash(
            reader, begun.fd, ("sha256",), head, len(head) < 8192,
            device=device, size_hint=size, budget=1 << 30,
        )  # fmt: skip
        found.append((begun.job.id, content.digests["sha256"], content.data))
    assert found == [(n, hashlib.sha256(c).digest(), c) for n, c in enumerate(contents)]
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_several_files_are_begun_before_the_first_is_done(
    tmp_path: Path, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pair
    paths = [tmp_path / str(n) for n in range(32)]
    for path in paths:
        path.write_bytes(os.urandom(_PIECE))
    _send(ours, paths)
    reader, asked = exact.Reader(), []
    early = reader.early

    def noted(fd: int, device: int, wanted: int, offset: int) -> bytearray | None:
        asked.append(wanted)
        return early(fd, device, wanted, offset)

    monkeypatch.setattr(reader, "early", noted)
    next(iter(Ahead(theirs, reader)))
    assert asked == [_PIECE] * 16


def test_pages_begun_early_do_not_stay_in_the_page_cache(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(os.urandom(_PIECE))
    fd, reader = os.open(path, os.O_RDWR), exact.Reader()
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        device = os.fstat(fd).st_dev
        try:
            os.preadv(fd, [bytearray(1)], _PIECE, exact._RWF_DONTCACHE)
        except OSError:
            pytest.skip("this kernel or file system keeps what is read")
        got = reader.early(fd, device, _PIECE, 0)
        if got is None:
            assert len(reader.read(fd, device, _PIECE, 0)) == _PIECE
        with pytest.raises(BlockingIOError):  # nothing of it is there
            os.preadv(fd, [bytearray(1)], 0, os.RWF_NOWAIT)
    finally:
        os.close(fd)
