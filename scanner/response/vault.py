"""The quarantine vault: secured files, each with a manifest of what it was and where.

    <directory>/            0700
      objects/ab/abcd…      the bytes (see `objects`)
      items/<id>.json       the manifest (see `items`), never removed
      incoming/             being written
      recovery.lock         held while what the dead left is put in order

Order of writes: an object is whole and durable before a manifest names it. Order of deletes: a manifest says
"purged" before its object goes. So a manifest that says "held" always has its object, whenever power fails.

Several processes may use one vault. Storing holds a shared lock from before the object is written until the
manifest is there; removing holds it alone: an object is never removed between the two.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from scanner.model.errors import SourceError, VaultError
from scanner.model.ports import Clock
from scanner.response.checking import VaultReport, check_vault
from scanner.response.copying import copy_hashed, fsync_path, own_storage
from scanner.response.items import Item, ItemState
from scanner.response.manifests import Manifests
from scanner.response.objects import Objects
from scanner.response.room import VaultLimits, check_room, free_bytes


class Vault:
    """The vault in one directory. Keeps no state of its own: usable from several threads and processes.

    Args:
        directory: absolute; made by `prepare`.
    """

    def __init__(self, directory: Path, limits: VaultLimits, clock: Clock) -> None:
        self.directory = directory
        self._objects = Objects(directory)
        self._manifests = Manifests(directory / "items", self._objects.incoming(""))
        self._limits = limits
        self._clock = clock

    def prepare(self) -> None:
        """Make the directories where they are missing, and check that they are ours alone and writable.

        Raises:
            VaultError: they can't be made, or others have rights in them.
        """
        with own_storage(self.directory):
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            st = self.directory.lstat()
            if not stat.S_ISDIR(st.st_mode) or st.st_uid != os.geteuid() or stat.S_IMODE(st.st_mode) & 0o077:
                raise VaultError(
                    "expected a directory of ours with mode 0700, "
                    f"got owner {st.st_uid} and mode {stat.S_IMODE(st.st_mode):04o}",
                    where=str(self.directory),
                    remedy="Give the vault a directory of its own (chown, chmod 0700)",
                )
            self._objects.prepare()
            self._manifests.directory.mkdir(mode=0o700, exist_ok=True)
            fsync_path(self.directory)
            if not os.access(self._manifests.directory, os.W_OK | os.X_OK):
                raise VaultError(
                    "the vault can't be written", where=str(self.directory), remedy="Mount it writable"
                )

    # Room

    def free_bytes(self) -> int:
        """Bytes free on the vault's file system for us; 0 where there is no vault yet.

        Raises:
            VaultError: the file system does not answer.
        """
        return free_bytes(self.directory) if self.directory.exists() else 0

    def check_room(self, size: int) -> None:
        """Check that a file of this size may come in.

        Raises:
            VaultFullError: it may not.
            VaultError: the vault isn't there.
        """
        used = self._objects_size() if self._limits.max_size else 0
        check_room(self.directory, self._limits, used, size)

    def usage(self) -> tuple[int, int]:
        """(items whose content is here, bytes of all objects).

        Raises:
            VaultError: the vault can't be read.
        """
        if not self._manifests.directory.exists():
            return 0, 0
        return sum(item.state is not ItemState.PURGED for item in self.items()), self._objects_size()

    def _objects_size(self) -> int:
        size = 0
        with own_storage(self.directory):
            for path in self._objects.present():
                try:
                    size += path.stat().st_size
                except FileNotFoundError:  # purged while we count
                    continue
        return size

    def now_ns(self) -> int:
        """The time to write into a manifest."""
        return self._clock.now_ns()

    # Reading

    def items(self) -> tuple[Item, ...]:
        """All items whose manifest is sound, purged ones too, by id; `verify` tells of the others.

        Raises:
            VaultError: the directory can't be read.
        """
        return self._manifests.all()[0]

    def get(self, item_id: str) -> Item:
        """The item of an id, or of the only id that begins so (at least 6 characters).

        Raises:
            NotFoundError: there is none, or there are several.
            VaultError: its manifest is damaged.
        """
        return self._manifests.get(item_id)

    def find(self, item_id: str) -> Item | None:
        """The item of exactly this id, None if there is none.

        Raises:
            VaultError: its manifest is damaged.
        """
        return self._manifests.find(item_id)

    def holds(self, item: Item) -> bool:
        """Whether an item's content is here, whole and unchanged: it is read and hashed.

        Raises:
            VaultError: it can't be read.
        """
        with own_storage(self._objects.path(item.sha256)):
            try:
                fd = self._objects.open(item.sha256)
            except FileNotFoundError:
                return False
            try:
                copy_hashed(fd, None, item.digests, item.size)
            except SourceError:
                return False
            finally:
                os.close(fd)
        return True

    def copy_out(self, item: Item, target_fd: int) -> None:
        """Write an item's content, checked while it is written.

        Raises:
            VaultError: it isn't here, or damaged; what was written must not be used.
            OSError: the target can't be written.
        """
        where = self._objects.path(item.sha256)
        with own_storage(where):
            fd = self._objects.open(item.sha256)
        try:
            copy_hashed(fd, target_fd, item.digests, item.size)
        except SourceError as e:
            raise VaultError(
                "the vault's copy is damaged", where=str(where), remedy="Bring it back from a backup"
            ) from e
        finally:
            os.close(fd)

    def export(self, item_id: str, target: Path) -> Item:
        """Write an item's content into a new file, mode 0600.

        Raises:
            NotFoundError: no such item.
            VaultError: purged, damaged, the target exists or can't be written.
        """
        item = self.get(item_id)
        self.refuse_purged(item)
        try:
            fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                self.copy_out(item, fd)
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
        return item

    @staticmethod
    def refuse_purged(item: Item) -> None:
        """Refuse an item whose content is gone.

        Raises:
            VaultError: it is.
        """
        if item.state is ItemState.PURGED:
            raise VaultError(
                "the item was purged: its content is gone", where=item.id, remedy="Only the record is left"
            )

    def verify(self) -> VaultReport:
        """Read every manifest and hash every object.

        Raises:
            VaultError: the vault can't be read at all.
        """
        if not self._manifests.directory.exists():
            return VaultReport(0, 0, 0, ())
        with own_storage(self.directory):
            with self._locked(fcntl.LOCK_EX):  # no item is half stored while the lists are taken
                items, damaged = self._manifests.all()
                present = tuple(self._objects.present())
                unfinished = tuple(self._objects.unfinished())
        return check_vault(self, items, damaged, present, unfinished)

    def object_path(self, item: Item) -> Path:
        """Where an item's content lies."""
        return self._objects.path(item.sha256)

    # Writing

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        with own_storage(self.directory):
            fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with own_storage(self.directory):
                fcntl.flock(fd, how)
            yield
        finally:
            os.close(fd)

    @contextmanager
    def storing(self) -> Iterator[None]:
        """Around `store_copy` and the `keep` that follows: nothing is removed from the vault meanwhile."""
        with self._locked(fcntl.LOCK_SH):
            yield

    @contextmanager
    def recovering(self) -> Iterator[None]:
        """Hold the right to put in order what dead processes left; waits for it.

        Raises:
            VaultError: the lock can't be made.
        """
        path = self.directory / "recovery.lock"
        with own_storage(path):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with own_storage(path):
                fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def store_copy(self, fd: int, item_id: str, expected: Mapping[str, bytes], size: int) -> dict[str, bytes]:
        """Copy an open file into the vault and hash the copy; durable on return. Within `storing`.

        Args:
            item_id: the item the copy is for.
            expected: kind to raw digest, as hashed before.
            size: bytes, as hashed before.

        Returns:
            kind to raw digest, sha256 among them.

        Raises:
            ContentChangedError: the file is not what was hashed before.
            SourceError: the file can't be read.
            VaultFullError: no room.
            VaultError: the vault can't be written.
        """
        return self._objects.add(fd, item_id, expected, size)

    def keep(self, item: Item) -> None:
        """Write an item's manifest; durable on return. Its object must be there.

        Raises:
            VaultFullError, VaultError: it could not be written; the old one, if any, stands.
        """
        self._manifests.write(item)

    def mark_restored(self, item_id: str, path: bytes) -> None:
        """Note that an item's content is at a place again; the vault keeps its copy.

        Raises:
            VaultError: the manifest can't be written.
        """
        with self._locked(fcntl.LOCK_EX):
            item = self.get(item_id)
            state = ItemState.RESTORED if item.state is ItemState.HELD else item.state
            self.keep(replace(item, state=state, restored_to=path))

    def discard(self, item_id: str, sha256: bytes | None) -> None:
        """Remove what a securing left that was undone: its manifest, and its object if no item needs it.

        While another manifest is damaged no object is removed: it may be the damaged one's.

        Args:
            sha256: of the object; None where it isn't known (`verify` will call the object an orphan).

        Raises:
            VaultError: the vault can't be written.
        """
        with self._locked(fcntl.LOCK_EX), own_storage(self.directory):
            self._objects.incoming(f"{item_id}.part").unlink(missing_ok=True)
            self._manifests.remove(item_id)
            items, damaged = self._manifests.all()
            if sha256 is not None and not damaged and all(item.sha256 != sha256 for item in items):
                self._objects.remove(sha256)

    def purge(
        self,
        resolved: Callable[[Item], bool],
        *,
        item_id: str | None = None,
        secured_before_ns: int | None = None,
    ) -> tuple[Item, ...]:
        """Remove content for good; the manifests stay as the record.

        Args:
            resolved: whether an item's case is closed; others are never purged.
            item_id: this one only …
            secured_before_ns: … or all resolved ones that were secured before this time.

        Returns:
            the items purged now.

        Raises:
            NotFoundError: no such item.
            VaultError: the item named is not resolved, a manifest is damaged, the vault can't be written.
        """
        if (item_id is None) == (secured_before_ns is None):
            raise RuntimeError("purge takes an id or an age")
        if not self._manifests.directory.exists() and item_id is None:
            return ()
        with self._locked(fcntl.LOCK_EX):
            chosen = self._chosen(resolved, item_id, secured_before_ns or 0)
            purged = tuple(replace(item, state=ItemState.PURGED) for item in chosen)
            for item in purged:
                self.keep(item)
            self._remove_purged_objects()
        return purged

    def _chosen(
        self, resolved: Callable[[Item], bool], item_id: str | None, before_ns: int
    ) -> tuple[Item, ...]:
        if item_id is None:
            candidates = (i for i in self.items() if i.secured_ns < before_ns)
            return tuple(i for i in candidates if i.state is not ItemState.PURGED and resolved(i))
        item = self.get(item_id)
        if item.state is ItemState.PURGED:
            return ()
        if not resolved(item):
            raise VaultError(
                "the item's case is not resolved",
                where=item.id,
                remedy="Resolve it with `hostsweep hits resolve`",
            )
        return (item,)

    def _remove_purged_objects(self) -> None:
        """Remove objects that only purged items name, those of a purge that was cut short too."""
        items, damaged = self._manifests.all()
        if damaged:
            raise VaultError(
                f"the manifest is damaged, so nothing more is removed: {damaged[0][1]}",
                where=str(damaged[0][0]),
                remedy="Run `hostsweep quarantine verify`",
            )
        needed = {i.sha256 for i in items if i.state is not ItemState.PURGED}
        with own_storage(self.directory):
            for sha256 in {i.sha256 for i in items} - needed:
                self._objects.remove(sha256)
