"""A real securer in a process of its own, and whoever speaks to it in others, each as another user."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes_response import digests_of

from scanner.model.errors import ScannerError
from scanner.securer.client import Connection
from scanner.securer.protocol import Ask, FileAsk, Op
from scanner.system import power
from scanner.system.opening import DIRECTORY_FLAGS

DAEMON, STRANGER, CUSTOMER = 42_500, 42_501, 42_001  # uids of nobody else
CAP_DAC_OVERRIDE = 1
CASE = "case-1"


def as_user(
    uid: int, work: Callable[[], Any], keep: Sequence[int] = (power.CAP_DAC_READ_SEARCH,)
) -> dict[str, Any]:
    """Run work in a child that is another user with these capabilities; what it returns, or its error."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            if uid:
                power.become(uid, uid, keep)
            try:
                said = {"answer": work()}
            except (ScannerError, OSError, ValueError) as e:
                said = {"error": f"{type(e).__name__}: {e}"}
            os.write(writer, json.dumps(said).encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as f:
        text = f.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the child ended with {status}"
    found: dict[str, Any] = json.loads(text)
    return found


@dataclass
class SecurerHost:
    """A volume, a vault and a securer; the daemon's part is played by the test."""

    base: Path
    max_hits: int = 500
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @classmethod
    def build(cls, base: Path, max_hits: int = 500) -> SecurerHost:
        made = cls(base, max_hits)
        made.volume.mkdir(parents=True)
        made.state.mkdir(mode=0o700)
        os.chown(made.state, DAEMON, DAEMON)
        made.configure()
        return made

    @property
    def volume(self) -> Path:
        return self.base / "www"

    @property
    def vault(self) -> Path:
        return self.base / "vault"

    @property
    def state(self) -> Path:
        return self.base / "state"

    @property
    def socket(self) -> Path:
        return self.base / "run" / "socket"

    @property
    def config(self) -> Path:
        return self.base / "config.yaml"

    def configure(self, more: str = "") -> None:
        self.config.write_text(
            f"volumes: [{{name: web, path: {self.volume}}}]\n"
            f"state_directory: {self.state}\n"
            f"quarantine: {{directory: {self.vault}, securer: {self.socket},"
            f" securer_user: {DAEMON}, reserve: 0}}\n"
            f"brake: {{max_hits: {self.max_hits}, max_share: 1.0}}\n" + more
        )

    def start(self, *before: str, wait: bool = True) -> SecurerHost:
        """Start the securer, perhaps under another command, and wait until it listens."""
        self.socket.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [*before, sys.executable, "-m", "scanner", "-c", str(self.config), "securer"],
            stderr=(self.base / "securer.log").open("ab"),
            stdout=subprocess.DEVNULL,
        )
        if wait:
            until(lambda: self.socket.exists() or self.process.poll() is not None)
            assert self.process.poll() is None, self.log
        return self

    @property
    def log(self) -> str:
        return (self.base / "securer.log").read_text()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it as a service manager does; returns its exit status."""
        if self.process is None or self.process.poll() is not None:
            return -1
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def save(self, name: str, content: bytes = b"illegal by its list", mode: int = 0o600) -> Path:
        """A customer's file, closed to everybody else, in a directory that is closed too."""
        path = self.volume / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
        os.chown(path, CUSTOMER, CUSTOMER)
        if path.parent != self.volume:
            path.parent.chmod(0o700)
            os.chown(path.parent, CUSTOMER, CUSTOMER)
        return path

    def items(self) -> list[Path]:
        return sorted((self.vault / "items").glob("*.json"))

    def being_copied(self) -> bool:
        return any((self.vault / "incoming").glob("*.part"))

    def staged(self) -> list[str]:
        folder = self.volume / ".hostsweep-staging"
        return sorted(os.listdir(folder)) if folder.exists() else []

    # As the daemon

    def ask(self, ask: Ask, descriptors: Sequence[int] = (), uid: int = DAEMON) -> dict[str, Any]:
        """One question of a user; the answer's fields, or the error."""
        return as_user(
            uid, lambda: jsonable(self.connection().ask(ask, descriptors, seconds=30, take=_ignore))
        )

    def connection(self) -> Connection:
        return Connection.open(self.socket)

    def raw(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.settimeout(10)
        sock.connect(str(self.socket))
        return sock

    def secure(
        self,
        path: Path,
        *,
        fd: Callable[[], int] | None = None,
        directory_fd: Callable[[], int] | None = None,
        uid: int = DAEMON,
        **claims: Any,
    ) -> dict[str, Any]:
        """Have a file secured as the daemon does, with descriptors and claims replaced where given."""

        def work() -> dict[str, Any]:
            with ExitStack() as stack:
                own_fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
                stack.callback(os.close, own_fd)
                sent = [
                    fd() if fd else own_fd,
                    directory_fd() if directory_fd else os.open(path.parent, DIRECTORY_FLAGS),
                ]
                ask = Ask(Op.SECURE, file=FileAsk(**{**described(self.volume, path, own_fd), **claims}))
                return jsonable(self.connection().ask(ask, sent, seconds=30))

        return as_user(uid, work)


def described(volume: Path, path: Path, fd: int) -> dict[str, Any]:
    """What an honest daemon says of a file."""
    st, digests = os.fstat(fd), digests_of(fd)
    below = os.fsencode(path.parent)[len(os.fsencode(volume)) :].strip(b"/")
    return {
        "volume": "web",
        "root": os.fsencode(volume),
        "directory": below,
        "name": os.fsencode(path.name),
        "device": st.st_dev,
        "inode": st.st_ino,
        "size": st.st_size,
        "mtime_ns": st.st_mtime_ns,
        "ctime_ns": st.st_ctime_ns,
        "hashed": digests.size,
        "digests": dict(digests.exact),
        "case_id": CASE,
    }


def _ignore(part: bytes) -> None:
    """Parts of a stream that the test doesn't look at."""


def jsonable(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: v.hex() if isinstance(v, bytes) else v for k, v in fields.items()}


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Look again and again until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        select.select([], [], [], 0.002)
