"""What the pool and its workers say to each other: one frame a message, on a SOCK_SEQPACKET pair.

A worker decodes files of strangers, so what it answers is as hostile as they are: every frame is as long as
its fields say and no longer than `REPLY_SIZE`, every field has one meaning, and `parse_reply` either
understands a message wholly or raises WorkerError. There is no pickle and nothing to allocate by a length
that the peer chose.

    pool -> worker   JOBS    up to 32 jobs, with one descriptor each in the same message
    worker -> pool   READY   once, with the sandbox layers in force
                     EXACT   how a job's reading went, with the exact digests
                     DONE    after EXACT where more was announced: perceptual hashes, or what was wrong;
                             twice where a file holds more than one picture, the first time to be kept
                             should decoding the others cost the worker its life
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from scanner.hashing.view_names import possible
from scanner.model.errors import WorkerError
from scanner.model.hashes import EXACT_KINDS, KINDS, PerceptualHash

MAX_JOBS = 32  # jobs in one message: from here on more descriptors a message cost the same each
MAX_HASHES = 512  # perceptual hashes of one file: views of its pictures, of all kinds; fits a socket
MAX_VALUE = 144  # bytes of one perceptual hash: PDQ has 32, the licensed PhotoDNA 144
MAX_VIEW = 32  # characters of a view's name
MAX_LAYERS = 16

# Why a file that was read has no perceptual hashes, or not all that it should; the pool adds decoder_crashed
# and decoder_timeout. "truncated": decoded as far as it goes; "partial": more is in it than was looked at.
PROBLEMS = frozenset(
    {"undecodable", "unsupported_format", "too_many_pixels", "out_of_memory", "truncated", "partial"}
)

_MAGIC, _VERSION = 0x4853, 1  # "HS"; both sides are of one release, a mismatch means a mixed installation
_JOBS, _READY, _EXACT, _DONE = 1, 2, 3, 4
_HEAD = "<HBB"
_SIZES = tuple(KINDS[kind].size for kind in EXACT_KINDS)
_NOTHING = tuple(bytes(n) for n in _SIZES)
_JOBS_HEAD = struct.Struct(_HEAD + "B")
_JOB = struct.Struct("<QB")
_READY_FRAME = struct.Struct(_HEAD + "B" + "24s" * MAX_LAYERS)
_EXACT_FRAME = struct.Struct(_HEAD + "QBBQ80sB" + "".join(f"{n}s" for n in _SIZES))
_DONE_HEAD = struct.Struct(_HEAD + "QB32sH")
_HASH_HEAD = struct.Struct(f"<B{MAX_VIEW}sBB")  # the value follows

REQUEST_SIZE = _JOBS_HEAD.size + MAX_JOBS * _JOB.size
REPLY_SIZE = max(
    _READY_FRAME.size, _EXACT_FRAME.size, _DONE_HEAD.size + MAX_HASHES * (_HASH_HEAD.size + MAX_VALUE)
)

_MEDIA_ONLY = 1
_MORE, _CHANGED = 1, 2
_MIME = re.compile(r"(?:[a-z0-9]+/[a-z0-9.+-]+)?")
_NAME = re.compile(r"[a-z0-9_.-]+")


class ReadStatus(IntEnum):
    """How reading a file went."""

    HASHED = 0
    NOT_MEDIA = 1  # by its first bytes; nothing else was read
    IO_ERROR = 2
    TOO_LARGE = 3


_STATUSES = {int(status): status for status in ReadStatus}


class JobFrame(NamedTuple):
    """One file to hash; its descriptor goes with it."""

    id: int
    media_only: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has given up its powers and waits; `layers` are those in force."""

    layers: tuple[str, ...]


class Exact(NamedTuple):
    """How reading went.

    Attributes:
        more: a Done follows.
        changed: size, mtime or ctime moved while the file was read.
        size: bytes read and hashed.
        digests: kind to raw digest; empty unless `status` is HASHED.
    """

    id: int
    status: ReadStatus
    more: bool
    changed: bool
    size: int
    media_type: str
    digests: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Done:
    """The perceptual hashes of a file, and what was wrong where they are missing.

    Attributes:
        more: another Done follows, with further hashes and the problem.
    """

    id: int
    problem: str
    hashes: tuple[PerceptualHash, ...]
    more: bool = False


Reply = Ready | Exact | Done


def encode_jobs(jobs: Sequence[JobFrame]) -> bytes:
    """A JOBS message; the descriptors are the caller's to send with it, in the same order."""
    parts = [_JOBS_HEAD.pack(_MAGIC, _VERSION, _JOBS, len(jobs))]
    parts += [_JOB.pack(job.id, _MEDIA_ONLY if job.media_only else 0) for job in jobs]
    return b"".join(parts)


def parse_jobs(message: bytes) -> list[JobFrame]:
    """The jobs of a message of the pool.

    Raises:
        WorkerError: it is no JOBS message.
    """
    try:
        magic, version, kind, n = _JOBS_HEAD.unpack_from(message)
        if (magic, version, kind) != (_MAGIC, _VERSION, _JOBS) or not 0 < n <= MAX_JOBS:
            raise ValueError("not a list of jobs")
        if len(message) != _JOBS_HEAD.size + n * _JOB.size:
            raise ValueError("a list of jobs that does not fit its count")
        return [_job(i, flags) for i, flags in _JOB.iter_unpack(message[_JOBS_HEAD.size :])]
    except (struct.error, ValueError) as e:
        raise WorkerError(f"the pool sent something that is no list of jobs ({e})") from e


def _job(id: int, flags: int) -> JobFrame:
    if flags & ~_MEDIA_ONLY:
        raise ValueError("unknown flags")
    return JobFrame(id, bool(flags))


def encode_ready(layers: Sequence[str]) -> bytes:
    names = [layer.encode("ascii") for layer in layers]
    names += [b""] * (MAX_LAYERS - len(names))
    return _READY_FRAME.pack(_MAGIC, _VERSION, _READY, len(layers), *names)


def encode_exact(reply: Exact) -> bytes:
    flags = (_MORE if reply.more else 0) | (_CHANGED if reply.changed else 0)
    mask = sum(1 << i for i, kind in enumerate(EXACT_KINDS) if kind in reply.digests)
    values = [reply.digests.get(kind, b"") for kind in EXACT_KINDS]
    return _EXACT_FRAME.pack(
        _MAGIC, _VERSION, _EXACT, reply.id, reply.status, flags, reply.size, reply.media_type.encode("ascii"),
        mask, *values,
    )  # fmt: skip


def encode_done(reply: Done, kinds: Sequence[str]) -> bytes:
    """A DONE message; `kinds` is the configured list of perceptual kinds, the same on both sides.

    Raises:
        ValueError: more or longer hashes than a frame has room for, or a view that its kind does not have.
    """
    if len(reply.hashes) > MAX_HASHES:
        raise ValueError(f"{len(reply.hashes)} hashes of one file")
    parts = [
        _DONE_HEAD.pack(
            _MAGIC, _VERSION, _DONE, reply.id, reply.more, reply.problem.encode("ascii"), len(reply.hashes)
        )
    ]
    for h in reply.hashes:
        if not 0 < len(h.value) <= MAX_VALUE or not possible(h.kind, h.view) or len(h.view) > MAX_VIEW:
            raise ValueError(f"a {h.kind} hash that has no room in a frame")
        head = _HASH_HEAD.pack(kinds.index(h.kind), h.view.encode("ascii"), h.quality, len(h.value))
        parts += (head, h.value)
    return b"".join(parts)


def parse_reply(message: bytes, kinds: Sequence[str]) -> Reply:
    """What a worker says.

    Args:
        message: as received, of any length and content.
        kinds: the configured perceptual kinds, in order.

    Raises:
        WorkerError: it is none of the replies, or a field has a value that no worker of ours sends.
    """
    try:
        magic, version, kind = struct.unpack_from(_HEAD, message)
        if (magic, version) != (_MAGIC, _VERSION):
            raise ValueError("wrong magic or version")
        if kind == _EXACT:
            return _parse_exact(message)
        if kind == _DONE:
            return _parse_done(message, kinds)
        if kind == _READY:
            return _parse_ready(message)
        raise ValueError("unknown type")
    except (struct.error, ValueError) as e:
        raise WorkerError(f"a worker sent something that is no reply ({e})") from e


@lru_cache(maxsize=1024)
def _text(raw: bytes, pattern: re.Pattern[str]) -> str:
    """A field of NUL-padded ASCII; the same few come with every file."""
    text = raw.rstrip(b"\0").decode("ascii")
    if not pattern.fullmatch(text):
        raise ValueError("a text field with other characters")
    return text


def _parse_ready(message: bytes) -> Ready:
    n, *names = _READY_FRAME.unpack(message)[3:]
    if n > MAX_LAYERS or any(any(name) for name in names[n:]):
        raise ValueError("a list of layers that does not fit its count")
    return Ready(tuple(_text(name, _NAME) for name in names[:n]))


def _parse_exact(message: bytes) -> Exact:
    _, _, _, job, status, flags, size, mime, mask, *values = _EXACT_FRAME.unpack(message)
    if flags & ~(_MORE | _CHANGED) or mask >> len(EXACT_KINDS):
        raise ValueError("unknown flags")
    digests = {}
    for kind, nothing, value in zip(EXACT_KINDS, _NOTHING, values, strict=True):
        if mask & 1:
            digests[kind] = value
        elif value != nothing:
            raise ValueError("a digest that is not announced")
        mask >>= 1
    if status not in _STATUSES:
        raise ValueError("an unknown status")
    if status != ReadStatus.HASHED and (digests or size or flags):
        raise ValueError("digests of a file that was not hashed")
    return Exact(
        job,
        _STATUSES[status],
        bool(flags & _MORE),
        bool(flags & _CHANGED),
        size,
        _text(mime, _MIME),
        digests,
    )


def _parse_done(message: bytes, kinds: Sequence[str]) -> Done:
    _, _, _, job, more, raw_problem, n = _DONE_HEAD.unpack_from(message)
    problem = raw_problem.rstrip(b"\0").decode("ascii")
    if problem and problem not in PROBLEMS:
        raise ValueError("an unknown problem")
    if more > 1 or (more and problem):
        raise ValueError("an end that is none")
    if n > MAX_HASHES:
        raise ValueError("more hashes than a file may have")
    hashes, at = [], _DONE_HEAD.size
    for _ in range(n):
        found, at = _parse_hash(message, at, kinds)
        hashes.append(found)
    if at != len(message):
        raise ValueError("a list of hashes that does not fit its count")
    return Done(job, problem, tuple(hashes), bool(more))


def _parse_hash(message: bytes, at: int, kinds: Sequence[str]) -> tuple[PerceptualHash, int]:
    """The hash at a place of a message, and where the next begins."""
    index, view, quality, length = _HASH_HEAD.unpack_from(message, at)
    start, end = at + _HASH_HEAD.size, at + _HASH_HEAD.size + length
    if index >= len(kinds) or quality > 100 or not 0 < length <= MAX_VALUE or end > len(message):
        raise ValueError("a hash out of range")
    kind = kinds[index]
    return PerceptualHash(kind, _view(kind, view, length), message[start:end], quality), end


@lru_cache(maxsize=4096)
def _view(kind: str, raw: bytes, length: int) -> str:
    """The name of a view, which with its kind and length is one of the few that come with every picture."""
    known = KINDS.get(kind)
    if known is not None and length != known.size:
        raise ValueError("a hash of another length than its kind has")
    name = _text(raw, _NAME)
    if not possible(kind, name):
        raise ValueError("a view that its kind does not have")
    return name
