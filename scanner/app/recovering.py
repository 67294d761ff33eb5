"""Steps that were left open: the vault finishes or undoes them, and their cases are brought up to date."""

from __future__ import annotations

from scanner.ledger import Ledger
from scanner.model.errors import NotFoundError, VaultError
from scanner.model.matches import Action, Case
from scanner.model.ports import Clock
from scanner.model.steps import StepKind, StepState
from scanner.pipeline.reporting import Reporter
from scanner.response import RecoveryNote
from scanner.securer import SECURING, Keeper
from scanner.system.inhand import InHand


def recover_steps(ledger: Ledger, vault: Keeper, reporter: Reporter, clock: Clock, in_hand: InHand) -> None:
    """Finish or undo what dead processes left, and what this one had to leave open; the steps of other living
    processes, and those that a thread of this one works on, are left alone.

    Where another process has the vault, it does so itself, and is asked what came of it.

    Raises:
        StorageError: the ledger or the vault can't be read or written.
    """
    with in_hand.taking() as take:
        for note in vault.recover(ledger, take):
            _bring_up_to_date(ledger, note, clock.now_ns())
            reporter.note("recovered", case=note.case_id, outcome=note.text)
    vault.tidy()


def retry_steps(
    ledger: Ledger, vault: Keeper, reporter: Reporter, clock: Clock, in_hand: InHand, volume: str
) -> None:
    """The same for one volume while we live: the storage of another one may have stopped answering.

    What still has to stay open was told before, and is not told each time.

    Raises:
        StorageError: the ledger or the vault can't be read or written; not for a separate vault that can't
            be reached: that is told.
    """
    try:
        with in_hand.taking() as take:
            for note in vault.recover(ledger, lambda case: _is_of(ledger, case, volume) and take(case)):
                _bring_up_to_date(ledger, note, clock.now_ns())
                if note.state is not StepState.INTENT:
                    reporter.note("recovered", case=note.case_id, outcome=note.text)
    except VaultError as e:
        if not vault.separate:
            raise
        reporter.note("securer_unreachable", reason=str(e))


def _is_of(ledger: Ledger, case_id: str, volume: str) -> bool:
    try:
        return ledger.get(case_id).volume == volume
    except NotFoundError:
        return False  # looked at when we start


def _bring_up_to_date(ledger: Ledger, note: RecoveryNote, now_ns: int) -> None:
    try:
        case = ledger.get(note.case_id)
    except NotFoundError:
        return
    if note.state is StepState.INTENT:  # nothing is decided yet
        return
    if note.secured and case.action is not Action.QUARANTINED:
        ledger.set_action(case.id, Action.QUARANTINED, _said(case, "finished"), note.quarantine_id, now_ns)
    elif not note.secured and (case.reason == SECURING or _is_back(case, note)):
        ledger.set_action(case.id, Action.FAILED, _said(case, "undone"), "", now_ns)


def _said(case: Case, end: str) -> str:
    return f"{end} after a crash" if case.reason == SECURING else f"{end} when it was tried again"


def _is_back(case: Case, note: RecoveryNote) -> bool:
    """Whether a file that was taken to be in the vault was put back: somebody wrote to it in staging."""
    ours = case.action is Action.QUARANTINED and case.quarantine_id == note.quarantine_id
    return ours and note.kind is StepKind.SECURE
