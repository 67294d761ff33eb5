"""Linux calls behave as their wrappers promise."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from scanner.system import descriptors, opening
from scanner.system.locking import FileLock, LockHeld, Owners
from scanner.system.notify import notify, watchdog_seconds
from scanner.system.renaming import rename_noreplace


def _root(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


@pytest.mark.parametrize("have_openat2", [True, False])
def test_a_link_in_the_path_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, have_openat2: bool
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "real")
    monkeypatch.setattr(opening, "have_openat2", lambda: have_openat2)
    with pytest.raises(OSError) as caught:
        opening.open_directory(_root(tmp_path / "root"), b"link")
    assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR)


@pytest.mark.parametrize("have_openat2", [True, False])
def test_dots_do_not_lead_out_of_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, have_openat2: bool
) -> None:
    (tmp_path / "root" / "a").mkdir(parents=True)
    monkeypatch.setattr(opening, "have_openat2", lambda: have_openat2)
    with pytest.raises(OSError) as caught:
        opening.open_directory(_root(tmp_path / "root"), b"a/../..")
    assert caught.value.errno == errno.EXDEV


def test_a_fifo_is_refused_and_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError) as caught:
        opening.open_regular(_root(tmp_path), b"pipe")
    assert caught.value.errno == errno.EINVAL


def test_rename_never_replaces_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    fd = _root(tmp_path)
    with pytest.raises(FileExistsError):
        rename_noreplace(fd, b"a", fd, b"b")
    assert (tmp_path / "a").read_text() == "a" and (tmp_path / "b").read_text() == "b"


def test_received_descriptors_are_not_inherited_and_a_cut_message_leaks_none() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pipe, _ = os.pipe()
    descriptors.send(ours, b"one", [pipe])
    message, received = descriptors.receive(theirs, 16, descriptors=4)
    assert message == b"one" and not os.get_inheritable(received[0])
    before = len(os.listdir("/proc/self/fd"))
    descriptors.send(ours, b"many", [pipe] * 8)
    with pytest.raises(ValueError):
        descriptors.receive(theirs, 16, descriptors=2)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_second_holder_is_told_who_has_the_lock(tmp_path: Path) -> None:
    with FileLock.acquire(tmp_path / "lock"):
        with pytest.raises(LockHeld) as caught:
            FileLock.acquire(tmp_path / "lock")
        assert caught.value.holder == str(os.getpid())
    FileLock.acquire(tmp_path / "lock").release()


def test_a_token_is_dead_when_its_process_is_killed(tmp_path: Path) -> None:
    code = "import sys, pathlib\nfrom scanner.system.locking import Owners\n"
    code += "Owners(pathlib.Path(sys.argv[1])).claim('t')\nprint('held', flush=True)\nsys.stdin.read()\n"
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None and child.stdout.readline() == b"held\n"
    owners = Owners(tmp_path)
    assert not owners.dead("t")
    child.kill()
    child.wait()
    assert owners.dead("t")


def test_the_service_manager_is_told_and_silence_is_no_error(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        assert notify({"NOTIFY_SOCKET": address}, READY=1, STATUS="x")
        assert listener.recv(64) == b"READY=1\nSTATUS=x\n"
    assert not notify({}, READY=1)
    assert not notify({"NOTIFY_SOCKET": str(tmp_path / "gone")}, READY=1)
    assert watchdog_seconds({"WATCHDOG_USEC": "4000000"}) == 2.0
    assert watchdog_seconds({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"}) is None


def test_a_process_has_one_token_however_often_it_asks(tmp_path: Path) -> None:
    owners = Owners(tmp_path)
    first = owners.own("a")
    before = len(os.listdir("/proc/self/fd"))
    assert [owners.own(str(n)) for n in range(20)] == [first] * 20
    assert len(os.listdir("/proc/self/fd")) == before and not owners.dead(first)


def test_a_service_manager_that_does_not_listen_holds_nobody_up(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        told = sum(notify({"NOTIFY_SOCKET": address}, WATCHDOG=1) for _ in range(2000))
    assert 0 < told < 2000


_SWEEPS = """
import pathlib, sys
from scanner.system.locking import Owners
owners = Owners(pathlib.Path(sys.argv[1]))
print("ready", flush=True)
while True:
    owners.sweep(())
"""


def test_tokens_of_the_dead_are_removed_and_those_of_the_living_and_named_are_not(tmp_path: Path) -> None:
    for name in ("dead", "named"):
        (tmp_path / name).write_text("1\n")
    living, owners = Owners(tmp_path), Owners(tmp_path)
    living.claim("living")
    owners.claim("own")
    assert owners.sweep({"named"}) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["living", "named", "own"]
    living.release()
    assert owners.sweep(()) == 1 and owners.dead("named") is True
    assert Owners(tmp_path / "nothing").sweep(()) == 0


def test_whoever_claims_a_token_has_it_whatever_others_sweep_meanwhile(tmp_path: Path) -> None:
    sweepers = [
        subprocess.Popen([sys.executable, "-c", _SWEEPS, str(tmp_path)], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    try:
        for sweeper in sweepers:
            assert sweeper.stdout is not None and sweeper.stdout.readline() == b"ready\n"
        other = Owners(tmp_path)
        for number in range(400):
            owners = Owners(tmp_path)
            token = owners.claim(f"t{number}")
            assert (tmp_path / token).exists() and not other.dead(token)
            owners.release()
    finally:
        for sweeper in sweepers:
            sweeper.kill()
            sweeper.communicate()


def test_a_token_that_is_swept_between_making_and_locking_it_is_claimed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, swept = fcntl.flock, []

    def sweep_first(fd: int, how: int) -> None:
        if not swept:
            swept.append(True)
            (tmp_path / "t").unlink()  # another process's sweep has ended here
        locked(fd, how)

    monkeypatch.setattr(fcntl, "flock", sweep_first)
    owners = Owners(tmp_path)
    owners.claim("t")
    assert swept and not Owners(tmp_path).dead("t")
