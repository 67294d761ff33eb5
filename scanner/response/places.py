"""Where a file has its place in a volume: kept as bytes, reached without following a link."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass

from scanner.response.copying import fsync_directories
from scanner.response.staging import StagingFolder
from scanner.system.opening import open_directory
from scanner.system.renaming import rename_noreplace


@dataclass(frozen=True, slots=True)
class Place:
    """A name in a directory below a root.

    Attributes:
        root: absolute path of the volume's root.
        directory: path below the root, components joined by b"/"; b"" is the root itself.
        name: the last component.
    """

    root: bytes
    directory: bytes
    name: bytes

    @property
    def path(self) -> bytes:
        """The absolute path; only to be shown, never to be opened."""
        below = self.directory + b"/" + self.name if self.directory else self.name
        return self.root.rstrip(b"/") + b"/" + below

    def details(self) -> dict[str, str | int | None]:
        """The place as text for a step's details."""
        return {"root": to_text(self.root), "directory": to_text(self.directory), "name": to_text(self.name)}

    @classmethod
    def of_details(cls, details: Mapping[str, str | int | None]) -> Place:
        """The place that `details` wrote down.

        Raises:
            ValueError, KeyError: it isn't one.
        """
        root, directory, name = (from_text(details[k]) for k in ("root", "directory", "name"))
        return cls(root, directory, name)


def to_text(raw: bytes) -> str:
    """Bytes as base64 text."""
    return base64.b64encode(raw).decode("ascii")


def from_text(text: object) -> bytes:
    """Bytes of base64 text.

    Raises:
        ValueError: it isn't such text.
    """
    if not isinstance(text, str):
        raise ValueError(f"expected base64 text instead of {type(text).__name__}")
    return base64.b64decode(text, validate=True)


def open_root(root: bytes) -> int:
    """Open a volume's root by the path that was recorded, following no link in any component.

    A root may lie in a directory that a customer can write to: putting a link in its place must not lead a
    restore out of the volume.

    Raises:
        OSError: ELOOP for a link, ENOENT, EACCES.
    """
    slash = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return open_directory(slash, root.strip(b"/"))
    finally:
        os.close(slash)


def identity_at(directory_fd: int, name: bytes) -> tuple[int, int] | None:
    """(device, inode) of what a name stands for now, links not followed; None if it is free.

    Raises:
        OSError: other than ENOENT.
    """
    try:
        st = os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return st.st_dev, st.st_ino


def put_back(staging: StagingFolder, token: bytes, directory_fd: int, name: bytes) -> None:
    """Give a staged object its name again, whatever it is; never over another.

    Raises:
        OSError: EEXIST when the name is taken (the object stays staged), ENOENT when the directory was
            removed, and all that rename and fsync know.
    """
    try:
        rename_noreplace(staging.fd, token, directory_fd, name)
    except FileExistsError:
        # A second name of the same inode (a rename done as link and unlink and cut in the middle): the
        # file has its place already, only our name of it is too many.
        staged = identity_at(staging.fd, token)
        if staged is None or identity_at(directory_fd, name) != staged:
            raise
        os.unlink(token, dir_fd=staging.fd)
    fsync_directories([directory_fd, staging.fd])
