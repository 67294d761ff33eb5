"""Looking at everything oneself before a file is secured for somebody else.

The asking side read files of strangers for hours, so it is assumed to be taken over. What it says is a
claim, and its descriptors are only compared with what is opened here, beneath the root of a volume that
this process knows from its own configuration:

 1. The volume is one of ours, by name and root.
 2. The descriptors are what they should be: a regular file, open for reading alone; an open directory; no
    O_PATH.
 3. The root is opened here, following no link in any component; the directory is opened beneath it, by the
    path that was claimed, following none; it is the very directory of the second descriptor.
 4. Nothing of our own lies on that way: neither the vault nor the volume's staging folder.
 5. The file is what was claimed of it: device, inode, size and times.
 6. The name stands for that inode now, and is opened here, in that directory.

From then on only descriptors made here are used: an open file is shared with whoever passed it, who could
still change its flags. Between 6 and the move a customer may swap the name: that is what `Securer` is made
for. It moves first, compares the inode after, and hashes all bytes anew while it copies.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from scanner.model.files import FileStat
from scanner.model.hashes import Digests
from scanner.response import STAGING_NAME, SecureOutcome, SecureRequest, SecureResult, open_root
from scanner.securer.protocol import FileAsk
from scanner.system.opening import open_directory, open_regular

_O_PATH = os.O_PATH
_Identity = tuple[int, int]  # device and inode


class Unfit(Exception):
    """A file that is not secured, and what to say about it."""

    def __init__(self, result: SecureResult) -> None:
        super().__init__(result.kind)
        self.result = result


def refused(text: str) -> Unfit:
    """A claim that is not so: the asking side is broken or hostile."""
    return Unfit(SecureResult.failed("refused", text))


@contextmanager
def verified(
    ask: FileAsk,
    file_fd: int,
    directory_fd: int,
    volumes: Mapping[str, bytes],
    own: Collection[_Identity],
) -> Iterator[SecureRequest]:
    """The request that is left of what was asked, made of descriptors opened here.

    Args:
        file_fd, directory_fd: as passed by the other side; they stay the caller's to close.
        volumes: name to root, as configured here.
        own: device and inode of directories in which nothing is ever secured.

    Raises:
        Unfit: something was not as claimed, or is not so any more.
    """
    if volumes.get(ask.volume) != ask.root:
        raise refused("no volume of this name and root is configured here")
    if not _plain(ask.name) or not all(_plain(c) for c in _components(ask.directory)):
        raise refused("the path is no plain path below the volume's root")
    if not ask.digests:
        raise refused("there is no exact digest to check the copy by")
    claimed = _look_at_file(ask, file_fd)
    with ExitStack() as stack:
        try:
            root_fd = open_root(ask.root)
            stack.callback(os.close, root_fd)
            parent_fd = open_directory(root_fd, ask.directory)
            stack.callback(os.close, parent_fd)
        except OSError as e:
            raise Unfit(
                SecureResult.failed("changed", f"its directory can't be reached ({e.strerror})")
            ) from e
        _compare_directories(directory_fd, parent_fd)
        _keep_off_own(root_fd, ask.directory, own)
        fd = _open_file(parent_fd, ask.name, claimed)
        stack.callback(os.close, fd)
        yield SecureRequest(
            volume=ask.volume,
            root=ask.root,
            root_fd=root_fd,
            directory=ask.directory,
            name=ask.name,
            fd=fd,
            stat=FileStat.of(ask.name, os.fstat(fd)),
            directory_fd=parent_fd,
            digests=Digests(ask.hashed, "", dict(ask.digests)),
            case_id=ask.case_id,
            atime_ns=ask.atime_ns,
        )


def _components(path: bytes) -> list[bytes]:
    return path.split(b"/") if path else []


def _plain(name: bytes) -> bool:
    return name not in (b"", b".", b"..") and b"/" not in name


def _look_at_file(ask: FileAsk, fd: int) -> _Identity:
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    if flags & _O_PATH or flags & os.O_ACCMODE != os.O_RDONLY:
        raise refused("the file's descriptor is not one for reading alone")
    st = os.fstat(fd)
    if not stat.S_ISREG(st.st_mode):
        raise refused("the file's descriptor is not that of a regular file")
    if (st.st_dev, st.st_ino) != (ask.device, ask.inode):
        raise refused("the file's descriptor is not that of the file described")
    if (st.st_size, st.st_mtime_ns, st.st_ctime_ns) != (ask.size, ask.mtime_ns, ask.ctime_ns):
        raise Unfit(SecureResult(SecureOutcome.CHANGED, "changed", "it was written to since it was hashed"))
    return st.st_dev, st.st_ino


def _compare_directories(passed_fd: int, opened_fd: int) -> None:
    passed, opened = os.fstat(passed_fd), os.fstat(opened_fd)
    if fcntl.fcntl(passed_fd, fcntl.F_GETFL) & _O_PATH or not stat.S_ISDIR(passed.st_mode):
        raise refused("the directory's descriptor is not that of an open directory")
    if (passed.st_dev, passed.st_ino) != (opened.st_dev, opened.st_ino):
        # A customer can do this, by renaming directories while they are scanned: no reason to cry out.
        raise Unfit(SecureResult.failed("changed", "another directory stands at its path now"))


def _keep_off_own(root_fd: int, directory: bytes, own: Collection[_Identity]) -> None:
    """No directory on the way, from the root down, is one of ours."""
    forbidden = set(own)
    try:
        st = os.stat(STAGING_NAME, dir_fd=root_fd, follow_symlinks=False)
        if st.st_uid == os.geteuid():
            forbidden.add((st.st_dev, st.st_ino))
    except FileNotFoundError:
        pass
    fd = os.dup(root_fd)
    try:
        for name in (b"", *_components(directory)):
            if name:
                below = open_directory(fd, name)
                os.close(fd)
                fd = below
            st = os.fstat(fd)
            if (st.st_dev, st.st_ino) in forbidden:
                raise refused("this is a directory of ours")
    except OSError as e:
        raise Unfit(SecureResult.failed("changed", f"its directory can't be reached ({e.strerror})")) from e
    finally:
        os.close(fd)


def _open_file(parent_fd: int, name: bytes, claimed: _Identity) -> int:
    try:
        # Looked at first: opening a device of a customer's (a FUSE mount, say) has effects of its own.
        st = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        if (st.st_dev, st.st_ino) != claimed:
            raise Unfit(SecureResult(SecureOutcome.RACED, "raced"))
        fd, st = open_regular(parent_fd, name)
    except FileNotFoundError:
        raise Unfit(SecureResult(SecureOutcome.VANISHED, "vanished")) from None
    except OSError as e:
        raise Unfit(SecureResult.failed("changed", e.strerror or str(e))) from e
    if (st.st_dev, st.st_ino) != claimed:
        os.close(fd)
        raise Unfit(SecureResult(SecureOutcome.RACED, "raced"))
    return fd
