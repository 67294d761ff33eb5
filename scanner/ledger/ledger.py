"""The ledger: cases and what was done about them, on a record that only grows."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from scanner.ledger import cases, chain, codec, sql
from scanner.ledger.database import BUSY_MS, Database
from scanner.ledger.opening import open_for_reading, open_for_writing
from scanner.ledger.projection import BRAKE, differences, project, read_event, read_scan
from scanner.ledger.records import (
    BrakeState,
    Event,
    EventType,
    ExceptionRecord,
    Head,
    ScanRecord,
    Verification,
    VolumeScans,
)
from scanner.model.errors import LedgerError
from scanner.model.hashes import Digests
from scanner.model.matches import Action, Case, CaseState
from scanner.model.names import display
from scanner.model.ports import Clock, SystemClock
from scanner.model.steps import Step, StepState

_EVENTS_OF_CASE = 100_000  # more than any case has


class Ledger(AbstractContextManager["Ledger"]):
    """One open ledger; a `model.steps.StepJournal`.

    What changes something is on disk when it returns, event and projection in one transaction. What would
    change nothing writes nothing, so repeated scans don't fill the ledger.

    One object belongs to the thread that opened it. Any number of objects, in any number of processes,
    may have the same file open: writers queue, readers never wait.

    Raises:
        LedgerError: from every method: the file can't be read or written.
        RuntimeError: from every method: used from another thread, after `close`, or for writing when opened
            for reading.
    """

    def __init__(self, database: Database, *, actor: str, clock: Clock) -> None:
        self._db = database
        self._actor = actor
        self._clock = clock

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        read_only: bool = False,
        actor: str = "hostsweep",
        clock: Clock | None = None,
        busy_ms: int = BUSY_MS,
    ) -> Ledger:
        """Open the ledger file.

        For writing, it is made with mode 0600 where there is none, and migrated. For reading, nothing is
        made: where there is no file the ledger is empty.

        Args:
            actor: on record for what is done without naming another, e.g. "daemon".
            clock: read when a step is finished; all other times are handed in.
            busy_ms: how long to wait for another writer, in milliseconds.

        Raises:
            LedgerError: see the class; also a newer layout, a link in its place, or a file others can read.
        """
        opened = open_for_reading if read_only else open_for_writing
        return cls(opened(path, busy_ms), actor=actor, clock=clock or SystemClock())

    def close(self) -> None:
        self._db.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # The record

    def head(self) -> Head:
        """The end of the chain, to be kept elsewhere; number 0 and zeros while there are no events."""
        row = self._db.one(sql.LAST_EVENT)
        return chain.GENESIS if row is None else Head(*row)

    def verify(self, kept: Head | None = None) -> Verification:
        """Walk the chain of events.

        Args:
            kept: an earlier `head`: without one, a missing end or a chain made anew can't be seen.
        """
        with self._db.walk(sql.RAW_EVENTS) as rows:
            return chain.verify(rows, kept)

    def changed_tables(self) -> tuple[str, ...]:
        """Tables that don't say what the events say, by replaying them; needs room for a second copy.

        Raises:
            LedgerError: an event can't be applied: `verify` first.
        """
        return differences(self._db)

    def events(self, *, after: int = 0, limit: int = 1000, case_id: str = "") -> Sequence[Event]:
        """Events in order, of all or of one case, from the one after a number on."""
        statement = sql.EVENTS_OF_CASE if case_id else sql.EVENTS
        rows = self._db.execute(statement, {"after": after, "limit": limit, "case_id": case_id})
        return [read_event(row) for row in rows]

    def note(self, text: str, actor: str, now_ns: int, case_id: str = "") -> None:
        """Put words on record, about a case or in general."""
        with self._db.transaction():
            self._record(EventType.NOTE, now_ns, {"text": text}, case_id=case_id, actor=actor)

    def _record(
        self,
        kind: EventType,
        at_ns: int,
        payload: Mapping[str, object],
        *,
        case_id: str = "",
        actor: str = "",
    ) -> None:
        """Add an event and project it. Within a transaction, which alone makes the number and hash right."""
        last = self.head()
        text = codec.canonical(payload)
        who = display(actor or self._actor)
        texts = (str(kind), case_id, who, text)
        seq = last.seq + 1
        own = chain.event_hash(last.hash, seq, at_ns, (t.encode() for t in texts))
        self._db.execute(sql.ADD_EVENT, (seq, at_ns, *texts, last.hash, own))
        # Projected from what was written, not from what was meant: as a replay will.
        project(self._db, Event(seq, at_ns, kind, case_id, who, codec.parse(text), last.hash, own))

    # Cases

    def open_case(self, case: Case) -> tuple[Case, bool]:
        """Open a case, or find the one of the same content at the same path of the same volume.

        A case that is met again keeps its id, digests, state and note; match, action and place are brought up
        to date, with an event only if one of them changed.

        Returns:
            the case on record, and whether it is new.
        """
        known = cases.of_content(self._db, case)
        if known is not None and not cases.news(known, case):
            return known, False
        with self._db.transaction():
            known = cases.of_content(self._db, case)  # another process may have been faster
            if known is None:
                self._record(EventType.CASE_OPENED, case.opened_ns, codec.case_json(case), case_id=case.id)
            elif news := cases.news(known, case):
                self._record(EventType.CASE_SEEN, case.updated_ns, news, case_id=known.id)
        return cases.by_id(self._db, case.id if known is None else known.id), known is None

    def set_action(self, case_id: str, action: Action, reason: str, quarantine_id: str, now_ns: int) -> Case:
        """Record what was done with a case's file.

        Args:
            quarantine_id: "" leaves the one on record.

        Raises:
            NotFoundError: there is no such case.
        """
        with self._db.transaction():
            known = cases.by_id(self._db, case_id)
            if news := cases.action_news(known, action, reason, quarantine_id):
                self._record(EventType.CASE_ACTED, now_ns, news, case_id=case_id)
        return cases.by_id(self._db, case_id)

    def secured_since(self, case_id: str, since_ns: int) -> bool:
        """Whether a case's file was recorded as secured at that time (UTC, nanoseconds) or later."""
        return any(
            event.type == EventType.CASE_ACTED
            and event.at_ns >= since_ns
            and event.payload.get("action") == Action.QUARANTINED
            for event in self.events(case_id=case_id, limit=_EVENTS_OF_CASE)
        )

    def resolve(self, case_id: str, state: CaseState, note: str, actor: str, now_ns: int) -> Case:
        """Record a person's decision. Confirming takes back exceptions to the case's content.

        Raises:
            NotFoundError: there is no such case.
            RuntimeError: `open` is no decision.
        """
        if state is CaseState.OPEN:
            raise RuntimeError("a case is resolved as confirmed or as false positive")
        with self._db.transaction():
            known = cases.by_id(self._db, case_id)
            if (known.state, known.note) != (state, note):
                payload = {"state": state, "note": note}
                self._record(EventType.CASE_RESOLVED, now_ns, payload, case_id=case_id, actor=actor)
            if state is CaseState.CONFIRMED:
                self._remove_exceptions(known, actor, now_ns)
        return cases.by_id(self._db, case_id)

    def get(self, case_id: str) -> Case:
        """A case by its id or a unique beginning of it, of 6 characters or more.

        Raises:
            NotFoundError: there is none, or there are several (it names them).
        """
        return cases.by_prefix(self._db, case_id)

    def list(
        self, state: CaseState | None = None, unsecured: bool = False, limit: int = 1000, offset: int = 0
    ) -> tuple[Case, ...]:
        """Cases, newest first.

        Args:
            unsecured: only those whose file is still in its place, and is no false positive.
        """
        statement = sql.UNSECURED_CASES if unsecured else sql.CASES
        values = {"state": None if state is None else str(state), "limit": limit, "offset": offset}
        return tuple(codec.read_case(row[0]) for row in self._db.execute(statement, values))

    def cases_of(self, volume: str, path: bytes, limit: int = 100) -> tuple[Case, ...]:
        """Cases of a path below a volume's root, newest first: one for each content that was found there."""
        rows = self._db.execute(sql.CASES_OF_PATH, (codec.text_key(volume), path, limit))
        return tuple(codec.read_case(row[0]) for row in rows)

    def secured_saying(self, text: str) -> tuple[Case, ...]:
        """Cases with a file in the vault whose reason has a text (plain ASCII, no quotes), oldest first."""
        rows = self._db.execute(sql.SECURED_SAYING, {"text": text})
        return tuple(case for row in rows if text in (case := codec.read_case(row[0])).reason)

    def counts(self) -> Mapping[tuple[CaseState, Action], int]:
        """How many cases there are in each state, by action; only what there is."""
        rows = self._db.execute(sql.COUNT_CASES)
        return {(CaseState(state), Action(action)): n for state, action, n in rows}

    def count_unsecured(self) -> int:
        """How many cases `list(unsecured=True)` has."""
        return int(self._db.scalar(sql.COUNT_UNSECURED))

    # Exceptions

    def add_exception(self, digests: Digests, case_id: str, note: str, actor: str, now_ns: int) -> None:
        """Never act on this content again, wherever it lies. Known by its strongest exact digest.

        Raises:
            NotFoundError: there is no such case.
            LedgerError: there is no exact digest to know it by.
        """
        kind, value = codec.content_key(digests)
        if not kind:
            raise cases.need_exact(case_id)
        with self._db.transaction():
            cases.by_id(self._db, case_id)
            if self._db.one(sql.IS_EXCEPTION, (kind, value)) is None:
                payload = {"kind": kind, "value": value.hex(), "note": note}
                self._record(EventType.EXCEPTION_ADDED, now_ns, payload, case_id=case_id, actor=actor)

    def is_exception(self, digests: Digests) -> bool:
        """Whether the content is one that is never to be acted on."""
        return any(self._db.one(sql.IS_EXCEPTION, pair) is not None for pair in digests.exact.items())

    def exceptions(self) -> Sequence[ExceptionRecord]:
        """All exceptions, oldest first."""
        found = []
        for kind, value, case_id, at_ns, text in self._db.execute(sql.EXCEPTIONS):
            body = codec.parse(text)
            found.append(ExceptionRecord(kind, value, case_id, body["note"], body["actor"], at_ns))
        return found

    def _remove_exceptions(self, case: Case, actor: str, now_ns: int) -> None:
        for kind, value in sorted(case.digests.exact.items()):
            if self._db.one(sql.IS_EXCEPTION, (kind, value)) is not None:
                payload = {"kind": kind, "value": value.hex()}
                self._record(EventType.EXCEPTION_REMOVED, now_ns, payload, case_id=case.id, actor=actor)

    # Steps (model.steps.StepJournal)

    def begin(self, step: Step) -> None:
        """Put an intent on record; it is on disk when this returns.

        Raises:
            LedgerError: the step must not be done.
        """
        with self._db.transaction():
            payload = codec.step_json(step)
            self._record(EventType.STEP_BEGUN, step.started_ns, payload, case_id=step.case_id)

    def finish(self, step_id: str, state: StepState, outcome: str) -> None:
        """Put the outcome on record, once.

        Raises:
            LedgerError: it was finished before (another process may have recovered it).
            RuntimeError: it was never begun, or `state` is no end.
        """
        with self._db.transaction():
            row = self._db.one(sql.STEP, (step_id,))
            if row is None or state is StepState.INTENT:
                raise RuntimeError(f"step {step_id} was never begun, or is finished without an end")
            if row[0] != StepState.INTENT:
                raise LedgerError(f"the step was finished before, as {row[0]}", where=f"step {step_id}")
            payload = {"id": step_id, "state": state, "outcome": outcome}
            case_id = codec.read_step(row[1]).case_id
            self._record(EventType.STEP_FINISHED, self._clock.now_ns(), payload, case_id=case_id)

    def open_steps(self) -> Sequence[Step]:
        """Steps that were begun and not finished, oldest first."""
        return [codec.read_step(row[0]) for row in self._db.execute(sql.OPEN_STEPS)]

    def steps_since(self, since_ns: int) -> Sequence[Step]:
        """Steps begun at this time (UTC, nanoseconds) or later, whatever became of them; oldest first."""
        return [codec.read_step(row[0]) for row in self._db.execute(sql.STEPS_SINCE, (since_ns,))]

    def untold_steps(self) -> Sequence[Step]:
        """The last step of each case that ended without its case being told (`set_action`), oldest first.

        There is a moment between the two, and a process may die in it. Of cases that are not quarantined.
        """
        found = []
        for (text,) in self._db.execute(sql.UNTOLD_STEPS):
            row = self._db.one(sql.STEP, (codec.parse(text)["id"],))
            if row is not None:
                found.append(codec.read_step(row[1]))
        return found

    # The brake

    def engage_brake(self, reason: str, now_ns: int) -> bool:
        """Stop securing, in all processes. A brake that is engaged already keeps its reason.

        Returns:
            whether it was this call that engaged it.
        """
        with self._db.transaction():
            if self.brake() is not None:
                return False
            self._record(EventType.BRAKE_ENGAGED, now_ns, {"reason": reason})
        return True

    def release_brake(self, actor: str, now_ns: int) -> bool:
        """Let securing go on.

        Returns:
            whether it was engaged.
        """
        with self._db.transaction():
            if self.brake() is None:
                return False
            self._record(EventType.BRAKE_RELEASED, now_ns, {}, actor=actor)
        return True

    def brake(self) -> BrakeState | None:
        """Since when and why the brake is engaged; None if it isn't."""
        text = self._db.scalar(sql.META, (BRAKE,))
        if text is None:
            return None
        body = codec.parse(text)
        return BrakeState(body["reason"], body["engaged_ns"])

    def brake_released_ns(self) -> int:
        """When the brake was last released (UTC, nanoseconds); 0 if it never was."""
        return int(self._db.scalar(sql.LAST_OF_TYPE, (str(EventType.BRAKE_RELEASED),)) or 0)

    # Scans

    def scan_started(self, scan_id: str, volume: str, kind: str, now_ns: int) -> None:
        """Record the start of a scan of a volume."""
        with self._db.transaction():
            payload = {"id": scan_id, "volume": volume, "kind": kind}
            self._record(EventType.SCAN_STARTED, now_ns, payload)

    def scan_finished(
        self, scan_id: str, counts: Mapping[str, object], *, complete: bool, now_ns: int
    ) -> None:
        """Record the end of a scan.

        Args:
            counts: JSON values; a true "interrupted" means that the volume is due at once.

        Raises:
            RuntimeError: it was never started, or is finished already.
        """
        with self._db.transaction():
            row = self._db.one(sql.SCAN, (scan_id,))
            if row is None or row[0]:
                raise RuntimeError(f"scan {scan_id} was never started, or is finished already")
            payload = {"id": scan_id, "counts": dict(counts), "complete": complete}
            self._record(EventType.SCAN_FINISHED, now_ns, payload)

    def last_scans(self) -> Mapping[str, VolumeScans]:
        """Of each volume that was ever scanned: its last scan, and the last complete one."""
        complete = {s.volume: s for s in self._scans(sql.LAST_COMPLETE_SCANS)}
        return {s.volume: VolumeScans(s, complete.get(s.volume)) for s in self._scans(sql.LAST_SCANS)}

    def scans_of(self, volume: str, limit: int = 100) -> tuple[ScanRecord, ...]:
        """Scans of a volume, the last one first: finished, running, and those whose process died."""
        rows = self._db.execute(sql.SCANS_OF_VOLUME, (codec.text_key(volume), limit))
        return tuple(read_scan(row) for row in rows)

    def _scans(self, statement: str) -> builtins.list[ScanRecord]:
        return [read_scan(row) for row in self._db.execute(statement)]
