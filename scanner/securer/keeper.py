"""What the app needs of a vault, whoever has it: this process (`OwnVault`) or another one (`RemoteVault`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from scanner.ledger import Ledger
from scanner.model.ports import Clock, Ids
from scanner.model.steps import Step, StepKind, StepState
from scanner.response import (
    DEFAULT_POLICY,
    Item,
    RecoveryNote,
    Restorer,
    Securer,
    SecureRequest,
    SecureResult,
    SecuringPolicy,
    StagingFolder,
    Vault,
    VaultLimits,
    VaultReport,
    open_root,
    recover,
)
from scanner.system.locking import Owners


class Secures(Protocol):
    """What secures files one by one; the pipeline's `Securing`."""

    def secure(self, request: SecureRequest) -> SecureResult: ...


@dataclass(frozen=True, slots=True)
class Record:
    """A securer's own record of what it did, looked over.

    Attributes:
        ok: its chain is whole.
        head: the end of the chain, to be kept elsewhere.
        problem: what is wrong with it, "" if nothing is.
        changed: tables that differ from what is on record.
    """

    ok: bool
    head: str
    problem: str
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SecurerBrake:
    """A securer's own brake."""

    engaged: bool
    reason: str
    since_ns: int


class Keeper(Protocol):
    """A vault and what is done with it.

    Raises:
        SecurerError: from every method but `Secures.secure`, where the vault is another process's: it can't
            be reached, or refused.
        VaultError, NotFoundError, LedgerError: as `scanner.response.Vault` says.
    """

    @property
    def where(self) -> str:
        """Where the vault is, in words for people."""

    @property
    def separate(self) -> bool:
        """Whether another process has it: then steps are on that process's record, not on ours."""

    def prepare(self) -> None:
        """Make sure that it is there and can be written."""

    def check_volume(self, root_fd: int, root: bytes) -> None:
        """Check that files of a volume can be staged, as far as that can be known beforehand."""

    def securing(self, ledger: Ledger) -> Secures: ...

    def recover(self, ledger: Ledger, take: Callable[[str], bool]) -> Sequence[RecoveryNote]:
        """End what dead processes left and what this one had to leave open, or ask what became of it; tell
        also what the dead ended untold.

        Args:
            take: takes a case (`system.inhand`); False if a thread of this process works on it, and then it
                is left alone.
        """

    def tidy(self) -> None:
        """Finish a purge that was cut short, and remove what dead processes were writing."""

    def restore(self, item_id: str, to: Path | None, ledger: Ledger | None) -> bytes:
        """Bring an item back; returns the absolute path.

        Args:
            ledger: where the step is recorded; None only where the vault is a separate process's.
        """

    def items(self) -> Sequence[Item]: ...

    def get(self, item_id: str) -> Item: ...

    def usage(self) -> tuple[int, int]: ...

    def free_bytes(self) -> int: ...

    def figures(self) -> tuple[int, int, int]:
        """(items whose content is here, bytes of all objects, bytes free)."""

    def verify(self) -> VaultReport: ...

    def export(self, item_id: str, target: Path) -> Item: ...

    def purge(
        self,
        resolved: Callable[[Item], bool],
        *,
        item_id: str | None = None,
        secured_before_ns: int | None = None,
    ) -> Sequence[Item]: ...

    def record(self, head: str) -> Record | None:
        """The securer's own record, checked against an earlier head ("" for none); None if there is none."""

    def brake(self) -> SecurerBrake | None:
        """The securer's own brake; None if there is none."""

    def release_brake(self) -> bool:
        """Let a separate securer go on; whether its brake was engaged."""

    def connect(self) -> None:
        """Reach a separate securer now, as whoever we are now."""


class OwnVault(Vault):
    """The vault in this process: everything is done here, and recorded in the ledger of this process.

    Args:
        owners: tells steps of the living from those of the dead.
        policy: what the operator allows in securing.
    """

    def __init__(
        self,
        directory: Path,
        limits: VaultLimits,
        clock: Clock,
        ids: Ids,
        owners: Callable[[], Owners],
        policy: SecuringPolicy = DEFAULT_POLICY,
    ) -> None:
        super().__init__(directory, limits, clock)
        self._policy = policy
        self._own_clock, self._ids, self._owners = clock, ids, owners

    @property
    def where(self) -> str:
        return str(self.directory)

    @property
    def separate(self) -> bool:
        return False

    def figures(self) -> tuple[int, int, int]:
        return (*self.usage(), self.free_bytes())

    def check_volume(self, root_fd: int, root: bytes) -> None:
        StagingFolder.open(root_fd, root).close()

    def securing(self, ledger: Ledger) -> Securer:
        owner = self._owners().own(self._ids.new())
        return Securer(self, ledger, self._own_clock, self._ids, owner, self._policy)

    def recover(self, ledger: Ledger, take: Callable[[str], bool]) -> Sequence[RecoveryNote]:
        owners = self._owners()
        dead = owners.dead

        def abandoned(step: Step) -> bool:
            return (owners.ours(step.owner) or dead(step.owner)) and take(step.case_id)

        ended = recover(ledger, self, open_root, abandoned)
        told = {note.step_id for note in ended}
        # Steps that came to their end, whose process died (or recovery did) before their case was told.
        untold = [
            RecoveryNote(
                s.id, s.kind, s.case_id, s.quarantine_id, s.state, s.state is StepState.DONE, "it had ended"
            )
            for s in ledger.untold_steps()
            if s.id not in told and s.kind is StepKind.SECURE and dead(s.owner) and take(s.case_id)
        ]
        return [*ended, *untold]

    def restore(self, item_id: str, to: Path | None, ledger: Ledger | None) -> bytes:
        if ledger is None:
            raise RuntimeError("a restore that nothing records")
        owner = self._owners().own(self._ids.new())
        return Restorer(self, ledger, self._own_clock, self._ids, owner).restore(item_id, to)

    def record(self, head: str) -> Record | None:
        return None

    def brake(self) -> SecurerBrake | None:
        return None

    def release_brake(self) -> bool:
        return False

    def connect(self) -> None:
        """There is nobody to be reached."""
