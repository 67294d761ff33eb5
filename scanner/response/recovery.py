"""Recovery: ending the steps that dead processes left open, by what the file systems show.

It may be killed at any point and run again: what is there is brought to the disk, each decision is made from
it, and the journal is told last. A step that can't be ended now (its volume isn't mounted, a name is taken)
stays open for the next time.

Securing: what is in staging, what is in the vault -> what is done
    the item whole      | staged or not  -> remove the staged original, DONE
    no whole item       | staged         -> put back, UNDONE; if its place is taken or gone, the copy into the
                                            vault is finished instead, DONE
    no whole item       | another inode  -> put back, UNDONE; else it stays in staging: never into the vault
    no whole item       | nothing        -> it was not moved, or was put back: UNDONE

Restoring: the new file is removed if it is still without its place, UNDONE; if the place has the item's
content, the item is marked restored, DONE.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from scanner.model.errors import SourceError, VaultError
from scanner.model.steps import Step, StepJournal, StepKind, StepState
from scanner.response.attributes import read_attributes
from scanner.response.copying import copy_hashed, fsync_directories
from scanner.response.evidence import SecureDetails, keep_copy, remove_staged
from scanner.response.items import Item, ItemState
from scanner.response.places import Place, identity_at, put_back
from scanner.response.restoring import RestoreDetails, remove_unfinished
from scanner.response.staging import StagingFolder
from scanner.response.vault import Vault
from scanner.system.opening import open_directory, open_regular


@dataclass(frozen=True, slots=True)
class RecoveryNote:
    """What became of one step.

    Attributes:
        step_id, kind, case_id, quarantine_id: of the step.
        state: DONE or UNDONE; INTENT where it had to stay open.
        secured: the file's content is whole in the vault.
        text: words for people.
    """

    step_id: str
    kind: StepKind
    case_id: str
    quarantine_id: str
    state: StepState
    secured: bool
    text: str


@dataclass(frozen=True, slots=True)
class _Ending:
    state: StepState
    secured: bool
    text: str


def recover(
    journal: StepJournal,
    vault: Vault,
    open_volume: Callable[[bytes], int],
    owners_dead: Callable[[str], bool],
) -> list[RecoveryNote]:
    """End the open steps of dead processes. Waits while another process does so.

    Args:
        open_volume: opens a volume's root directory by its recorded path (see `open_root`).
        owners_dead: whether the owner of a step is dead; steps of the living are left alone.

    Returns:
        one note for each step looked at, oldest first.

    Raises:
        LedgerError: the journal can't be read or written.
        VaultError: the vault isn't there.
    """
    if not any(owners_dead(step.owner) for step in journal.open_steps()):
        return []
    vault.prepare()
    with vault.recovering():
        steps = [step for step in journal.open_steps() if owners_dead(step.owner)]
        return [_end(step, journal, vault, open_volume) for step in steps]


def _end(step: Step, journal: StepJournal, vault: Vault, open_volume: Callable[[bytes], int]) -> RecoveryNote:
    decide = _secure if step.kind is StepKind.SECURE else _restore
    try:
        with ExitStack() as stack:
            ending = decide(step, vault, open_volume, stack)
    except (ValueError, KeyError) as e:
        ending = _Ending(StepState.INTENT, False, f"left open: its record can't be read ({e})")
    except (SourceError, VaultError) as e:
        ending = _Ending(StepState.INTENT, False, f"left open: {e}")
    except OSError as e:
        ending = _Ending(StepState.INTENT, False, f"left open: {e.strerror or e}")
    if ending.state is not StepState.INTENT:
        journal.finish(step.id, ending.state, ending.text)
    return RecoveryNote(
        step.id, step.kind, step.case_id, step.quarantine_id, ending.state, ending.secured, ending.text
    )


def _settle(vault: Vault, *directories: int | None) -> None:
    """Bring to the disk what the dead did and had not synced yet.

    What is seen now is in memory only, it may be. Else power could fail after a step is closed by what was
    seen, and undo what it was closed by.

    Raises:
        OSError, VaultError: it can't be brought there, so nothing may be concluded.
    """
    fsync_directories([fd for fd in directories if fd is not None])
    vault.settle()


# Securing


def _secure(step: Step, vault: Vault, open_volume: Callable[[bytes], int], stack: ExitStack) -> _Ending:
    details = SecureDetails.of_step(step)
    root_fd = open_volume(details.place.root)
    stack.callback(os.close, root_fd)
    staging = StagingFolder.find(root_fd, details.place.root)
    if staging is not None:
        stack.enter_context(staging)
    parent_fd = _parent(root_fd, details.place, stack)
    _settle(vault, parent_fd, staging.fd if staging is not None else None)
    staged = identity_at(staging.fd, step.id.encode()) if staging is not None else None
    whole = _whole(vault, step)
    if staging is None or staged is None:
        return _nothing_staged(step, details, vault, whole, root_fd, staging)
    if staged != (staging.identity()[0], details.inode):
        return _another_staged(step, details, vault, whole, root_fd, staging)
    if whole is None:
        return _original_staged(step, details, vault, root_fd, staging)
    return _remove_original(step, staging, staged)


def _whole(vault: Vault, step: Step) -> Item | None:
    """The step's item, if the vault has its content; purged means that somebody decided so since."""
    try:
        item = vault.find(step.quarantine_id)
    except VaultError:
        return None
    if item is None or item.state is ItemState.PURGED or vault.holds(item):
        return item
    return None


def _remove_original(step: Step, staging: StagingFolder, staged: tuple[int, int]) -> _Ending:
    if not remove_staged(staging, step.id.encode(), staged):
        raise OSError("the staged file is another one now")
    return _Ending(StepState.DONE, True, "finished: the file is in the vault")


def _nothing_staged(
    step: Step,
    details: SecureDetails,
    vault: Vault,
    whole: Item | None,
    root_fd: int,
    staging: StagingFolder | None,
) -> _Ending:
    if whole is not None:
        return _Ending(StepState.DONE, True, "finished: the file is in the vault")
    same_folder = staging is not None and staging.identity()[1] == details.staging_inode
    if not same_folder and not _in_place(root_fd, details):
        raise VaultError("neither the file nor the staging folder it may lie in can be found")
    return _undone(step, details, vault, "undone: the file was not moved or is back")


def _in_place(root_fd: int, details: SecureDetails) -> bool:
    """Whether the file that was to be secured stands at its place."""
    try:
        parent_fd = open_directory(root_fd, details.place.directory)
    except OSError:
        return False
    try:
        found = identity_at(parent_fd, details.place.name)
        return found is not None and found[1] == details.inode
    finally:
        os.close(parent_fd)


def _undone(step: Step, details: SecureDetails, vault: Vault, text: str) -> _Ending:
    vault.discard(step.quarantine_id, details.digests.get("sha256"))
    return _Ending(StepState.UNDONE, False, text)


def _another_staged(
    step: Step,
    details: SecureDetails,
    vault: Vault,
    whole: Item | None,
    root_fd: int,
    staging: StagingFolder,
) -> _Ending:
    """A file that stood at the name by accident or on purpose: it goes back, and never into the vault."""
    if whole is not None:
        raise VaultError(f"the file is in the vault, but staging has another one as {step.id}")
    try:
        _put_back(root_fd, staging, step, details.place)
    except OSError as e:
        text = f"kept in staging as {step.id}: its place is taken or gone ({e.strerror or e})"
        return _Ending(StepState.INTENT, False, text)
    return _undone(step, details, vault, "undone: another file had been moved and is back")


def _original_staged(
    step: Step, details: SecureDetails, vault: Vault, root_fd: int, staging: StagingFolder
) -> _Ending:
    try:
        _put_back(root_fd, staging, step, details.place)
    except OSError:
        return _finish_copy(step, details, vault, staging)
    return _undone(step, details, vault, "undone: the file is back")


def _put_back(root_fd: int, staging: StagingFolder, step: Step, place: Place) -> None:
    parent_fd = open_directory(root_fd, place.directory)
    try:
        put_back(staging, step.id.encode(), parent_fd, place.name)
    finally:
        os.close(parent_fd)


def _finish_copy(step: Step, details: SecureDetails, vault: Vault, staging: StagingFolder) -> _Ending:
    """Its place is taken or gone, so it goes on into the vault: nothing is lost.

    Raises:
        ContentChangedError: it was written to since it was hashed: it stays in staging, not in the vault.
    """
    fd, st = open_regular(staging.fd, step.id.encode())
    try:
        keep_copy(vault, step, details, fd, read_attributes(fd), parent_uid=None)
    finally:
        os.close(fd)
    return _remove_original(step, staging, (st.st_dev, st.st_ino))


# Restoring


def _restore(step: Step, vault: Vault, open_volume: Callable[[bytes], int], stack: ExitStack) -> _Ending:
    details = RestoreDetails.of_details(step.details)
    place = details.place
    root_fd = open_volume(place.root)
    stack.callback(os.close, root_fd)
    parent_fd = _parent(root_fd, place, stack)
    holder_fd = parent_fd
    if details.staged:
        staging = StagingFolder.find(root_fd, place.root)
        holder_fd = stack.enter_context(staging).fd if staging is not None else None
    _settle(vault, parent_fd, holder_fd)
    item = vault.get(step.quarantine_id)
    held = item.state is not ItemState.PURGED
    if holder_fd is not None and remove_unfinished(holder_fd, details.unfinished_name(step.id)):
        return _Ending(StepState.UNDONE, held, "undone: nothing was restored")
    if item.restored_to != place.path:
        if parent_fd is None or not _has_content(parent_fd, place.name, item):
            return _Ending(StepState.UNDONE, held, "undone: nothing was restored")
        vault.mark_restored(item.id, place.path)
    return _Ending(StepState.DONE, held, "finished: the file is restored")


def _parent(root_fd: int, place: Place, stack: ExitStack) -> int | None:
    try:
        fd = open_directory(root_fd, place.directory)
    except OSError:
        return None
    stack.callback(os.close, fd)
    return fd


def _has_content(parent_fd: int, name: bytes, item: Item) -> bool:
    try:
        fd, _ = open_regular(parent_fd, name)
    except OSError:
        return False
    try:
        copy_hashed(fd, None, item.digests, item.size)
    except SourceError:
        return False
    finally:
        os.close(fd)
    return True
