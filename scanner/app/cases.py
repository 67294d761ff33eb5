"""What people decide about cases and items of the vault."""

from __future__ import annotations

from pathlib import Path

from scanner.app.app import App
from scanner.model.matches import CaseState


def resolve(app: App, case_id: str, state: CaseState, note: str) -> bytes | None:
    """Close a case; a false positive is restored first and remembered.

    Returns:
        the path it was restored to, None if nothing had to be.

    Raises:
        NotFoundError, VaultError, LedgerError.
    """
    restored = None
    with app.ledger() as ledger:
        case = ledger.get(case_id)
        if state is CaseState.FALSE_POSITIVE:
            # Remembered before it is restored: a scan that meets it in between leaves it alone.
            ledger.add_exception(case.digests, case.id, note, app.actor, app.clock.now_ns())
            if case.quarantine_id and app.vault.get(case.quarantine_id).state == "held":
                restored = app.vault.restore(case.quarantine_id, None, ledger)
        ledger.resolve(case.id, state, note, app.actor, app.clock.now_ns())
    return restored


def restore(app: App, quarantine_id: str, to: Path | None) -> bytes:
    """Bring an item of the vault back to its place, or to another.

    Raises:
        NotFoundError, VaultError, LedgerError.
    """
    if not app.vault.separate:
        with app.ledger() as ledger:
            return app.vault.restore(quarantine_id, to, ledger)
    item = app.vault.get(quarantine_id)
    place = app.vault.restore(item.id, to, None)  # on the securer's record
    app.become_owner()  # only now: root alone may write where root said
    with app.ledger() as ledger:
        ledger.note(f"restored item {item.id}", app.actor, app.clock.now_ns(), item.case_id)
    return place
