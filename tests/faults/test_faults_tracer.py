"""The tracer itself: what it kills is dead before the call, what it fails has failed."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from fault_tracer import Event, Fault, NothingStruck, can_inject_errors, run, strike

NAMES = ("one", "two", "three")
needs_registers = pytest.mark.skipif(not can_inject_errors(), reason="errors can be injected on x86_64 only")


def three_files(directory: Path) -> int:
    for name in NAMES:
        fd = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(fd, b"content")
        os.fsync(fd)
        os.close(fd)
    return len(NAMES)


def test_a_run_without_fault_is_counted_and_recorded(tmp_path: Path) -> None:
    done = run(lambda: three_files(tmp_path), record=True)
    assert (done.finished, done.killed, done.returned, done.raised) == (True, False, 3, "")
    assert done.calls == 9
    assert [e.call for e in done.events] == ["openat", "write", "fsync"] * 3
    assert done.events[1] == Event("write", str(tmp_path / "one"))
    assert {e.path for e in done.events} == {str(tmp_path / n) for n in NAMES}


def test_a_kill_at_each_call_leaves_what_came_before_it(tmp_path: Path) -> None:
    for point in range(1, 10):
        here = tmp_path / str(point)
        here.mkdir()
        killed = strike(lambda here=here: three_files(here), Fault(point))
        assert killed.killed
        assert not killed.finished
        whole, rest = divmod(point - 1, 3)
        expected = {n: b"content" for n in NAMES[:whole]}
        if rest:
            expected[NAMES[whole]] = b"content" if rest == 2 else b""
        assert {p.name: p.read_bytes() for p in here.iterdir()} == expected


def test_every_single_call_can_be_counted_too(tmp_path: Path) -> None:
    all_calls = run(lambda: three_files(tmp_path), Fault(1_000_000, every_call=True))
    assert all_calls.calls > 9  # closes at least


def test_a_fault_that_comes_after_the_end_is_no_proof(tmp_path: Path) -> None:
    with pytest.raises(NothingStruck, match="after 9 calls"):
        strike(lambda: three_files(tmp_path), Fault(10))
    last = run(lambda: three_files(tmp_path), Fault(1_000_000, every_call=True))
    assert last.finished
    assert not last.killed


@needs_registers
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS])
def test_an_injected_error_is_seen_and_the_call_is_not_made(tmp_path: Path, code: int) -> None:
    failed = strike(lambda: three_files(tmp_path), Fault(5, error=code))
    assert failed.struck == ["write"]
    assert (failed.raised, failed.ours) == ("OSError", False)
    assert os.strerror(code) in failed.text
    assert (tmp_path / "one").read_bytes() == b"content"
    assert (tmp_path / "two").read_bytes() == b""
    assert not (tmp_path / "three").exists()


@needs_registers
def test_an_error_can_stay_from_a_call_on(tmp_path: Path) -> None:
    def stubborn(base: Path) -> list[int]:
        codes = []
        for n in range(4):
            try:
                (base / str(n)).mkdir()
                codes.append(0)
            except OSError as e:
                codes.append(e.errno or 0)
        return codes

    once, on = tmp_path / "once", tmp_path / "on"
    once.mkdir()
    on.mkdir()
    full = errno.ENOSPC
    assert strike(lambda: stubborn(once), Fault(2, error=full)).returned == [0, full, 0, 0]
    assert strike(lambda: stubborn(on), Fault(2, error=full, on=True)).returned == [0, full, full, full]
    assert [p.name for p in on.iterdir()] == ["0"]


def test_threads_and_processes_would_escape_and_are_refused(tmp_path: Path) -> None:
    def threaded() -> None:
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()

    with pytest.raises(RuntimeError, match="thread or a process"):
        run(threaded)


def test_renames_between_open_directories_are_recorded_with_whole_paths(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "there").mkdir()

    def move() -> None:
        one, other = os.open(tmp_path, os.O_RDONLY), os.open(tmp_path / "there", os.O_RDONLY)
        os.rename("a", "b", src_dir_fd=one, dst_dir_fd=other)
        os.fsync(other)
        os.unlink("c", dir_fd=one)

    done = run(move, record=True)
    base = str(tmp_path)
    assert [(e.path, e.to, e.error) for e in done.events] == [
        (f"{base}/a", f"{base}/there/b", 0),
        (f"{base}/there", "", 0),
        (f"{base}/c", "", errno.ENOENT),
    ]
