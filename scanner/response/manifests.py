"""The vault's manifests: one small file an item, replaced whole or not at all."""

from __future__ import annotations

import os
import re
from pathlib import Path

from scanner.model.errors import NotFoundError, VaultError
from scanner.response.copying import fsync_path, own_storage
from scanner.response.items import Item, decode, encode

# Ids become file names: nothing that has a meaning in a path.
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
SHORTEST_PREFIX = 6  # characters of an id that may stand for it; fewer are more likely a slip than an id


class Manifests:
    """Files ``<id>.json`` in one directory, written beside and renamed into it."""

    def __init__(self, directory: Path, incoming: Path) -> None:
        self.directory = directory
        self._incoming = incoming

    def all(self) -> tuple[tuple[Item, ...], tuple[tuple[Path, str], ...]]:
        """(items by id, damaged manifests and what is wrong with them).

        Raises:
            VaultError: the directory can't be read.
        """
        items, damaged = [], []
        with own_storage(self.directory):
            for path in sorted(self.directory.glob("*.json")):
                try:
                    items.append(decode(path.read_bytes()))
                except FileNotFoundError:  # an undone securing's, removed while we read
                    continue
                except ValueError as e:
                    damaged.append((path, str(e)))
        return tuple(items), tuple(damaged)

    def find(self, item_id: str) -> Item | None:
        """The item of exactly this id, None if there is none.

        Raises:
            VaultError: its manifest is damaged.
        """
        if not _ID.fullmatch(item_id):
            return None
        path = self._path(item_id)
        with own_storage(path):
            try:
                return decode(path.read_bytes())
            except FileNotFoundError:
                return None
            except ValueError as e:
                raise VaultError(
                    f"the manifest is damaged: {e}",
                    where=str(path),
                    remedy="Run `hostsweep quarantine verify`",
                ) from e

    def get(self, item_id: str) -> Item:
        """The item of an id, or of the only id that begins so (at least 6 characters).

        Raises:
            NotFoundError: there is none, or there are several.
            VaultError: its manifest is damaged.
        """
        item = self.find(item_id)
        if item is not None:
            return item
        ids = []
        if _ID.fullmatch(item_id) and len(item_id) >= SHORTEST_PREFIX:
            ids = [path.stem for path in self.directory.glob(f"{item_id}*.json")]
        found = self.find(ids[0]) if len(ids) == 1 else None
        if found is None:
            raise NotFoundError(
                f"the vault has {'several items' if len(ids) > 1 else 'no item'} with this id",
                where=item_id,
                remedy="`hostsweep quarantine list` shows them all",
            )
        return found

    def write(self, item: Item) -> None:
        """Write an item's manifest; durable on return.

        Raises:
            VaultFullError, VaultError: it could not be written.
        """
        target = self._path(item.id)
        part = self._incoming / target.name
        with own_storage(target):
            part.unlink(missing_ok=True)
            fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                with os.fdopen(fd, "wb") as f:
                    f.write(encode(item))
                    f.flush()
                    os.fsync(f.fileno())
                part.rename(target)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            fsync_path(self.directory)

    def remove(self, item_id: str) -> None:
        """Remove the manifest of an item that never came to be.

        Raises:
            VaultError: it can't be removed.
        """
        path = self._path(item_id)
        with own_storage(path):
            (self._incoming / path.name).unlink(missing_ok=True)
            if path.exists():
                path.unlink()
                fsync_path(self.directory)

    def _path(self, item_id: str) -> Path:
        if not _ID.fullmatch(item_id):
            raise RuntimeError(f"an id that is no safe file name: {item_id!r}")
        return self.directory / f"{item_id}.json"
