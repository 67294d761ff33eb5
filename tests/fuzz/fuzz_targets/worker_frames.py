"""The worker protocol: a message is refused with WorkerError, or means exactly its bytes."""

from __future__ import annotations

from fuzzing import Target, harmless, law

from scanner.hashing import frames
from scanner.hashing.frames import Done, Exact, JobFrame, ReadStatus, Ready
from scanner.model.errors import WorkerError
from scanner.model.hashes import PerceptualHash

_KINDS = ("pdq", "phash", "licensed")


def check(data: bytes) -> None:
    _check_reply(data)
    try:
        jobs = frames.parse_jobs(data)
    except WorkerError:
        return
    law(0 < len(jobs) <= frames.MAX_JOBS, "a message has a bounded number of jobs")
    law(frames.encode_jobs(jobs) == data, "a list of jobs means exactly its bytes")


def _check_reply(data: bytes) -> None:
    try:
        reply = frames.parse_reply(data, _KINDS)
    except WorkerError as e:
        harmless(str(e), "an error")
        return
    law(len(data) <= frames.REPLY_SIZE, "a reply fits the buffer it is received in")
    law(_encode(reply) == data, "a reply means exactly its bytes")


def _encode(reply: frames.Reply) -> bytes:
    if isinstance(reply, Ready):
        return frames.encode_ready(reply.layers)
    return frames.encode_exact(reply) if isinstance(reply, Exact) else frames.encode_done(reply, _KINDS)


def seeds() -> dict[str, bytes]:
    digests = {"md5": b"1" * 16, "sha1": b"2" * 20, "sha256": b"3" * 32}
    hashes = (PerceptualHash("pdq", "full", b"4" * 32, 90), PerceptualHash("licensed", "x", b"5" * 144, 100))
    return {
        "ready": frames.encode_ready(["seccomp", "landlock"]),
        "exact": frames.encode_exact(
            Exact(
                7,
                ReadStatus.HASHED,
                more=True,
                changed=False,
                size=9,
                media_type="image/png",
                digests=digests,
            )
        ),
        "unread": frames.encode_exact(
            Exact(2**63, ReadStatus.IO_ERROR, more=False, changed=False, size=0, media_type="", digests={})
        ),
        "part": frames.encode_done(Done(7, "", hashes, more=True), _KINDS),
        "done": frames.encode_done(Done(7, "", hashes), _KINDS),
        "problem": frames.encode_done(Done(7, "undecodable", ()), _KINDS),
        "jobs": frames.encode_jobs([JobFrame(7, media_only=True), JobFrame(8, media_only=False)]),
    }


_HEADS = tuple(b"\x53\x48\x01" + bytes([kind]) for kind in range(1, 5))
TARGET = Target(check, seeds, (*_HEADS, b"image/", b"undecodable", b"pdq", b"full"), frames.REPLY_SIZE + 8)
