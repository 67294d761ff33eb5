"""What is said to the securer and back: one message of SOCK_SEQPACKET a frame, none of them believed.

    client -> securer   ASK      one operation, with its descriptors in the same message
    securer -> client   DATA     any number: parts of a stream of lines (manifests, problems)
                        DONE     the end of an answer, with its fields
                        REFUSED  the end of an answer: nothing was done, and why

A frame is four bytes (magic, version, kind) and a body: raw bytes for DATA, else one JSON object in ASCII
with exactly the keys of its operation, each of one type and within bounds. Both sides treat the other as
hostile: a taken-over daemon may send anything, and so may whoever sits in the securer's place. Nothing is
allocated by a number that the peer chose, and nothing is ever unpickled.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from scanner.model.errors import SecurerError
from scanner.model.hashes import EXACT_KINDS, KINDS
from scanner.model.names import display

# Bytes of one frame. Below the 208 KiB that a socket's buffer holds by default (net.core.wmem_default).
MAX_FRAME = 128 << 10
MAX_DATA = 64 << 10  # bytes of one DATA frame's body
# Bytes of a path below a root: sixteen times PATH_MAX. Deeper files are hits that stay unsecured, and are
# said so.
MAX_PATH = 64 << 10
MAX_NAME = 255  # NAME_MAX (linux/limits.h)
_MAX_TEXT = 2000  # characters of words for people

_MAGIC, _VERSION = 0x5653, 1  # "SV"; both sides are of one release, a mismatch means a mixed installation
_HEAD = struct.Struct("<HBB")
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_WORD = re.compile(r"[a-z_]{1,32}")
_CHAIN_HEAD = re.compile(r"(?:[0-9]{1,18}:[0-9a-f]{64})?")


class Kind(IntEnum):
    """What a frame is."""

    ASK = 1
    DATA = 2
    DONE = 3
    REFUSED = 4


class Op(StrEnum):
    """What can be asked."""

    READY = "ready"  # is the vault there, ours and writable?
    USAGE = "usage"
    ITEMS = "items"  # DATA: manifests, one a line
    ITEM = "item"  # DATA: one manifest
    SECURE = "secure"  # descriptors: the file, its directory
    OUTCOME = "outcome"  # what became of a case's last securing
    RESTORE = "restore"  # to its place, and nowhere else
    COPY = "copy"  # descriptor: a new file that the content goes into. DATA: the manifest
    RESTORED = "restored"  # somebody put a copy at a place of his choice
    PURGE = "purge"
    VERIFY = "verify"  # DATA: problems, one JSON object a line
    RECORD = "record"  # the securer's own chain of events
    BRAKE = "brake"  # is it engaged?
    RELEASE = "release"


DESCRIPTORS: Mapping[Op, int] = {Op.SECURE: 2, Op.COPY: 1}


@dataclass(frozen=True, slots=True)
class FileAsk:
    """A file that is to be secured, as the asking side describes it: claims, to be checked one by one.

    Attributes:
        volume, root: name and root of a configured volume.
        directory, name: path of its directory below the root, and its name there.
        device, inode, size, mtime_ns, ctime_ns: what fstat said when it was hashed.
        hashed: bytes that were hashed.
        digests: exact kind to raw digest, at least one.
        case_id: the case it belongs to.
        atime_ns: the access time before it was read; 0 where it isn't known.
    """

    volume: str
    root: bytes
    directory: bytes
    name: bytes
    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    hashed: int
    digests: Mapping[str, bytes]
    case_id: str
    atime_ns: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """One operation. Only the fields of the operation are used, see `_ASKS`."""

    op: Op
    item_id: str = ""
    case_id: str = ""
    since_ns: int = 0
    path: bytes = b""
    head: str = ""
    file: FileAsk | None = None


def is_id(text: str) -> bool:
    """Whether something can be asked for by this id, or by this beginning of one."""
    return _ID.fullmatch(text) is not None


# Fields: value of JSON -> value of ours, or ValueError.


def _is(value: object, wanted: type) -> Any:
    if type(value) is not wanted:  # exact: True is no number
        raise ValueError(f"expected {wanted.__name__}, got {type(value).__name__}")
    return value


def _number(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        number: int = _is(value, int)
        if not low <= number <= high:
            raise ValueError("a number out of range")
        return number

    return read


def _text(pattern: re.Pattern[str]) -> Callable[[object], str]:
    def read(value: object) -> str:
        text: str = _is(value, str)
        if not pattern.fullmatch(text):
            raise ValueError("a text of the wrong form")
        return text

    return read


def _words(value: object) -> str:
    text: str = _is(value, str)
    return display(text[:_MAX_TEXT])


def _flag(value: object) -> bool:
    flag: bool = _is(value, bool)
    return flag


def _raw(longest: int) -> Callable[[object], bytes]:
    def read(value: object) -> bytes:
        raw = base64.b64decode(_is(value, str), validate=True)
        if len(raw) > longest or b"\0" in raw:
            raise ValueError("bytes that are too many or hold a zero")
        return raw

    return read


def _digests(value: object) -> dict[str, bytes]:
    found = {}
    for kind, text in _is(value, dict).items():
        if kind not in EXACT_KINDS:
            raise ValueError("an unknown kind of digest")
        found[kind] = bytes.fromhex(_is(text, str))
        if len(found[kind]) != KINDS[kind].size:
            raise ValueError("a digest of the wrong length")
    return found


def _tables(value: object) -> tuple[str, ...]:
    names: list[object] = _is(value, list)
    if len(names) > 16:
        raise ValueError("too many tables")
    return tuple(_text(_WORD)(name) for name in names)


_id, _path, _time = _text(_ID), _raw(MAX_PATH), _number(-(1 << 63), (1 << 63) - 1)
_count = _number(0, (1 << 64) - 1)

Fields = Mapping[str, Callable[[object], Any]]

_FILE: Fields = {
    "volume": _text(_VOLUME),
    "root": _path,
    "directory": _path,
    "name": _raw(MAX_NAME),
    "device": _count,
    "inode": _count,
    "size": _count,
    "mtime_ns": _time,
    "ctime_ns": _time,
    "hashed": _count,
    "digests": _digests,
    "case_id": _id,
    "atime_ns": _time,
}
_ASKS: Mapping[Op, Fields] = {
    Op.READY: {},
    Op.USAGE: {},
    Op.ITEMS: {},
    Op.ITEM: {"item_id": _id},
    Op.SECURE: _FILE,
    Op.OUTCOME: {"case_id": _id, "since_ns": _time},
    Op.RESTORE: {"item_id": _id},
    Op.COPY: {"item_id": _id},
    Op.RESTORED: {"item_id": _id, "path": _path},
    Op.PURGE: {"item_id": _id},
    Op.VERIFY: {},
    Op.RECORD: {"head": _text(_CHAIN_HEAD)},
    Op.BRAKE: {},
    Op.RELEASE: {},
}
_OPTIONAL_ID = _text(re.compile(rf"(?:{_ID.pattern})?"))
_ANSWERS: Mapping[Op, Fields] = {
    Op.READY: {},
    Op.USAGE: {"items": _count, "bytes": _count, "free": _count},
    Op.ITEMS: {},
    Op.ITEM: {},
    Op.SECURE: {
        "outcome": _text(_WORD),
        "kind": _text(_WORD),
        "text": _words,
        "quarantine_id": _OPTIONAL_ID,
        "links_left": _count,
    },
    Op.OUTCOME: {"state": _text(_WORD), "step_id": _OPTIONAL_ID, "quarantine_id": _OPTIONAL_ID},
    Op.RESTORE: {"path": _path},
    Op.COPY: {},
    Op.RESTORED: {},
    Op.PURGE: {"purged": _flag},
    Op.VERIFY: {"items": _count, "objects": _count, "bytes": _count},
    Op.RECORD: {"ok": _flag, "head": _text(_CHAIN_HEAD), "problem": _words, "changed": _tables},
    Op.BRAKE: {"engaged": _flag, "reason": _words, "since_ns": _time},
    Op.RELEASE: {"released": _flag},
}
_REFUSAL: Fields = {"kind": _text(_WORD), "what": _words, "where": _words, "remedy": _words}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing was done: `kind` is a short word (not_found, not_yours, busy, full, vault, …)."""

    kind: str
    what: str
    where: str = ""
    remedy: str = ""


# Writing


def _frame(kind: Kind, body: bytes) -> bytes:
    return _HEAD.pack(_MAGIC, _VERSION, kind) + body


def _json(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return {key: v.hex() if isinstance(v, bytes) else v for key, v in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _object(kind: Kind, fields: Mapping[str, object]) -> bytes:
    body = {key: _json(value) for key, value in fields.items()}
    return _frame(kind, json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode("ascii"))


def encode_ask(ask: Ask) -> bytes:
    """The frame of an operation; its descriptors are the caller's to send with it."""
    source = ask if ask.op is not Op.SECURE else ask.file
    fields = {name: getattr(source, name) for name in _ASKS[ask.op]}
    return _object(Kind.ASK, {"op": str(ask.op), **fields})


def encode_data(part: bytes) -> bytes:
    """A part of a stream, of at most MAX_DATA bytes."""
    return _frame(Kind.DATA, part)


def encode_done(fields: Mapping[str, object]) -> bytes:
    """The end of an answer."""
    return _object(Kind.DONE, fields)


def encode_refusal(refusal: Refusal) -> bytes:
    """The end of an answer to what was not done."""
    words = {name: getattr(refusal, name)[:_MAX_TEXT] for name in ("what", "where", "remedy")}
    return _object(Kind.REFUSED, {"kind": refusal.kind, **words})


# Reading


def _unpack(frame: bytes) -> tuple[Kind, bytes]:
    if len(frame) < _HEAD.size:
        raise ValueError("a frame that is too short")
    magic, version, kind = _HEAD.unpack_from(frame)
    if magic != _MAGIC:
        raise ValueError("not of this protocol")
    if version != _VERSION:
        raise ValueError(f"of version {version} of the protocol, this is version {_VERSION}")
    return Kind(kind), frame[_HEAD.size :]


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is no number")


def _parse(body: bytes) -> dict[str, object]:
    text = body.decode("ascii")
    found: dict[str, object] = _is(
        json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_constant), dict
    )
    return found


def _fields(body: Mapping[str, object], wanted: Fields) -> dict[str, Any]:
    if body.keys() != wanted.keys():
        raise ValueError("other fields than this takes")
    return {name: read(body[name]) for name, read in wanted.items()}


def parse_ask(frame: bytes) -> Ask:
    """The operation of a frame.

    Raises:
        SecurerError: it is none.
    """
    try:
        kind, body = _unpack(frame)
        if kind is not Kind.ASK:
            raise ValueError("not an operation")
        found = _parse(body)
        op = Op(_is(found.pop("op", None), str))
        fields = _fields(found, _ASKS[op])
        return Ask(op, file=FileAsk(**fields)) if op is Op.SECURE else Ask(op, **fields)
    except (ValueError, RecursionError) as e:
        raise SecurerError(f"what was asked is no operation ({e})") from e


def parse_answer(frame: bytes, op: Op) -> bytes | dict[str, Any] | Refusal:
    """A part of a stream, the fields of the end of an answer, or why nothing was done.

    Raises:
        SecurerError: it is no answer to this operation.
    """
    try:
        kind, body = _unpack(frame)
        if kind is Kind.DATA:
            if not body or len(body) > MAX_DATA:
                raise ValueError("a part of no or too many bytes")
            return body
        if kind is Kind.DONE:
            return _fields(_parse(body), _ANSWERS[op])
        if kind is Kind.REFUSED:
            return Refusal(**_fields(_parse(body), _REFUSAL))
        raise ValueError("not an answer")
    except (ValueError, RecursionError) as e:
        raise SecurerError(
            f"the securer said something that is no answer ({e})",
            remedy="Run the same version of hostsweep on both sides",
        ) from e
