"""The key under which lists are stored: of the configuration, or made once where the lists lie."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from scanner.config.reading import read_regular
from scanner.index import KEY_SIZE, ListKey, Snapshot
from scanner.model.errors import ConfigError, SnapshotError, StorageError
from scanner.system.durable import sync_path, write_new

NAME = "lists.key"
_LARGEST = 1024  # bytes read: 64 digits, and white space somebody may have left


class ListKeys:
    """Finds the key, and makes it where there is none.

    Args:
        key_file: `sync.key_file`, read each time; None: `lists.key` in `directory`.
        directory: of the lists. Whoever owns it makes the key; others only read it.
    """

    def __init__(self, key_file: Path | None, directory: Path) -> None:
        self._key_file = key_file
        self._directory = directory

    @property
    def path(self) -> Path:
        """Where the key is."""
        return self._key_file or self._directory / NAME

    def read(self) -> ListKey | None:
        """The key, None where none was made yet; blocking.

        Raises:
            ConfigError: `sync.key_file` can't be read or holds no key.
            StorageError: the same of the key we made.
        """
        try:
            data, _ = read_regular(self.path, _LARGEST)
        except FileNotFoundError as e:
            if self._key_file is None:
                return None
            raise self._unusable("it is not there") from e
        except OSError as e:
            raise self._unusable(f"it can't be read ({e.strerror})") from e
        try:
            return ListKey.parse(data)
        except ValueError as e:
            raise self._unusable(str(e)) from None

    def made(self) -> ListKey:
        """The key; made durably, for its owner alone, where there was none; blocking.

        Raises:
            ConfigError, StorageError: as of `read`, or it can't be written.
        """
        found = self.read()
        if found is not None:
            return found
        new = self.path.with_name(f".{NAME}.{secrets.token_hex(8)}.new")
        try:
            try:
                write_new(new, secrets.token_bytes(KEY_SIZE))
                # A link does not replace what another process has made meanwhile.
                with suppress(FileExistsError):
                    os.link(new, self.path, follow_symlinks=False)
            finally:
                new.unlink(missing_ok=True)
            sync_path(self._directory)
        except OSError as e:
            raise self._unusable(f"it can't be made ({e.strerror})") from e
        made = self.read()
        if made is None:
            raise self._unusable("it is gone again")
        return made

    def check(self) -> tuple[str, ...]:
        """What is worth a warning about `sync.key_file`.

        Raises:
            ConfigError: it can't be read or holds no key.
        """
        if self._key_file is None:
            return ()
        self.read()
        mode = stat.S_IMODE(self._key_file.stat().st_mode)
        if mode & 0o077:
            return (f"{self._key_file}: others may read the lists' key (mode {mode:04o}); run chmod 600",)
        return ()

    def _unusable(self, what: str) -> ConfigError | StorageError:
        if self._key_file is not None:
            return ConfigError(
                f"the key of the lists can't be used: {what}",
                where=f"sync.key_file: {self._key_file}",
                remedy="Expected 32 random bytes or 64 hexadecimal digits: openssl rand -hex 32",
            )
        return StorageError(
            f"the key of the lists can't be used: {what}",
            where=str(self.path),
            remedy="If it is lost, remove the file: a new one is made and all feeds are fetched again",
        )


def stored_under(key: ListKey | None, snapshot: Path | None) -> bool:
    """Whether there is a snapshot, and it is stored under this key. One that can't be read is none."""
    if key is None or snapshot is None:
        return False
    try:
        return Snapshot.peek(snapshot).key == key.id
    except SnapshotError:
        return False
