"""Restoring: an item's content and attributes at its place again, or at another. The vault keeps its copy.

 1. The place is looked at: its directory is reached without following any link, lies on the mount it lay on,
    belongs to whom it belonged, and the name is free.
 2. The intent is on record.
 3. A new file is written where nobody reaches it: in the volume's staging folder; beside the target under a
    name of ours where an operator named the target. Its content is hashed as it is written.
 4. Owner, attributes, mode and times are set on the descriptor; the file is synced.
 5. It is given its name over nothing (`rename_noreplace`), then the flags that forbid renaming, if it had
    any; both directories are synced.
 6. The manifest says "restored".
 7. The outcome is on record.

Before 5 nothing is seen of it at the place, and undoing it is removing the new file; after 5 it is whole.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from scanner.model.errors import VaultError
from scanner.model.names import display
from scanner.model.ports import Clock, Ids
from scanner.model.steps import Step, StepJournal, StepKind, StepState
from scanner.response.attributes import apply_attributes, apply_flags
from scanner.response.copying import fsync_directories
from scanner.response.items import Item, ItemState
from scanner.response.places import Place, from_text, identity_at, open_root, to_text
from scanner.response.staging import StagingFolder
from scanner.response.vault import Vault
from scanner.system.opening import mount_of, open_directory
from scanner.system.renaming import rename_noreplace

_ELSEWHERE = "Restore it to another place with --to"
_BESIDE = ".hostsweep-restore-"  # before the step's id: a name of ours in an operator's directory


@dataclass(frozen=True, slots=True)
class RestoreDetails:
    """What the record of a restoring step says.

    Attributes:
        place: where the file is to be.
        staged: it is written in a staging folder; else beside its place.
        staging: directory below the root that has this folder; b"" is the root itself.
    """

    place: Place
    staged: bool
    staging: bytes = b""

    def to_details(self) -> dict[str, str | int | None]:
        return self.place.details() | {"staged": int(self.staged), "staging": to_text(self.staging)}

    @classmethod
    def of_details(cls, details: Mapping[str, str | int | None]) -> RestoreDetails:
        """The details of a recorded step.

        Raises:
            ValueError, KeyError: they are not those of a restoring step.
        """
        staging = from_text(details.get("staging") or "")
        return cls(Place.of_details(details), bool(details["staged"]), staging)

    def unfinished_name(self, step_id: str) -> bytes:
        """What the new file is called until it is whole."""
        return (step_id if self.staged else _BESIDE + step_id).encode()


class Restorer:
    """Restores items of one vault.

    Args:
        owner: token of this process (system.locking.Owners), held until its steps are finished.
    """

    def __init__(self, vault: Vault, journal: StepJournal, clock: Clock, ids: Ids, owner: str) -> None:
        self._vault = vault
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._owner = owner

    def restore(self, item_id: str, to: Path | None) -> bytes:
        """Bring an item back.

        Args:
            item_id: its id, or the beginning of it.
            to: a path that is still free, in an existing directory; None for where it was.

        Returns:
            the absolute path it is at now.

        Raises:
            NotFoundError: no such item.
            VaultError: its place is taken, gone, or no longer what it was; the content is purged or damaged.
            LedgerError: the journal can't be written.
        """
        item = self._vault.get(item_id)
        if item.state is ItemState.PURGED:
            raise VaultError(
                "the item was purged: its content is gone", where=item.id, remedy="Only the record is left"
            )
        if to is None:
            details = RestoreDetails(item.place, staged=True, staging=item.staging)
        else:
            details = RestoreDetails(_given(to), staged=False)
        with ExitStack() as stack, _refused(details.place):
            parent_fd = self._open_parent(stack, item, details)
            holder_fd = self._open_holder(stack, details, parent_fd) if details.staged else parent_fd
            self._restore(item, details, holder_fd, parent_fd)
        return details.place.path

    def _open_parent(self, stack: ExitStack, item: Item, details: RestoreDetails) -> int:
        place = details.place
        root_fd = open_root(place.root)
        stack.callback(os.close, root_fd)
        parent_fd = open_directory(root_fd, place.directory)
        stack.callback(os.close, parent_fd)
        owner = os.fstat(parent_fd).st_uid
        if details.staged and item.parent_uid not in (None, owner):
            raise VaultError(
                f"expected a directory of user {item.parent_uid}, it belongs to user {owner} now",
                where=display(place.path),
                remedy=_ELSEWHERE,
            )
        if identity_at(parent_fd, place.name) is not None:
            raise FileExistsError
        return parent_fd

    @staticmethod
    def _open_holder(stack: ExitStack, details: RestoreDetails, parent_fd: int) -> int:
        """The staging folder that the item once lay in.

        Raises:
            OSError: EXDEV where the place lies on another mount by now: it may be anybody's.
        """
        root_fd = open_root(details.place.root)
        stack.callback(os.close, root_fd)
        above_fd = open_directory(root_fd, details.staging)
        stack.callback(os.close, above_fd)
        if mount_of(above_fd) != mount_of(parent_fd):
            raise OSError(errno.EXDEV, "another file system is mounted there now")
        return stack.enter_context(StagingFolder.open(above_fd, details.place.root)).fd

    def _restore(self, item: Item, details: RestoreDetails, holder_fd: int, parent_fd: int) -> None:
        step = Step(
            id=self._ids.new(),
            kind=StepKind.RESTORE,
            case_id=item.case_id,
            quarantine_id=item.id,
            owner=self._owner,
            started_ns=self._clock.now_ns(),
            details=details.to_details(),
        )
        unfinished = details.unfinished_name(step.id)
        self._journal.begin(step)
        fd = -1
        try:
            try:
                fd = _new_file(holder_fd, unfinished)
                missing = self._write(item, fd)
                rename_noreplace(holder_fd, unfinished, parent_fd, details.place.name)
            except (OSError, VaultError):
                remove_unfinished(holder_fd, unfinished)
                self._journal.finish(step.id, StepState.UNDONE, "not restored")
                raise
            missing += apply_flags(fd, item.attributes.flags)
        finally:
            if fd >= 0:
                os.close(fd)
        fsync_directories([parent_fd, holder_fd])
        self._vault.mark_restored(item.id, details.place.path)
        self._journal.finish(step.id, StepState.DONE, _outcome(missing))

    def _write(self, item: Item, fd: int) -> tuple[str, ...]:
        self._vault.copy_out(item, fd)
        missing = apply_attributes(fd, item.attributes)
        os.fsync(fd)
        return missing


def _new_file(holder_fd: int, name: bytes) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, 0o600, dir_fd=holder_fd)


def _given(to: Path) -> Place:
    path = os.fsencode(os.path.abspath(to))
    directory, name = os.path.split(path)
    if not name:
        raise VaultError(
            "expected the path of a new file", where=display(path), remedy="Name a file that does not exist"
        )
    return Place(b"/", directory.strip(b"/"), name)


def _outcome(missing: tuple[str, ...]) -> str:
    return f"restored; could not be set: {', '.join(missing)}" if missing else "restored"


def remove_unfinished(holder_fd: int, name: bytes) -> bool:
    """Remove a new file that never got its place; returns whether there was one.

    Its name is a token of ours that nobody else can have chosen before us, so nothing of a customer's goes.

    Raises:
        OSError: it can't be removed.
    """
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=holder_fd)
        fsync_directories([holder_fd])
        return True
    return False


@contextmanager
def _refused(place: Place) -> Iterator[None]:
    """The one place where an OSError of a restore becomes an error for the operator.

    Raises:
        VaultError: with what is in the way.
    """
    where = display(place.path)
    try:
        yield
    except FileExistsError as e:
        raise VaultError("the name is taken; nothing is overwritten", where=where, remedy=_ELSEWHERE) from e
    except FileNotFoundError as e:
        raise VaultError("the directory is gone", where=where, remedy=_ELSEWHERE) from e
    except OSError as e:  # ELOOP and ENOTDIR: a link stands where a directory was
        raise VaultError(
            f"the file can't be put there ({e.strerror}); links are not followed",
            where=where,
            remedy=_ELSEWHERE,
        ) from e
