"""The ledger among processes that write, read, hang and die."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.ledger import Ledger
from scanner.model.errors import LedgerError

# Waits for a line, then writes notes and prints each one's number when it is committed.
WRITER = """
import sys
from pathlib import Path
from scanner.ledger import Ledger
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
with Ledger.open(path, actor=name) as ledger:
    for n in range(count):
        ledger.note(f"{name} {n}", name, n)
        print(f"{name} {n}", flush=True)
"""


def start_writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, path, name, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    return child


def go(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()


def notes(path: Path) -> list[object]:
    with Ledger.open(path, read_only=True) as ledger:
        return [e.payload["text"] for e in ledger.events(limit=100_000)]


@pytest.mark.parametrize("committed", [1, 40, 120])
def test_everything_committed_before_a_kill_is_there_and_the_chain_holds(
    tmp_path: Path, committed: int
) -> None:
    path = tmp_path / "ledger.sqlite"
    child = start_writer(path, "doomed", 1_000_000)
    go(child)
    assert child.stdout is not None
    told = [child.stdout.readline().strip() for _ in range(committed)]
    child.kill()
    told += child.stdout.read().splitlines()
    child.communicate()
    with Ledger.open(path) as ledger:
        found = ledger.verify()
        assert found.ok
        ledger.note("after", "survivor", 1)
        assert ledger.verify(found.head).ok
        assert ledger.changed_tables() == ()
    # At most the one that was committed and not yet told comes on top.
    assert notes(path)[: len(told)] == told
    assert found.head.seq - len(told) in (0, 1)


def test_two_processes_that_make_and_write_one_ledger_keep_one_unbroken_chain(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    children = [start_writer(path, name, 60) for name in ("a", "b")]
    for child in children:
        go(child)
    for child in children:
        child.communicate()
        assert child.returncode == 0
    found = notes(path)
    for name in ("a", "b"):
        assert [n for n in found if str(n).startswith(name)] == [f"{name} {n}" for n in range(60)]
    with Ledger.open(path, read_only=True) as ledger:
        assert (ledger.verify().ok, ledger.head().seq) == (True, 120)
    assert list(tmp_path.glob(".ledger-*")) == []


def test_a_reader_is_not_kept_waiting_by_a_writer_in_the_middle_of_a_transaction(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        ledger.note("before", "daemon", 1)
        writer = sqlite3.connect(path, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        with Ledger.open(path, read_only=True, busy_ms=0) as reader:
            assert (reader.head(), reader.brake()) == (ledger.head(), None)
        writer.close()


def test_a_writer_gives_up_on_one_that_hangs_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path, busy_ms=50) as ledger:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="locked for too long") as caught:
            ledger.note("no", "daemon", 1)
        assert caught.value.where == str(path) and caught.value.remedy
        other.execute("ROLLBACK")
        other.close()
        ledger.note("yes", "daemon", 2)
    assert notes(path) == ["yes"]


def test_a_ledger_used_from_another_thread_is_misuse(tmp_path: Path) -> None:
    raised: list[BaseException] = []

    def elsewhere() -> None:
        try:
            ledger.note("no", "daemon", 1)
        except RuntimeError as e:
            raised.append(e)

    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert len(raised) == 1
        assert ledger.head().seq == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB."""
    at = tmp_path / "small"
    at.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", at], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    yield at
    subprocess.run(["umount", at], check=True)


@pytest.mark.root
def test_a_full_disk_is_said_and_leaves_a_ledger_that_goes_on_when_there_is_room(small_disk: Path) -> None:
    path = small_disk / "ledger.sqlite"
    filler = small_disk / "filler"
    with Ledger.open(path) as ledger:
        ledger.note("before", "daemon", 1)
        with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as f:
            while True:
                f.write(bytes(4096))
        written = 1
        with pytest.raises(LedgerError, match="the disk is full") as caught:
            for _ in range(1000):
                ledger.note("x" * 2000, "daemon", 2)
                written += 1
        assert caught.value.remedy.startswith("Make room")
        assert ledger.verify().head.seq == written
        filler.unlink()
        ledger.note("after", "daemon", 3)
        assert ledger.verify().ok
    assert notes(path)[-1] == "after"


@pytest.mark.root
def test_a_read_only_file_system_is_said(small_disk: Path) -> None:
    path = small_disk / "ledger.sqlite"
    Ledger.open(path).close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(LedgerError) as caught:
        Ledger.open(path).note("no", "daemon", 1)
    assert caught.value.where == str(path) and caught.value.remedy


def test_a_damaged_page_is_said_and_not_taken_for_an_empty_answer(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        for n in range(100):
            ledger.note("x" * 500, "daemon", n)
    size = path.stat().st_size
    with path.open("r+b") as f:
        f.seek(size // 2)
        f.write(b"\xff" * (size // 2))
    with Ledger.open(path, read_only=True) as ledger, pytest.raises(LedgerError, match="damaged"):
        ledger.verify()
