"""Steps that must survive a crash: the intent is on record before the act, the outcome after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class StepKind(StrEnum):
    SECURE = "secure"  # a file goes from its place into the vault
    RESTORE = "restore"  # an item of the vault goes back to a place


class StepState(StrEnum):
    INTENT = "intent"  # begun; how far it came is to be read off the file system
    DONE = "done"
    UNDONE = "undone"  # everything is as it was before


@dataclass(frozen=True, slots=True)
class Step:
    """One act on customers' files.

    Attributes:
        id: ours; also the name of the file while it lies in staging.
        kind: what is being done.
        case_id, quarantine_id: whom it belongs to.
        owner: token of the process that does it (system.locking.Owners): recovery leaves the steps
            of living processes alone.
        started_ns: UTC, nanoseconds.
        details: all that recovery needs, as JSON-able text; bytes are base64.
        state: where it stands.
    """

    id: str
    kind: StepKind
    case_id: str
    quarantine_id: str
    owner: str
    started_ns: int
    details: Mapping[str, str | int | None]
    state: StepState = StepState.INTENT


class StepJournal(Protocol):
    """Where steps are recorded (the ledger).

    Laws: `begin` and `finish` are durable (fsynced) when they return; a step is finished once; a step that
    can't be begun must not be done.
    """

    def begin(self, step: Step) -> None: ...

    def finish(self, step_id: str, state: StepState, outcome: str) -> None: ...

    def open_steps(self) -> Sequence[Step]:
        """Steps in state INTENT, oldest first."""
