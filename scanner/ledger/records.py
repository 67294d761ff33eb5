"""What the ledger tells: events, the head of their chain, exceptions, scans, the brake."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from scanner.model.errors import ConfigError

_HEAD = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")


class EventType(StrEnum):
    """What can be on record. Stored and hashed: add, never rename."""

    CASE_OPENED = "case_opened"
    CASE_SEEN = "case_seen"  # the same content at the same path again, and something about it is new
    CASE_ACTED = "case_acted"
    CASE_RESOLVED = "case_resolved"
    STEP_BEGUN = "step_begun"
    STEP_FINISHED = "step_finished"
    EXCEPTION_ADDED = "exception_added"
    EXCEPTION_REMOVED = "exception_removed"
    BRAKE_ENGAGED = "brake_engaged"
    BRAKE_RELEASED = "brake_released"
    SCAN_STARTED = "scan_started"
    SCAN_FINISHED = "scan_finished"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the ledger.

    Attributes:
        seq: from 1, without gaps.
        at_ns: UTC, nanoseconds.
        type: an EventType; kept as text, a newer hostsweep may know more.
        case_id: "" where it is about no case.
        actor: who did it, e.g. "daemon" or "uid 0 (root)".
        payload: the JSON object of the event.
        prev_hash, hash: the chain, 32 bytes each.
    """

    seq: int
    at_ns: int
    type: str
    case_id: str
    actor: str
    payload: Mapping[str, object]
    prev_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain: whoever keeps it elsewhere can tell later that nothing before it was changed."""

    seq: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Read back what `str` gave.

        Raises:
            ConfigError: it isn't one.
        """
        found = _HEAD.fullmatch(text.strip().lower())
        if found is None:
            raise ConfigError("expected the head of a ledger as NUMBER:SHA256, got something else")
        return cls(int(found[1]), bytes.fromhex(found[2]))


@dataclass(frozen=True, slots=True)
class Verification:
    """What walking the chain showed.

    Attributes:
        head: the last event that is right.
        wrong: sequence number of the first one that isn't, None if all are right.
        problem: what is wrong with it, "" if nothing is.
    """

    head: Head
    wrong: int | None = None
    problem: str = ""

    @property
    def ok(self) -> bool:
        return self.wrong is None


@dataclass(frozen=True, slots=True)
class BrakeState:
    """The brake is engaged: since when, and why."""

    reason: str
    engaged_ns: int


@dataclass(frozen=True, slots=True)
class ExceptionRecord:
    """Content that is never to be acted on again, by one exact digest."""

    kind: str
    value: bytes
    case_id: str
    note: str
    actor: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class ScanRecord:
    """One scan of one volume.

    Attributes:
        kind: as the caller named it, e.g. "full".
        finished_ns: 0 while it runs, and for ever if its process died.
        complete: everything was scanned.
        counts: as handed to scan_finished.
    """

    id: str
    volume: str
    kind: str
    started_ns: int
    finished_ns: int
    complete: bool
    counts: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class VolumeScans:
    """The last scan of a volume, and the last complete one (None if there never was one)."""

    last: ScanRecord
    last_complete: ScanRecord | None

    @property
    def finished_ns(self) -> int:
        """When the last scan came to its end; 0 if it is running, died or was interrupted.

        A scan with errors has come to its end: it is repeated when it is due, not at once and for ever.
        """
        return 0 if self.last.counts.get("interrupted") else self.last.finished_ns
