"""A vault that another process has: everything is asked of it, nothing of it is touched here."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from scanner.ledger import Ledger
from scanner.model.errors import NotFoundError, SecurerError, VaultError
from scanner.model.hashes import EXACT_KINDS
from scanner.model.matches import Action, Case
from scanner.model.ports import Clock
from scanner.model.steps import StepKind, StepState
from scanner.response import (
    KEPT_IN_STAGING,
    LEFT_IN_STAGING,
    Item,
    ItemState,
    Problem,
    RecoveryNote,
    SecureOutcome,
    SecureRequest,
    SecureResult,
    VaultReport,
)
from scanner.response.items import decode
from scanner.securer.client import Connection, LostError
from scanner.securer.keeper import Record, SecurerBrake
from scanner.securer.operations import OPEN, finished
from scanner.securer.protocol import MAX_PATH, Ask, FileAsk, Op, is_id
from scanner.securer.taking import new_file, placed_file

_SECONDS = 30.0  # for an answer that takes no reading of content
# Bytes a second that copying a file into the vault takes at the least, on a disk that is busy with other
# things.
_SLOWEST = 5 << 20
_AGAIN_SECONDS = 15.0  # how long to look for the outcome after the securer went away
_LOOK_SECONDS, _PAUSE_SECONDS = 5.0, 0.2  # for each look, and between two
_MAX_LINE = 4 << 20  # bytes: a manifest holds up to a mebibyte of attributes, in base64
_MAX_STREAM = 4 << 30  # bytes: millions of manifests

_LEFT = "left open: begun before quarantine.securer was set; take it out of the configuration and scan once"

# Reasons by which the ledger's cases say that nobody here knows yet what became of their file.
SECURING, UNANSWERED = "securing", "securer: "


class _Lines:
    """Takes a stream apart into lines, within bounds."""

    def __init__(self, each: Callable[[bytes], None]) -> None:
        self._each = each
        self._rest = b""
        self._total = 0

    def take(self, part: bytes) -> None:
        self._total += len(part)
        *lines, self._rest = (self._rest + part).split(b"\n")
        if len(self._rest) > _MAX_LINE or self._total > _MAX_STREAM:
            raise SecurerError("the securer's answer has no end")
        for line in lines:
            self._each(line)


class RemoteVault:
    """The vault of the securer behind a socket. Usable from several threads; connections are kept for the
    next.

    Args:
        path: the socket.
        volumes: name to root, as configured.
    """

    def __init__(self, path: Path, volumes: Mapping[str, bytes], clock: Clock) -> None:
        self._path = path
        self._volumes = dict(volumes)
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: list[Connection] = []

    @property
    def where(self) -> str:
        return f"the securer at {self._path}"

    @property
    def separate(self) -> bool:
        return True

    def connect(self) -> None:
        """Connect now: the other side takes us for whoever we are at this moment, for as long as it lasts."""
        connection = Connection.open(self._path)
        with self._lock:
            self._idle.append(connection)

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        connection = self._kept() or Connection.open(self._path)
        try:
            yield connection
        finally:
            # Also after a refusal: a connection of root's is not to be had again once we are somebody else.
            with self._lock:
                self._idle.append(connection)

    def _kept(self) -> Connection | None:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None or connection.usable:
                return connection
            connection.close()

    def ask(
        self,
        ask: Ask,
        descriptors: Sequence[int] = (),
        *,
        seconds: float | None = _SECONDS,
        take: Callable[[bytes], None] | None = None,
    ) -> dict[str, Any]:
        """Ask on a kept connection or a new one; see `Connection.ask`."""
        with self._connection() as connection:
            return connection.ask(ask, descriptors, seconds=seconds, take=take)

    # Asking

    def prepare(self) -> None:
        self.ask(Ask(Op.READY))

    def check_volume(self, root_fd: int, root: bytes) -> None:
        """Only the securer can make a staging folder; it says for each file if it can't."""

    def usage(self) -> tuple[int, int]:
        return self.figures()[:2]

    def free_bytes(self) -> int:
        return self.figures()[2]

    def figures(self) -> tuple[int, int, int]:
        answer = self.ask(Ask(Op.USAGE))
        return answer["items"], answer["bytes"], answer["free"]

    def items(self) -> Sequence[Item]:
        return self._items(Ask(Op.ITEMS))

    def get(self, item_id: str) -> Item:
        return self._one(Ask(Op.ITEM, item_id=checked_id(item_id)))

    def _items(
        self, ask: Ask, descriptors: Sequence[int] = (), seconds: float | None = _SECONDS
    ) -> list[Item]:
        found: list[Item] = []
        lines = _Lines(lambda line: found.append(_item(line)))
        self.ask(ask, descriptors, seconds=seconds, take=lines.take)
        return found

    def _one(self, ask: Ask, descriptors: Sequence[int] = (), seconds: float | None = _SECONDS) -> Item:
        found = self._items(ask, descriptors, seconds)
        if len(found) != 1:
            raise SecurerError("the securer said something that is no answer (expected one item)")
        return found[0]

    def verify(self) -> VaultReport:
        problems: list[Problem] = []
        lines = _Lines(lambda line: problems.append(_problem(line)))
        answer = self.ask(Ask(Op.VERIFY), seconds=None, take=lines.take)
        return VaultReport(answer["items"], answer["objects"], answer["bytes"], tuple(problems))

    def record(self, head: str) -> Record | None:
        answer = self.ask(Ask(Op.RECORD, head=head), seconds=None)
        return Record(answer["ok"], answer["head"], answer["problem"], answer["changed"])

    def brake(self) -> SecurerBrake | None:
        answer = self.ask(Ask(Op.BRAKE))
        return SecurerBrake(answer["engaged"], answer["reason"], answer["since_ns"])

    def release_brake(self) -> bool:
        return bool(self.ask(Ask(Op.RELEASE))["released"])

    # Doing

    def securing(self, ledger: Ledger) -> RemoteSecuring:
        return RemoteSecuring(self, self._volumes, self._clock)

    def restore(self, item_id: str, to: Path | None, ledger: Ledger | None) -> bytes:
        item_id = checked_id(item_id)
        if to is None:
            path: bytes = self.ask(Ask(Op.RESTORE, item_id=item_id), seconds=None)["path"]
            return path
        item = self.get(item_id)
        with placed_file(to) as target:
            target.complete(self._one(Ask(Op.COPY, item_id=item.id), [target.fd], seconds=None).attributes)
        self.ask(Ask(Op.RESTORED, item_id=item.id, path=target.path))
        return target.path

    def export(self, item_id: str, target: Path) -> Item:
        with new_file(target) as fd:
            return self._one(Ask(Op.COPY, item_id=checked_id(item_id)), [fd], seconds=None)

    def purge(
        self,
        resolved: Callable[[Item], bool],
        *,
        item_id: str | None = None,
        secured_before_ns: int | None = None,
    ) -> Sequence[Item]:
        """As `Vault.purge`; whether a case is resolved is known here, and what is purged is told one by
        one."""
        if item_id is None:
            chosen = [i for i in self.items() if i.secured_ns < (secured_before_ns or 0) and resolved(i)]
        else:
            chosen = [self.get(item_id)]
            if not resolved(chosen[0]):
                raise VaultError(
                    "the item's case is not resolved",
                    where=chosen[0].id,
                    remedy="Resolve it with `hostsweep hits resolve`",
                )
        held = [i for i in chosen if i.state is not ItemState.PURGED]
        gone = [i for i in held if self.ask(Ask(Op.PURGE, item_id=i.id), seconds=None)["purged"]]
        return tuple(replace(i, state=ItemState.PURGED) for i in gone)

    # What became of it

    def outcome(self, case_id: str, since_ns: int, seconds: float = _SECONDS) -> dict[str, Any]:
        """The last securing of a case that was begun at a time or later, as the securer has it on record."""
        return self.ask(Ask(Op.OUTCOME, case_id=case_id, since_ns=since_ns), seconds=seconds)

    def tidy(self) -> None:
        """The securer does so at its start."""

    def recover(self, ledger: Ledger, take: Callable[[str], bool]) -> Sequence[RecoveryNote]:
        """Ask what became of cases whose outcome never came back, or was that a file had to stay in staging.
        The securer itself ends its steps, at its start and now and then.

        Steps on our own record are from before there was a separate securer, and are left open.
        """
        notes = [
            RecoveryNote(s.id, s.kind, s.case_id, s.quarantine_id, StepState.INTENT, False, _LEFT)
            for s in ledger.open_steps()
        ]
        cases = (case for case in _unanswered(ledger) if take(case.id))
        notes += [note for case in cases if (note := self._what_became(case)) is not None]
        secured = (case for case in ledger.secured_saying(LEFT_IN_STAGING) if take(case.id))
        notes += [note for case in secured if (note := self._is_back(case)) is not None]
        return notes

    def _is_back(self, case: Case) -> RecoveryNote | None:
        """Whether a secured file was put back: somebody wrote to the original that was left in staging."""
        answer = self.outcome(case.id, 0)
        undone = finished(answer["state"]) is StepState.UNDONE
        if not undone or answer["quarantine_id"] != case.quarantine_id:
            return None
        text = "undone: the file was written to since, and is back"
        step_id, item_id = answer["step_id"], case.quarantine_id
        return RecoveryNote(step_id, StepKind.SECURE, case.id, item_id, StepState.UNDONE, False, text)

    def _what_became(self, case: Case) -> RecoveryNote | None:
        died = case.reason == SECURING  # else the answer was lost, and the case was written after the step
        answer = self.outcome(case.id, case.updated_ns if died else 0)
        if answer["state"] == OPEN:
            return None  # it works on it, or can't end it now: asked again later
        item_id = answer["quarantine_id"]
        done = finished(answer["state"]) is StepState.DONE and self.get(item_id).state is ItemState.HELD
        if not done and not died:
            return None
        return RecoveryNote(
            step_id=answer["step_id"],
            kind=StepKind.SECURE,
            case_id=case.id,
            quarantine_id=item_id if done else "",
            state=StepState.DONE if done else StepState.UNDONE,
            secured=done,
            text="finished: the file is in the vault" if done else "undone: the file is in its place",
        )


def _unanswered(ledger: Ledger, page: int = 1000) -> list[Case]:
    found: list[Case] = []
    for offset in range(0, ledger.count_unsecured() + page, page):
        cases = ledger.list(unsecured=True, limit=page, offset=offset)
        found += [
            c
            for c in cases
            if c.action is Action.FAILED
            and (c.reason == SECURING or c.reason.startswith(UNANSWERED) or KEPT_IN_STAGING in c.reason)
        ]
    return found


class RemoteSecuring:
    """Secures files by asking the securer. Never raises: a file that can't be asked for stays unsecured."""

    def __init__(self, vault: RemoteVault, volumes: Mapping[str, bytes], clock: Clock) -> None:
        self._vault = vault
        self._volumes = volumes
        self._clock = clock

    def secure(self, request: SecureRequest) -> SecureResult:
        """Ask for one file; after a loss, ask what became of it before asking again, once."""
        described = self._described(request)
        if isinstance(described, SecureResult):
            return described
        since = self._clock.now_ns()
        try:
            try:
                return self._ask(described, request)
            except LostError:
                return self._after_loss(described, request, since)
        except VaultError as e:
            return SecureResult.failed("securer", str(e))
        except NotFoundError as e:
            return SecureResult.failed("securer", str(e))

    def _described(self, request: SecureRequest) -> FileAsk | SecureResult:
        """The file as one of a configured volume, which a scan of a directory within one is not by itself."""
        place = self._place(request)
        if place is None:
            text = "it is in no configured volume, so the securer leaves it alone"
            return SecureResult.failed("securer", text)
        name, root, directory = place
        if len(directory) > MAX_PATH:
            return SecureResult.failed("path_too_long", f"its directory's path has {len(directory)} bytes")
        st, digests = request.stat, request.digests
        return FileAsk(
            volume=name,
            root=root,
            directory=directory,
            name=request.name,
            device=st.device,
            inode=st.inode,
            size=st.size,
            mtime_ns=st.mtime_ns,
            ctime_ns=st.ctime_ns,
            hashed=digests.size,
            digests={k: v for k, v in digests.exact.items() if k in EXACT_KINDS},
            case_id=request.case_id,
            atime_ns=request.atime_ns,
        )

    def _place(self, request: SecureRequest) -> tuple[str, bytes, bytes] | None:
        """(volume, its root, the directory below it): of the innermost volume, whose disk it is on."""
        found = None
        for name, root in sorted(self._volumes.items(), key=lambda v: len(v[1])):
            base = root.rstrip(b"/") + b"/"
            if request.root == root or request.root.startswith(base):
                above = request.root[len(base) :].strip(b"/")
                found = name, root, b"/".join(p for p in (above, request.directory) if p)
        return found

    def _ask(self, described: FileAsk, request: SecureRequest) -> SecureResult:
        answer = self._vault.ask(
            Ask(Op.SECURE, file=described),
            [request.fd, request.directory_fd],
            seconds=_SECONDS + described.size / _SLOWEST,
        )
        try:
            outcome = SecureOutcome(answer["outcome"])
        except ValueError as e:
            raise SecurerError("the securer said something that is no answer (an unknown outcome)") from e
        if (outcome is SecureOutcome.SECURED) != bool(answer["quarantine_id"]):
            raise SecurerError("the securer said something that is no answer (secured without an item)")
        return SecureResult(
            outcome, answer["kind"], answer["text"], answer["quarantine_id"], answer["links_left"]
        )

    def _after_loss(self, described: FileAsk, request: SecureRequest, since_ns: int) -> SecureResult:
        """The securer went away with our question. What is on its record decides; it ended its steps at its
        start."""
        answer = self._outcome(described.case_id, since_ns)
        if answer["state"] == OPEN:
            return SecureResult.failed("securer", "the securer has not finished with it; asked again later")
        if finished(answer["state"]) is StepState.DONE:
            return SecureResult(SecureOutcome.SECURED, "secured", "", answer["quarantine_id"])
        # Put back, it has another ctime, by our doing; its bytes are hashed anew anyhow.
        return self._ask(replace(described, ctime_ns=os.fstat(request.fd).st_ctime_ns), request)

    def _outcome(self, case_id: str, since_ns: int) -> dict[str, Any]:
        deadline = time.monotonic() + _AGAIN_SECONDS
        while True:
            late = time.monotonic() > deadline
            try:
                answer = self._vault.outcome(case_id, since_ns, _LOOK_SECONDS)
                if answer["state"] != OPEN or late:
                    return answer
            except SecurerError:  # not back yet
                if late:
                    raise
            time.sleep(_PAUSE_SECONDS)


def checked_id(item_id: str) -> str:
    """An id as it can be asked for.

    Raises:
        NotFoundError: nothing can have this id.
    """
    if not is_id(item_id):
        raise NotFoundError("the vault has no item with this id", where=item_id)
    return item_id


def _item(line: bytes) -> Item:
    try:
        item = decode(line)
        numbers = (item.size, item.secured_ns, item.attributes.uid, item.attributes.gid, item.attributes.mode,
                   item.attributes.atime_ns, item.attributes.mtime_ns, item.attributes.links)  # fmt: skip
        texts = (item.id, item.case_id)
        if not all(type(n) is int for n in numbers) or not all(type(t) is str for t in texts):
            raise ValueError("a value of the wrong type")
    except (ValueError, RecursionError) as e:
        raise SecurerError(f"the securer said something that is no answer ({e})") from e
    return item


def _problem(line: bytes) -> Problem:
    try:
        kind, where, text = json.loads(line)
        return Problem(str(kind), Path(os.fsdecode(bytes.fromhex(where))), str(text))
    except (ValueError, TypeError, RecursionError) as e:
        raise SecurerError(f"the securer said something that is no answer ({e})") from e
