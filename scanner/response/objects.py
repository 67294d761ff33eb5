"""The vault's objects: files named by the SHA-256 of their content, whole or not there at all.

objects/ab/abcd…    mode 0600, never changed, removed when the last item that needs it is purged
incoming/           what is being written; a file here counts for nothing
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from scanner.response.copying import copy_hashed, fsync_path, own_storage
from scanner.system.opening import FILE_FLAGS

_PURGE = "purge"  # no name that an unfinished file has: those end in .part or .json
_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Objects:
    """Content-addressed files below the vault's directory."""

    def __init__(self, directory: Path) -> None:
        self._objects = directory / "objects"
        self._incoming = directory / "incoming"

    def prepare(self) -> None:
        """Make the directories.

        Raises:
            OSError: they can't be made.
        """
        for path in (self._objects, self._incoming):
            path.mkdir(mode=0o700, exist_ok=True)

    def path(self, sha256: bytes) -> Path:
        name = sha256.hex()
        return self._objects / name[:2] / name

    def incoming(self, name: str) -> Path:
        return self._incoming / name

    def add(self, source_fd: int, key: str, expected: Mapping[str, bytes], size: int) -> dict[str, bytes]:
        """Write an object and check it while it is written; durable on return.

        An object of that content that is there already is replaced by the fresh one, which was just checked.

        Args:
            key: unique name for the unfinished file.

        Returns:
            kind to raw digest, sha256 among them.

        Raises:
            ContentChangedError, SourceError: see `copy_hashed`.
            VaultError: it could not be written.
        """
        part = self.incoming(f"{key}.part")
        with own_storage(part):
            part.unlink(missing_ok=True)
            fd = os.open(part, _NEW_FILE, 0o600)
            try:
                digests = copy_hashed(source_fd, fd, expected, size)
                os.fsync(fd)
                self._move_in(part, self.path(digests["sha256"]))
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            finally:
                os.close(fd)
        return digests

    def _move_in(self, part: Path, target: Path) -> None:
        target.parent.mkdir(mode=0o700, exist_ok=True)
        # Always: whoever made it may have died before the directory's own name was on the disk.
        fsync_path(self._objects)
        part.rename(target)
        fsync_path(target.parent)

    def open(self, sha256: bytes) -> int:
        """Open an object for reading.

        Raises:
            OSError: it isn't there.
        """
        return os.open(self.path(sha256), FILE_FLAGS)

    def remove(self, digests: Iterable[bytes]) -> None:
        """Remove objects, durably; those that are gone already too: whoever removed them may have died before
        it was on the disk.

        Raises:
            OSError: one can't be removed.
        """
        paths = [self.path(sha256) for sha256 in digests]
        for path in paths:
            path.unlink(missing_ok=True)
        for directory in sorted({path.parent for path in paths}):
            if directory.exists():
                fsync_path(directory)

    def present(self) -> Iterator[Path]:
        """Files that lie where objects lie, in no order."""
        return (p for folder in self._objects.iterdir() if folder.is_dir() for p in folder.iterdir())

    def unfinished(self) -> Iterator[Path]:
        """Files that were being written, by the living or the dead."""
        return self._incoming.iterdir()

    def note_purge(self) -> None:
        """Say durably that a purge is under way: objects are to go whose manifests say so."""
        fd = os.open(self.incoming(_PURGE), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        os.close(fd)
        fsync_path(self._incoming)

    def purge_noted(self) -> bool:
        """Whether a purge did not come to its end."""
        return self.incoming(_PURGE).exists()

    def forget_unfinished(self) -> None:
        """Remove all that was being written. Only while nobody is writing.

        Raises:
            OSError: something can't be removed.
        """
        for path in sorted(self.unfinished(), key=lambda p: p.name == _PURGE):  # the note of a purge last
            path.unlink(missing_ok=True)
        fsync_path(self._incoming)
