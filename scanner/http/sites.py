"""Where the surface listens: an address, or a UNIX socket in a directory of ours."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from pathlib import Path

from aiohttp import web

from scanner.http.connections import Connection
from scanner.http.limits import Limits, Watcher

_SOCKET_MODE = 0o660  # our user and group: who may ask is for the directory's group to say


class Site(web.BaseSite):
    """A listening socket whose connections are `Connection`."""

    __slots__ = ("_host", "_limits", "_port", "_watcher")

    def __init__(self, runner: web.AppRunner, host: str, port: int, limits: Limits, watcher: Watcher) -> None:
        super().__init__(runner)
        self._host = host
        self._port = port
        self._limits = limits
        self._watcher = watcher

    @property
    def name(self) -> str:
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address is taken, not ours, or may not be used.
        """
        await super().start()
        loop, server = asyncio.get_running_loop(), self._runner.server
        if server is None:
            raise RuntimeError("setup() comes before start()")
        self._server = await loop.create_server(
            lambda: Connection(server, self._limits, self._watcher),
            self._host,
            self._port,
            backlog=self._limits.connections,
        )


class UnixSite(web.BaseSite):
    """The same on a UNIX socket, which is removed at the end."""

    __slots__ = ("_identity", "_limits", "_path", "_watcher")

    def __init__(self, runner: web.AppRunner, path: str, limits: Limits, watcher: Watcher) -> None:
        super().__init__(runner)
        self._path = Path(path)
        self._limits = limits
        self._watcher = watcher
        self._identity = (0, 0)

    @property
    def name(self) -> str:
        return f"unix:{self._path}"

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the directory is not ours alone, or something is in the socket's place.
        """
        await super().start()
        loop, server = asyncio.get_running_loop(), self._runner.server
        if server is None:
            raise RuntimeError("setup() comes before start()")
        sock = bound_socket(self._path)
        self._identity = _identity(self._path.lstat())
        self._server = await loop.create_unix_server(
            lambda: Connection(server, self._limits, self._watcher),
            sock=sock,
            backlog=self._limits.connections,
        )

    async def stop(self) -> None:
        await super().stop()
        try:
            if _identity(self._path.lstat()) == self._identity:
                self._path.unlink()
        except FileNotFoundError:
            return


def _identity(st: os.stat_result) -> tuple[int, int]:
    return st.st_dev, st.st_ino


def bound_socket(path: Path) -> socket.socket:
    """A socket at a path, not listening yet: until it does, connecting to it is refused.

    Raises:
        OSError: EADDRINUSE if something is there that is alive or no socket; EPERM if strangers could
            have a hand in the directory.
    """
    _check_directory(path.parent)
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(path))
        # The directory is ours alone, so nothing was put in its place in between.
        path.chmod(_SOCKET_MODE)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _check_directory(directory: Path) -> None:
    """Make the directory if only it is missing, and see that nobody else can change what is in it.

    With that, and the same for all above it, the path means the same thing each time it is used.
    """
    if not directory.parent.is_dir():
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), str(directory.parent))
    if not directory.exists() and not directory.is_symlink():
        directory.mkdir(mode=0o750)
    for place in (directory, *Path(os.path.realpath(directory)).parents):
        st = place.lstat()
        # In a sticky directory (/tmp) strangers can't rename what is ours; put things there they can.
        sticky = place != directory and st.st_mode & stat.S_ISVTX
        if not stat.S_ISDIR(st.st_mode):
            raise OSError(errno.EPERM, "a symbolic link stands for its directory", str(place))
        if st.st_uid not in (0, os.geteuid()) or (st.st_mode & 0o022 and not sticky):
            raise OSError(errno.EPERM, f"others may write {place}", str(place))


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens on: what a process that was killed leaves behind."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EADDRINUSE, "something that is no socket stands there", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except BlockingIOError:
            pass  # it listens, and is busy
    raise OSError(errno.EADDRINUSE, "another program listens there", str(path))
