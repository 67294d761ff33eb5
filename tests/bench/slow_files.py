"""A file system that answers each read late, as a server on a network does: FUSE, without a library.

It mirrors one directory of files without directories below, read-only. Each read is answered `delay` seconds
after it was asked, however many are asked at once. To be used as root. The protocol is linux/fuse.h's.
"""

from __future__ import annotations

import ctypes
import errno
import heapq
import os
import select
import stat
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from measuring import Skipped

_IN, _OUT = struct.Struct("<IIQQIIII"), struct.Struct("<IiQ")
_ATTR = struct.Struct("<QQQQQQIIIIIIIIII")
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _STATFS, _RELEASE = 1, 2, 3, 14, 15, 17, 18
_INIT, _OPENDIR, _READDIR, _RELEASEDIR, _INTERRUPT, _DESTROY, _BATCH_FORGET = 26, 27, 28, 29, 36, 38, 42
_BUFFER = (1 << 20) + 4096
_ASYNC_READ, _MAX_PAGES, _KEEP_CACHE = 1, 1 << 22, 2
_VALID = 3600  # seconds for which names and sizes are remembered: only reading is slow
_ROOT = 1
_MNT_DETACH = 2


@dataclass(slots=True)
class _Server:
    device: int
    source: Path
    delay: float
    names: dict[bytes, int] = field(default_factory=dict)
    files: list[os.DirEntry[bytes]] = field(default_factory=list)
    reads: int = 0
    most: int = 0
    late: list[tuple[float, int, int, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        with os.scandir(os.fsencode(self.source)) as entries:
            self.files = sorted(entries, key=lambda e: e.name)
        self.names = {e.name: n for n, e in enumerate(self.files, _ROOT + 1)}

    def serve(self) -> None:
        """Answer until the file system is unmounted."""
        poll = select.poll()
        poll.register(self.device, select.POLLIN)
        while True:
            wait = 1000 if not self.late else max(0, int((self.late[0][0] - time.perf_counter()) * 1000))
            asked = poll.poll(wait)
            while self.late and self.late[0][0] <= time.perf_counter():
                self._read(*heapq.heappop(self.late)[1:])
            if asked:
                try:
                    message = os.read(self.device, _BUFFER)
                except OSError as e:
                    if e.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):
                        continue
                    return  # ENODEV: unmounted
                self._take(message)

    def _take(self, message: bytes) -> None:
        _, code, unique, node, *_ = _IN.unpack_from(message)
        body = message[_IN.size :]
        if code == _READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            self.reads += 1
            heapq.heappush(self.late, (time.perf_counter() + self.delay, unique, node, offset, size))
            self.most = max(self.most, len(self.late))
        elif code not in (_FORGET, _BATCH_FORGET, _INTERRUPT, _DESTROY):
            self._say(unique, self._answer(code, node, body))

    def _answer(self, code: int, node: int, body: bytes) -> bytes | int:
        match code:
            case 26:  # INIT: version, read-ahead, flags; requests in the background, pages of a read
                _, _, ahead, _ = struct.unpack_from("<IIII", body)
                flags = _ASYNC_READ | _MAX_PAGES
                return struct.pack("<IIIIHHIIHHI28x", 7, 31, ahead, flags, 256, 256, 1 << 20, 1, 256, 0, 0)
            case 1:  # LOOKUP
                found = self.names.get(body.rstrip(b"\0"))
                if found is None:
                    return -errno.ENOENT
                return struct.pack("<QQQQII", found, 0, _VALID, _VALID, 0, 0) + self._attributes(found)
            case 3:  # GETATTR
                return struct.pack("<QII", _VALID, 0, 0) + self._attributes(node)
            case 14 | 27:  # OPEN, OPENDIR
                return struct.pack("<QII", node, _KEEP_CACHE if code == _OPEN else 0, 0)
            case 28:  # READDIR
                _, offset, size = struct.unpack_from("<QQI", body)
                return self._listing(offset, size)
            case 17:  # STATFS
                return struct.pack("<QQQQQIIII24x", 0, 0, 0, 0, 0, 4096, 255, 4096, 0)
            case 18 | 29 | 25:
                return b""
            case _:
                return -errno.ENOSYS

    def _attributes(self, node: int) -> bytes:
        st = os.stat(self.source) if node == _ROOT else self.files[node - _ROOT - 1].stat()
        times = [ns // 10**9 for ns in (st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns)]
        parts = [ns % 10**9 for ns in (st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns)]
        return _ATTR.pack(
            node, st.st_size, st.st_blocks, *times, *parts,
            st.st_mode, st.st_nlink, 0, 0, 0, 4096, 0,
        )  # fmt: skip

    def _listing(self, offset: int, size: int) -> bytes:
        out = b""
        for n in range(offset, len(self.files)):
            name = self.files[n].name
            entry = struct.pack("<QQII", n + _ROOT + 1, n + 1, len(name), stat.S_IFREG >> 12) + name
            entry += b"\0" * (-len(entry) % 8)
            if len(out) + len(entry) > size:
                break
            out += entry
        return out

    def _read(self, unique: int, node: int, offset: int, size: int) -> None:
        fd = os.open(self.files[node - _ROOT - 1].path, os.O_RDONLY)
        try:
            self._say(unique, os.pread(fd, size, offset))
        finally:
            os.close(fd)

    def _say(self, unique: int, answer: bytes | int) -> None:
        error, data = (answer, b"") if isinstance(answer, int) else (0, answer)
        try:
            os.write(self.device, _OUT.pack(_OUT.size + len(data), error, unique) + data)
        except OSError:
            pass  # who asked is gone


@contextmanager
def mounted(source: Path, at: Path, delay: float) -> Iterator[_Server]:
    """The files of `source` at a directory, each read answered `delay` seconds late.

    Raises:
        Skipped: this process may not mount, or the kernel has no FUSE.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as e:
        raise Skipped(f"no FUSE here: {e}") from e
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    if libc.mount(b"slow", os.fsencode(at), b"fuse.slow", 6, options.encode()):
        os.close(device)
        raise Skipped(f"a file system can't be mounted here: {os.strerror(ctypes.get_errno())}")
    server = _Server(device, source, delay)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        libc.umount2(os.fsencode(at), _MNT_DETACH)
        thread.join(5)
        os.close(device)
