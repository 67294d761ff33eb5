"""What the securer does for a peer, operation by operation. Each reads and checks everything itself.

Anybody who may speak to the securer may have files secured and ask what the vault has. Giving content out,
putting it back, and removing it is for root alone: the daemon needs none of that, so a daemon that was taken
over can neither bring back what was secured nor get at it.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scanner.ledger import Head, Ledger
from scanner.model.errors import SecurerError, VaultError
from scanner.model.ports import Clock
from scanner.model.steps import StepKind, StepState
from scanner.response import Item, RecoveryNote, SecureResult
from scanner.response.items import encode
from scanner.securer.allowance import WINDOW_NS, Allowance
from scanner.securer.keeper import OwnVault
from scanner.securer.protocol import Ask, FileAsk, Op
from scanner.securer.verifying import Unfit, verified
from scanner.system.inhand import InHand
from scanner.system.peers import Peer

# Said of a case whose step has no end yet.
NONE, OPEN = "none", "intent"
Emit = Callable[[bytes], None]


class NotYours(SecurerError):
    """An operation that is root's alone."""


@dataclass(frozen=True, slots=True)
class Household:
    """What a securer has: the same for all of its peers.

    Attributes:
        vault: its vault.
        ledger: file of its own record.
        volumes: name to root, as it was configured.
        clock: read once for each decision.
        allowance: its own brake, for peers that are not root.
        in_hand: cases that a thread works on.
    """

    vault: OwnVault
    ledger: Path
    volumes: Mapping[str, bytes]
    clock: Clock
    allowance: Allowance
    in_hand: InHand = field(default_factory=InHand)

    @contextmanager
    def record(self, actor: str) -> Iterator[Ledger]:
        """The securer's own record, open for this thread.

        Raises:
            LedgerError: it can't be read or written.
        """
        with Ledger.open(self.ledger, actor=actor, clock=self.clock) as ledger:
            yield ledger

    def recover(self) -> Sequence[RecoveryNote]:
        """End what nobody works on any more: steps of dead securers, and those that we had to leave open.

        Returns:
            what became of each step looked at.

        Raises:
            VaultError, LedgerError: the vault or its record can't be used.
        """
        with self.record("securer") as ledger, self.in_hand.taking() as take:
            notes = self.vault.recover(ledger, take)
            for note in notes:
                if note.state is not StepState.INTENT:
                    text = f"{note.kind} {note.step_id}: {note.text}"
                    ledger.note(text, "", self.clock.now_ns(), note.case_id)
            return notes

    def recall(self) -> None:
        """Count against the allowance what is on record since its window began or it was released.

        Raises:
            LedgerError: the record can't be read.
        """
        with self.record("securer") as ledger:
            since = max(self.clock.now_ns() - WINDOW_NS, ledger.brake_released_ns())
            self.allowance.recall(ledger.steps_since(since))


@dataclass(frozen=True, slots=True)
class Operations:
    """The operations for one peer, in one thread."""

    house: Household
    peer: Peer
    ledger: Ledger
    _table: Mapping[Op, Callable[[Ask, list[int], Emit], Mapping[str, object]]] = field(init=False)

    def __post_init__(self) -> None:
        everybody = {
            Op.READY: self._ready,
            Op.USAGE: self._usage,
            Op.ITEMS: self._items,
            Op.ITEM: self._item,
            Op.SECURE: self._secure,
            Op.OUTCOME: self._outcome,
            Op.BRAKE: self._brake,
        }
        root = {
            Op.RESTORE: self._restore,
            Op.COPY: self._copy,
            Op.RESTORED: self._restored,
            Op.PURGE: self._purge,
            Op.VERIFY: self._verify,
            Op.RECORD: self._record,
            Op.RELEASE: self._release,
        }
        object.__setattr__(self, "_table", {**everybody, **(root if self.peer.uid == 0 else {})})

    def do(self, ask: Ask, descriptors: list[int], emit: Emit) -> Mapping[str, object]:
        """Do what was asked; returns the fields of the answer.

        Args:
            descriptors: as many as the operation takes; they stay the caller's to close.
            emit: takes lines of the answer's stream.

        Raises:
            NotYours: the operation is not for this peer.
            NotFoundError, VaultError, LedgerError: as the vault and the record say.
        """
        act = self._table.get(ask.op)
        if act is None:
            raise NotYours(
                f"'{ask.op}' is for root alone, it was asked by uid {self.peer.uid}",
                remedy="Run the command from a root shell",
            )
        return act(ask, descriptors, emit)

    # For everybody

    def _ready(self, ask: Ask, descriptors: list[int], emit: Emit) -> Mapping[str, object]:
        self.house.vault.prepare()
        return {}

    def _usage(self, ask: Ask, descriptors: list[int], emit: Emit) -> Mapping[str, object]:
        items, size = self.house.vault.usage()
        return {"items": items, "bytes": size, "free": self.house.vault.free_bytes()}

    def _items(self, ask: Ask, descriptors: list[int], emit: Emit) -> Mapping[str, object]:
        for item in self.house.vault.items():
            emit(encode(item))
        return {}

    def _item(self, ask: Ask, descriptors: list[int], emit: Emit) -> Mapping[str, object]:
        emit(encode(self.house.vault.get(ask.item_id)))
        return {}

    def _brake(self, ask: Ask, descriptors: list[int], emit: Emit) -> Mapping[str, object]:
        state = self.ledger.brake()
        if state is None:
            return {"engaged": False, "reason": "", "since_ns": 0}
        return {"engaged": True, "reason": state.reason, "since_ns": state.engaged_ns}

    def _secure(self, ask: Ask, descriptors: list[int], emit: Emit) -> Mapping[str, object]:
        if ask.file is None:
            raise RuntimeError("a file to secure that nothing describes")
        try:
            with self.house.in_hand.hold(ask.file.case_id):
                result = self._verified_and_secured(ask.file, *descriptors)
        except Unfit as e:
            result = e.result
        return {
            "outcome": str(result.outcome),
            "kind": result.kind,
            "text": result.text,
            "quarantine_id": result.quarantine_id,
            "links_left": result.links_left,
        }

    def _verified_and_secured(self, file: FileAsk, file_fd: int, directory_fd: int) -> SecureResult:
        house = self.house
        with verified(file, file_fd, directory_fd, house.volumes, self._own()) as request:
            now = house.clock.now_ns()
            # Root's own commands are counted as well, and not held back: root looked, or can release the
            # brake.
            allowed = self._allowed(now)
            if self.peer.uid != 0 and not allowed:
                raise Unfit(SecureResult.failed("brake", "the securer's own brake is engaged"))
            result = house.vault.securing(self.ledger).secure(request)
            if not result.secured and allowed:
                house.allowance.give_back(now)
        if result.secured:
            self._note(f"secured item {result.quarantine_id} from volume {file.volume}", file.case_id)
        return result

    def _allowed(self, now_ns: int) -> bool:
        if self.ledger.brake() is not None:
            return False
        if self.house.allowance.take(now_ns):
            return True
        if self.peer.uid != 0:
            limit = self.house.allowance.limit
            self.ledger.engage_brake(
                f"uid {self.peer.uid} asked for more than {limit} securings within a day", now_ns
            )
        return False

    def _own(self) -> list[tuple[int, int]]:
        with suppress(OSError):
            st = os.lstat(self.house.vault.directory)
            return [(st.st_dev, st.st_ino)]
        return []

    def _outcome(self, ask: Ask, descriptors: list[int], emit: Emit) -> Mapping[str, object]:
        """The last securing of a case that was begun at a time or later."""
        found = {"state": NONE, "step_id": "", "quarantine_id": ""}
        for kind, payload in self._events(ask.case_id, ask.since_ns):
            if kind == "step_begun" and payload.get("kind") == StepKind.SECURE:
                found = {
                    "state": OPEN,
                    "step_id": str(payload["id"]),
                    "quarantine_id": str(payload["quarantine_id"]),
                }
            elif kind == "step_finished" and payload.get("id") == found["step_id"]:
                found["state"] = str(payload["state"])
        return found

    def _events(self, case_id: str, since_ns: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
        after = 0
        while events := self.ledger.events(after=after, case_id=case_id):
            yield from ((e.type, e.payload) for e in events if e.at_ns >= since_ns)
            after = events[-1].seq

    # For root

    def _restore(self, ask: Ask, descriptors: list[int], emit: Emit) -> Mapping[str, object]:
        item = self.house.vault.get(ask.item_id)
        with self.house.in_hand.hold(item.case_id):
            path = self.house.vault.restore(item.id, None, self.ledger)
        self._note(f"restored item {item.id} to its place", item.case_id)
        return {"path": path}

    def _copy(self, ask: Ask, descriptors: list[int], emit: Emit) -> Mapping[str, object]:
        target = descriptors[0]
        st, flags = os.fstat(target), fcntl.fcntl(target, fcntl.F_GETFL)
        if not stat.S_ISREG(st.st_mode) or st.st_size or flags & os.O_ACCMODE == os.O_RDONLY:
            raise SecurerError("expected a new, empty file that can be written")
        item = self.house.vault.get(ask.item_id)
        self.house.vault.refuse_purged(item)
        try:
            self.house.vault.copy_out(item, target)
        except OSError as e:
            raise VaultError(
                f"nothing was copied ({e.strerror})", where=item.id, remedy="Try another place"
            ) from e
        self._note(f"copied the content of item {item.id} out", item.case_id)
        emit(encode(item))
        return {}

    def _restored(self, ask: Ask, descriptors: list[int], emit: Emit) -> Mapping[str, object]:
        item = self.house.vault.get(ask.item_id)
        self.house.vault.mark_restored(item.id, ask.path)
        self._note(f"item {item.id} was restored to another place", item.case_id)
        return {}

    def _purge(self, ask: Ask, descriptors: list[int], emit: Emit) -> Mapping[str, object]:
        gone = self.house.vault.purge(_root_says_so, item_id=ask.item_id)
        for item in gone:
            self._note(f"purged item {item.id}", item.case_id)
        return {"purged": bool(gone)}

    def _verify(self, ask: Ask, descriptors: list[int], emit: Emit) -> Mapping[str, object]:
        report = self.house.vault.verify()
        for p in report.problems:
            line = json.dumps([p.kind, os.fsencode(p.where).hex(), p.text], separators=(",", ":"))
            emit(line.encode() + b"\n")
        return {"items": report.items, "objects": report.objects, "bytes": report.bytes}

    def _record(self, ask: Ask, descriptors: list[int], emit: Emit) -> Mapping[str, object]:
        chain = self.ledger.verify(Head.parse(ask.head) if ask.head else None)
        changed = self.ledger.changed_tables()
        return {"ok": chain.ok, "head": str(chain.head), "problem": chain.problem, "changed": changed}

    def _release(self, ask: Ask, descriptors: list[int], emit: Emit) -> Mapping[str, object]:
        released = self.ledger.release_brake("", self.house.clock.now_ns())
        if released:
            self.house.allowance.release()
        return {"released": released}

    def _note(self, text: str, case_id: str) -> None:
        self.ledger.note(text, "", self.house.clock.now_ns(), case_id)


def _root_says_so(item: Item) -> bool:
    """Whether a case is resolved is on the daemon's record; root has looked there, or bears it."""
    return True


def finished(state: str) -> StepState | None:
    """The end a step came to; None if there was no step or it has none yet."""
    return StepState(state) if state in (StepState.DONE, StepState.UNDONE) else None
