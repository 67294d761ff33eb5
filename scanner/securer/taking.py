"""New files that an operator named, opened here by his own power and filled by the securer.

The securer itself writes nowhere but into volumes and the vault.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from scanner.model.errors import VaultError
from scanner.model.names import display
from scanner.response import Attributes, open_root
from scanner.response.attributes import apply_attributes
from scanner.response.copying import fsync_directories

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def new_file(target: Path) -> Iterator[int]:
    """A new file of mode 0600, synced at the end, removed again if anything fails.

    Raises:
        VaultError: it exists, or can't be written.
    """
    try:
        fd = os.open(target, _NEW, 0o600)
        try:
            yield fd
            os.fsync(fd)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)
    except OSError as e:
        raise VaultError(
            f"nothing was exported ({e.strerror})", where=str(target), remedy="Name a new file elsewhere"
        ) from e


@dataclass(slots=True)
class Placed:
    """A file without a name, which gets one when it is whole.

    Attributes:
        path: absolute, where it is to be.
        fd: open for writing.
        complete_with: set by `complete`.
    """

    path: bytes
    fd: int
    _attributes: list[Attributes] = field(default_factory=list)

    def complete(self, attributes: Attributes) -> None:
        """The content is whole; these are to be set before the file gets its name."""
        self._attributes.append(attributes)

    def set_attributes(self) -> None:
        for attributes in self._attributes:
            apply_attributes(self.fd, attributes)


@contextmanager
def placed_file(to: Path) -> Iterator[Placed]:
    """A file that appears at a path, over nothing, when the block ends well; else nothing of it is left.

    Raises:
        VaultError: the name is taken, the directory is gone or a link, or it can't be written.
    """
    path = os.fsencode(os.path.abspath(to))
    directory, name = os.path.split(path)
    where = display(path)
    try:
        parent_fd = open_root(directory)
        try:
            fd = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=parent_fd)
            try:
                placed = Placed(path, fd)
                yield placed
                placed.set_attributes()
                os.fsync(fd)
                # By way of /proc: linkat with AT_EMPTY_PATH wants CAP_DAC_READ_SEARCH. Never over another
                # name.
                os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=parent_fd, follow_symlinks=True)
                fsync_directories([parent_fd])
            finally:
                os.close(fd)
        finally:
            with suppress(OSError):
                os.close(parent_fd)
    except FileExistsError as e:
        raise VaultError(
            "the name is taken; nothing is overwritten", where=where, remedy="Name a file that does not exist"
        ) from e
    except OSError as e:
        hint = "Name a place on a local file system" if e.errno == errno.EOPNOTSUPP else "Name another place"
        raise VaultError(f"the file can't be put there ({e.strerror})", where=where, remedy=hint) from e
