"""Starting a walker process and listening to it."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol

from scanner.model.profiles import ground_of
from scanner.pipeline.frames import Frame, FrameStream, WalkBroken, WalkEnded
from scanner.pipeline.stalling import Stuck
from scanner.sources import Shortcut, WalkPolicy, compile_excludes

_READ_SIZE = 1 << 18  # bytes taken from the socket at a time
_STOP_SECONDS = 3.0  # a walker may be in the middle of a system call on a slow disk


@dataclass(frozen=True, slots=True)
class WalkOrder:
    """What a walker process is told.

    Attributes:
        volume, root: which volume.
        catalog: path of the catalog, "" to take every file as new.
        profile: what the catalog's rows must have been made with.
        exclude, one_filesystem, mail_ground, snapshots: the operator's wishes.
        own: (device, inode) of directories of ours.
        own_name, own_owners: see WalkPolicy.
        inode_map: file in which a walk may be kept by inode, "" for none.
        plain_every: seconds after which a walk has to be a plain one again; 0 for always.
    """

    volume: str
    root: bytes
    catalog: str
    profile: bytes
    exclude: tuple[str, ...] = ()
    one_filesystem: bool = True
    mail_ground: str = ""
    snapshots: bool = False
    own: tuple[tuple[int, int], ...] = ()
    own_name: bytes = b""
    own_owners: tuple[int, ...] = ()
    inode_map: str = ""
    plain_every: float = 0

    def to_json(self) -> dict[str, Any]:
        """JSON-able, with bytes as base64."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in values.items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> WalkOrder:
        return cls(
            volume=data["volume"],
            root=base64.b64decode(data["root"]),
            catalog=data["catalog"],
            profile=base64.b64decode(data["profile"]),
            exclude=tuple(data["exclude"]),
            one_filesystem=data["one_filesystem"],
            mail_ground=data["mail_ground"],
            snapshots=data["snapshots"],
            own=tuple((int(d), int(i)) for d, i in data["own"]),
            own_name=base64.b64decode(data["own_name"]),
            own_owners=tuple(int(uid) for uid in data["own_owners"]),
            inode_map=data["inode_map"],
            plain_every=float(data["plain_every"]),
        )

    def shortcut(self) -> Shortcut:
        """How the walk may be shortened."""
        decides = replace(self, catalog="", inode_map="", plain_every=0, profile=ground_of(self.profile))
        made_with = sha256(json.dumps(decides.to_json(), sort_keys=True).encode()).hexdigest()
        return Shortcut(Path(self.inode_map), made_with, int(self.plain_every * 1e9) if self.inode_map else 0)

    def policy(self) -> WalkPolicy:
        """The same for the walk."""
        return WalkPolicy(
            excludes=compile_excludes(self.exclude, self.root),
            one_filesystem=self.one_filesystem,
            mail_ground=self.mail_ground,
            snapshots=self.snapshots,
            own=frozenset(self.own),
            own_name=self.own_name,
            own_owners=frozenset(self.own_owners),
            profile=ground_of(self.profile),  # what is there does not depend on the kinds of hashes
        )


class Walker(Protocol):
    """Where walk events come from.

    `fileno` becomes readable when there is something; `read` takes what is there without waiting and
    returns nothing more after WalkEnded or WalkBroken.
    """

    def fileno(self) -> int: ...

    def read(self) -> Iterator[Frame]: ...

    def activity(self) -> bytes:
        """A value that changes whenever the walker does anything; see Silence."""

    def stop(self) -> None: ...


class WalkerProcess:
    """A walker in a process of its own.

    The socket's buffer is the back-pressure: a walker that is ahead of the hashing waits in `send`.

    Args:
        stuck: takes a process that can't be ended.
    """

    def __init__(self, order: WalkOrder, root_fd: int, stuck: Stuck) -> None:
        self._volume = order.volume
        self._stuck = stuck
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._ours.setblocking(False)
        self._stream = FrameStream()
        self._ended = False
        argument = base64.b64encode(json.dumps(order.to_json()).encode()).decode()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", "scanner.pipeline.walker_process",
                 "--socket-fd", str(theirs.fileno()), "--root-fd", str(root_fd), "--order", argument],
                pass_fds=(theirs.fileno(), root_fd),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "TZ")},
                cwd="/",
            )  # fmt: skip

    def fileno(self) -> int:
        return self._ours.fileno()

    @property
    def pid(self) -> int:
        return self._process.pid

    def read(self) -> Iterator[Frame]:
        """What is there by now.

        Raises:
            WorkerError: what came is no walk event.
        """
        try:
            data = self._ours.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        for frame in self._stream.feed(data):
            self._ended = self._ended or isinstance(frame, WalkEnded | WalkBroken)
            yield frame
        if not data and not self._ended:
            self._ended = True
            yield WalkBroken(f"the walker process ended unexpectedly (status {self._process.wait()})")

    def activity(self) -> bytes:
        """Its state, processor time and context switches, as proc_pid_stat(5) and proc_pid_status(5) tell."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_bytes()
            status = Path(f"/proc/{self.pid}/status").read_bytes()
        except OSError:
            return b""
        times = stat.rpartition(b")")[2].split()[11:13]
        return b" ".join((*times, status[status.find(b"voluntary_ctxt_switches") :]))

    def stop(self) -> None:
        """End the process, whatever it is doing, and reap it; one that can't be ended is left behind."""
        self._ours.close()
        try:
            self._process.wait(_STOP_SECONDS if self._ended else 0.05)
        except subprocess.TimeoutExpired:
            self._process.kill()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._stuck.keep(self._volume, self._process)


class WalkedAlready:
    """Walk events that need no walk: a single file, or files found in the catalog, one at a time."""

    def __init__(self, events: Iterable[Frame]) -> None:
        self._events = chain(events, (WalkEnded(),))
        self._reader, writer = os.pipe2(os.O_CLOEXEC)
        os.close(writer)  # a pipe without a writer is always readable

    def fileno(self) -> int:
        return self._reader

    def read(self) -> Iterator[Frame]:
        yield from islice(self._events, 1)

    def activity(self) -> bytes:
        return b""  # never silent

    def stop(self) -> None:
        if self._reader >= 0:
            os.close(self._reader)
            self._reader = -1
