"""The notification of a published tree: what there is, with digests; and the pointer to the current one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scanner.model.errors import FeedFormatError

POINTER = "latest.json"
"""The only file whose content changes; polled, and small."""
NAME = "notification.json"
SIGNATURE = "notification.json.minisig"
VERSION = 1
MAX_NOTIFICATION = 4 << 20  # bytes: 10,000 parts and deltas
MAX_POINTER = 4 << 10
MAX_FILES = 10_000  # parts of a snapshot, or deltas

_SESSION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PATH = re.compile(r"[0-9a-f-]{36}/[0-9]{1,19}/[a-z0-9][a-z0-9.-]{0,99}")
_MOST = 1 << 62


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file of the tree: its path below the tree's address, its SHA-256 in hexadecimal and its bytes; of a
    delta the serial number that it leads to, else 0."""

    path: str
    sha256: str
    bytes: int
    serial: int = 0


@dataclass(frozen=True, slots=True)
class Notification:
    """What a publisher tells of the tree.

    Attributes:
        session: a UUID; of another session nothing can be carried on.
        serial: counts up within the session.
        time: when it was made, RFC 3339 in UTC.
        feed: what the publisher calls the list.
        entries: records of the whole list.
        checksum: of the whole list, see `LineSum`.
        snapshot: its parts in order.
        deltas: oldest first, without a gap, the last one leading to `serial`.
    """

    session: str
    serial: int
    time: str
    feed: str
    entries: int
    checksum: str
    snapshot: tuple[TreeFile, ...]
    deltas: tuple[TreeFile, ...]

    def since(self, session: str, serial: int) -> tuple[TreeFile, ...] | None:
        """The deltas that lead on from there; None where only the snapshot does."""
        if session != self.session or serial > self.serial:
            return None
        steps = tuple(d for d in self.deltas if d.serial > serial)
        return steps if len(steps) == self.serial - serial else None

    def to_json(self) -> bytes:
        """As it is published and signed."""
        told = {
            "version": VERSION,
            "session": self.session,
            "serial": self.serial,
            "time": self.time,
            "feed": self.feed,
            "entries": self.entries,
            "checksum": self.checksum,
            "snapshot": [{"path": f.path, "sha256": f.sha256, "bytes": f.bytes} for f in self.snapshot],
            "deltas": [
                {"serial": f.serial, "path": f.path, "sha256": f.sha256, "bytes": f.bytes}
                for f in self.deltas
            ],
        }
        return json.dumps(told, indent=1).encode("ascii") + b"\n"


def pointer_json(session: str, serial: int) -> bytes:
    """The content of the pointer. Its length changes from serial to serial: common web servers make their
    ETag of the length and the second of the change, and two serials may come in one second."""
    told = {"version": VERSION, "notification": f"{session}/{serial}/{NAME}"}
    return json.dumps(told).encode("ascii") + b" " * (serial % 61) + b"\n"


def parse_pointer(data: bytes) -> str:
    """The path of the current notification.

    Raises:
        FeedFormatError: it is none, or of another version.
    """
    told = _object(data, "pointer")
    path = told.get("notification")
    if not isinstance(path, str) or not _PATH.fullmatch(path) or not path.endswith(f"/{NAME}"):
        raise FeedFormatError("it leads to no notification", where=POINTER)
    return path


def parse_notification(data: bytes) -> Notification:
    """A notification from its bytes; unknown fields are passed over.

    Raises:
        FeedFormatError: it is none, of another version, or contradicts itself.
    """
    told = _object(data, "notification")
    made = Notification(
        session=_matching(told, "session", _SESSION),
        serial=_number(told, "serial"),
        time=_short(told, "time"),
        feed=_short(told, "feed"),
        entries=_number(told, "entries"),
        checksum=_matching(told, "checksum", _SHA256),
        snapshot=_files(told, "snapshot"),
        deltas=_files(told, "deltas"),
    )
    if not made.snapshot:
        raise _wrong("snapshot")
    first = made.serial - len(made.deltas) + 1
    if [d.serial for d in made.deltas] != list(range(first, made.serial + 1)):
        raise FeedFormatError("the serial numbers of the deltas have a gap", where=NAME)
    return made


def _object(data: bytes, what: str) -> dict[str, Any]:
    try:
        told = json.loads(data)
    except (ValueError, RecursionError) as e:
        raise FeedFormatError(f"the {what} of the tree is no JSON", where=what, remedy=_REMEDY) from e
    if not isinstance(told, dict) or told.get("version") != VERSION:
        raise FeedFormatError(
            f"the {what} of the tree is not of version {VERSION}", where=what, remedy=_REMEDY
        )
    return told


_REMEDY = "Check that the feed's url is that of a published tree"


def _files(told: Mapping[str, Any], field: str) -> tuple[TreeFile, ...]:
    listed = told.get(field)
    if not isinstance(listed, list) or len(listed) > MAX_FILES:
        raise _wrong(field)
    return tuple(_file(each, field) for each in listed)


def _file(told: object, field: str) -> TreeFile:
    if not isinstance(told, dict):
        raise _wrong(field)
    serial = _number(told, "serial") if field == "deltas" else 0
    path, sha256 = _matching(told, "path", _PATH), _matching(told, "sha256", _SHA256)
    return TreeFile(path, sha256, _number(told, "bytes"), serial)


def _matching(told: Mapping[str, Any], field: str, pattern: re.Pattern[str]) -> str:
    value = told.get(field)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _wrong(field)
    return value


def _short(told: Mapping[str, Any], field: str) -> str:
    value = told.get(field)
    if not isinstance(value, str) or len(value) > 200:
        raise _wrong(field)
    return value


def _number(told: Mapping[str, Any], field: str) -> int:
    value = told.get(field)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST:
        raise _wrong(field)
    return value


def _wrong(field: str) -> FeedFormatError:
    return FeedFormatError(f"'{field}' is not as it should be", where=NAME)
