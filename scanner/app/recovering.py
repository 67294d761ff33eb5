"""Steps that a crash left open: the vault finishes or undoes them, and their cases are brought up to date."""

from __future__ import annotations

from scanner.ledger import Ledger
from scanner.model.errors import NotFoundError
from scanner.model.matches import Action
from scanner.model.ports import Clock
from scanner.pipeline.reporting import Reporter
from scanner.response import RecoveryNote
from scanner.securer import Keeper


def recover_steps(ledger: Ledger, vault: Keeper, reporter: Reporter, clock: Clock) -> None:
    """Finish or undo what dead processes left; the steps of living ones are left alone.

    Where another process has the vault, it did so at its start, and is asked what came of it.

    Raises:
        StorageError: the ledger or the vault can't be read or written.
    """
    for note in vault.recover(ledger):
        _bring_up_to_date(ledger, note, clock.now_ns())
        reporter.note("recovered", case=note.case_id, outcome=note.text)


def _bring_up_to_date(ledger: Ledger, note: RecoveryNote, now_ns: int) -> None:
    try:
        case = ledger.get(note.case_id)
    except NotFoundError:
        return
    if note.secured and case.action is not Action.QUARANTINED:
        ledger.set_action(case.id, Action.QUARANTINED, "finished after a crash", note.quarantine_id, now_ns)
    elif not note.secured and case.reason == "securing":
        ledger.set_action(case.id, Action.FAILED, "undone after a crash", "", now_ns)
