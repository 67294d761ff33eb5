"""Sockets handed over by a service manager, peers told by the kernel, and power that stays with a new
user."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from scanner.system.activation import listen_descriptors
from scanner.system.peers import peer_of


@pytest.mark.parametrize(
    ("pid", "fds", "found"),
    [("7", "1", [3]), ("8", "1", []), ("7", "0", []), ("7", "17", []), ("7", "-1", []), ("7", "x", []),
     ("", "1", []), ("7", "\u0661", [])],
)  # fmt: skip
def test_only_what_is_meant_for_us_is_taken_and_nobody_is_told_again(
    pid: str, fds: str, found: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed_on_exec: list[int] = []  # number 3 is something else in this process: only noted
    monkeypatch.setattr(os, "set_inheritable", lambda fd, yes: None if yes else closed_on_exec.append(fd))
    environ = {"LISTEN_PID": pid, "LISTEN_FDS": fds, "LISTEN_FDNAMES": "a", "LANG": "C"}
    assert listen_descriptors(environ, 7) == found
    assert (environ, closed_on_exec) == ({"LANG": "C"}, found)


def test_the_peer_is_who_connected() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        peer = peer_of(ours)
    assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.geteuid(), os.getegid())


@pytest.mark.root
def test_another_user_keeps_one_capability_in_its_children_too_and_can_get_no_other() -> None:
    code = (
        "import os, subprocess, sys; from scanner.system import power;"
        "power.become(42500, 42500, [power.CAP_DAC_READ_SEARCH]);"
        "print(open('/proc/self/status').read(), power.has_capability(2), power.has_capability(1));"
        "print(subprocess.run(['cat', '/proc/self/status'], capture_output=True, text=True).stdout)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    sets = [line.split()[1] for line in said.splitlines() if line.startswith("Cap")]
    assert (
        sets == ["0000000000000004"] * 10
    )  # inheritable, permitted, effective, bounding, ambient: ours, a child's
    assert [line.split()[1:] for line in said.splitlines() if line.startswith("Uid")] == [["42500"] * 4] * 2
    assert "True False" in said
