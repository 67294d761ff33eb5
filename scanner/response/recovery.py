"""Recovery: ending the steps that were left open, by what the file systems show: those of dead processes, and
those that a living one had to leave and works on no more.

It may be killed at any point and run again: what is there is brought to the disk, each decision is made from
it, and the journal is told last. A step that can't be ended now (its volume isn't mounted, a name is taken)
stays open for the next time.

Securing: what is in staging, what is in the vault -> what is done
    the item whole      | nothing        -> DONE; if the original is at its place (put back, and killed before
                                            the item was discarded), discard the item, UNDONE
    the item whole      | staged         -> remove the staged original, DONE; if it was written to since, put
                                            it back and discard the item, UNDONE; else it stays in staging
    no whole item       | staged         -> put back, UNDONE; if its place is taken or gone, the copy into the
                                            vault is finished instead, DONE
    no whole item       | another inode  -> put back, UNDONE; else it stays in staging: never into the vault
    no whole item       | nothing        -> it was not moved, or was put back: UNDONE

Whatever is put back, or was never moved, gets the flags again that were taken off it for the move.

Restoring: the new file is removed if it is still without its place, UNDONE; if the place has the item's
content, the item is marked restored, DONE.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

from scanner.model.errors import SourceError, VaultError
from scanner.model.steps import Step, StepJournal, StepKind, StepState
from scanner.response.attributes import apply_flags, read_attributes
from scanner.response.copying import ContentChangedError, copy_hashed, fsync_directories
from scanner.response.evidence import SecureDetails, is_staged, keep_copy, remove_staged
from scanner.response.items import Item, ItemState
from scanner.response.places import Place, identity_at, put_back
from scanner.response.restoring import RestoreDetails, remove_unfinished
from scanner.response.staging import StagingFolder
from scanner.response.vault import Vault
from scanner.response.watching import check_unchanged, look_at, settle
from scanner.system.identity import differ, mark_of
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
    abandoned: Callable[[Step], bool],
) -> list[RecoveryNote]:
    """End the open steps that nobody works on any more. Waits while another process does so.

    Args:
        open_volume: opens a volume's root directory by its recorded path (see `open_root`).
        abandoned: whether nobody works on a step, nor will until this returns; all others are left alone.

    Returns:
        one note for each step looked at, oldest first.

    Raises:
        LedgerError: the journal can't be read or written.
        VaultError: the vault isn't there.
    """
    left = {step.id for step in journal.open_steps() if abandoned(step)}
    if not left:
        return []
    vault.prepare()
    with vault.recovering():
        # Read again: some may have been ended since by whoever worked on them, or by another recovery.
        steps = [step for step in journal.open_steps() if step.id in left]
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


@dataclass(frozen=True, slots=True)
class _Case:
    """A securing step with all that it is about, open."""

    step: Step
    details: SecureDetails
    vault: Vault
    root_fd: int
    staging: StagingFolder | None

    @property
    def token(self) -> bytes:
        return self.step.id.encode()


def _secure(step: Step, vault: Vault, open_volume: Callable[[bytes], int], stack: ExitStack) -> _Ending:
    details = SecureDetails.of_step(step)
    root_fd = open_volume(details.place.root)
    stack.callback(os.close, root_fd)
    staging = _staging(root_fd, details, stack)
    parent_fd = _parent(root_fd, details.place, stack)
    _settle(vault, parent_fd, staging.fd if staging is not None else None)
    case = _Case(step, details, vault, root_fd, staging)
    whole = _whole(vault, step)
    if staging is None or identity_at(staging.fd, case.token) is None:
        return _nothing_staged(case, whole)
    if not is_staged(staging, case.token, details):
        return _another_staged(case, staging, whole)
    if whole is None:
        return _original_staged(case, staging)
    return _both(case, staging, whole)


def _staging(root_fd: int, details: SecureDetails, stack: ExitStack) -> StagingFolder | None:
    """The staging folder of a step; None if it isn't where it was."""
    try:
        holder_fd = open_directory(root_fd, details.staging)
    except OSError:
        return None
    stack.callback(os.close, holder_fd)
    found = StagingFolder.find(holder_fd, details.place.root)
    return None if found is None else stack.enter_context(found)


def _whole(vault: Vault, step: Step) -> Item | None:
    """The step's item, if the vault has its content; purged means that somebody decided so since."""
    try:
        item = vault.find(step.quarantine_id)
    except VaultError:
        return None
    if item is None or item.state is ItemState.PURGED or vault.holds(item):
        return item
    return None


def _remove_original(case: _Case, staging: StagingFolder) -> _Ending:
    if not remove_staged(staging, case.token, case.details):
        raise OSError("the staged file is another one now")
    return _Ending(StepState.DONE, True, "finished: the file is in the vault")


def _both(case: _Case, staging: StagingFolder, whole: Item) -> _Ending:
    """The item is whole and the original still there: with the bytes that were hashed, or others by now."""
    fd, _ = open_regular(staging.fd, case.token)
    try:
        copy_hashed(fd, None, case.details.digests, case.details.size)
    except ContentChangedError:
        return _changed_since(case, staging, whole)
    finally:
        os.close(fd)
    return _remove_original(case, staging)


def _changed_since(case: _Case, staging: StagingFolder, whole: Item) -> _Ending:
    try:
        text = _put_back(case, staging)
    except OSError as e:
        why = f"it was written to since, and its place is taken or gone ({e.strerror or e})"
        return _Ending(StepState.INTENT, True, f"kept in staging as {case.step.id}: {why}")
    case.vault.discard(whole.id, whole.sha256)
    return _Ending(StepState.UNDONE, False, f"undone: the file was written to since, and is back{text}")


def _nothing_staged(case: _Case, whole: Item | None) -> _Ending:
    in_place = _open_in_place(case)
    if in_place is not None:
        text = f"undone: the file was not moved or is back{_flags_again(in_place, case.details)}"
        os.close(in_place)
        return _undone(case, text, whole)
    if whole is not None:
        return _Ending(StepState.DONE, True, "finished: the file is in the vault")
    if case.staging is None or case.staging.identity()[1] != case.details.staging_inode:
        raise VaultError("neither the file nor the staging folder it may lie in can be found")
    text = "undone: the file was not moved or is back"
    if case.details.flags:
        text += "; it is not at its place, so its flags could not be set again"
    return _undone(case, text)


def _open_in_place(case: _Case) -> int | None:
    """The file that was to be secured, opened at its place; None if it isn't there."""
    details = case.details
    try:
        parent_fd = open_directory(case.root_fd, details.place.directory)
    except OSError:
        return None
    try:
        fd, st = open_regular(parent_fd, details.place.name)
    except OSError:
        return None
    finally:
        os.close(parent_fd)
    if st.st_ino != details.inode or differ(details.mark, mark_of(fd)):
        os.close(fd)
        return None
    return fd


def _flags_again(fd: int, details: SecureDetails) -> str:
    """Set the flags again that were taken off; returns words if that could not be done."""
    missing = apply_flags(fd, details.flags)
    return f"; {missing[0]} could not be set again" if missing else ""


def _undone(case: _Case, text: str, whole: Item | None = None) -> _Ending:
    if whole is None or whole.state is not ItemState.PURGED:
        sha256 = case.details.digests.get("sha256") if whole is None else whole.sha256
        case.vault.discard(case.step.quarantine_id, sha256)
    return _Ending(StepState.UNDONE, False, text)


def _another_staged(case: _Case, staging: StagingFolder, whole: Item | None) -> _Ending:
    """A file that stood at the name by accident or on purpose: it goes back, and never into the vault."""
    if whole is not None:
        raise VaultError(f"the file is in the vault, but staging has another one as {case.step.id}")
    place = case.details.place
    try:
        parent_fd = open_directory(case.root_fd, place.directory)
        try:
            put_back(staging, case.token, parent_fd, place.name)
        finally:
            os.close(parent_fd)
    except OSError as e:
        text = f"kept in staging as {case.step.id}: its place is taken or gone ({e.strerror or e})"
        return _Ending(StepState.INTENT, False, text)
    text = "undone: another file had been moved and is back"
    if case.details.flags:
        text += "; the file that was meant is elsewhere, so its flags could not be set again"
    return _undone(case, text)


def _original_staged(case: _Case, staging: StagingFolder) -> _Ending:
    try:
        text = _put_back(case, staging)
    except OSError:
        return _finish_copy(case, staging)
    return _undone(case, f"undone: the file is back{text}")


def _put_back(case: _Case, staging: StagingFolder) -> str:
    """Put the original back; returns words if its flags could not be set again.

    Raises:
        OSError: its place is taken or gone.
    """
    place = case.details.place
    fd, _ = open_regular(staging.fd, case.token)
    try:
        parent_fd = open_directory(case.root_fd, place.directory)
        try:
            put_back(staging, case.token, parent_fd, place.name)
        finally:
            os.close(parent_fd)
        return _flags_again(fd, case.details)
    finally:
        os.close(fd)


def _finish_copy(case: _Case, staging: StagingFolder) -> _Ending:
    """Its place is taken or gone, so it goes on into the vault: nothing is lost.

    Raises:
        ContentChangedError: it was written to since it was hashed: it stays in staging, not in the vault.
    """
    details = case.details
    fd, _ = open_regular(staging.fd, case.token)
    try:
        attributes = read_attributes(fd, details.atime_ns)
        attributes = replace(attributes, flags=attributes.flags | details.flags)
        settle(fd)
        before = look_at(fd)
        item = keep_copy(case.vault, case.step, details, fd, attributes, parent_uid=None)
        try:
            check_unchanged(fd, before, details.digests, details.size)
        except ContentChangedError:
            case.vault.discard(item.id, item.sha256)
            raise
    finally:
        os.close(fd)
    return _remove_original(case, staging)


# Restoring


def _restore(step: Step, vault: Vault, open_volume: Callable[[bytes], int], stack: ExitStack) -> _Ending:
    details = RestoreDetails.of_details(step.details)
    place = details.place
    root_fd = open_volume(place.root)
    stack.callback(os.close, root_fd)
    parent_fd = _parent(root_fd, place, stack)
    holder_fd = parent_fd
    if details.staged:
        holder_fd = _holder(root_fd, details, stack)
    _settle(vault, parent_fd, holder_fd)
    item = vault.get(step.quarantine_id)
    held = item.state is not ItemState.PURGED
    if holder_fd is not None and remove_unfinished(holder_fd, details.unfinished_name(step.id)):
        return _Ending(StepState.UNDONE, held, "undone: nothing was restored")
    if item.restored_to != place.path:
        if parent_fd is None or not _take_up(parent_fd, place.name, item):
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


def _holder(root_fd: int, details: RestoreDetails, stack: ExitStack) -> int | None:
    try:
        above_fd = open_directory(root_fd, details.staging)
    except OSError:
        return None
    stack.callback(os.close, above_fd)
    staging = StagingFolder.find(above_fd, details.place.root)
    return stack.enter_context(staging).fd if staging is not None else None


def _take_up(parent_fd: int, name: bytes, item: Item) -> bool:
    """Whether what stands at the place is the item's content; gives it the flags that come last."""
    try:
        fd, _ = open_regular(parent_fd, name)
    except OSError:
        return False
    try:
        copy_hashed(fd, None, item.digests, item.size)
        apply_flags(fd, item.attributes.flags)
    except SourceError:
        return False
    finally:
        os.close(fd)
    return True
