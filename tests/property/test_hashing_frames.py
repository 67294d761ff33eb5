"""Frames survive the way there and back, and no bytes make the parser fail in another way than it says."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.hashing import frames, sniff
from scanner.hashing.frames import Done, Exact, JobFrame, ReadStatus, Ready
from scanner.model.errors import WorkerError
from scanner.model.hashes import KINDS, PerceptualHash

PERCEPTUAL = ("pdq", "phash", "licensed")
ids = st.integers(0, 2**64 - 1)
names = st.text("abcdefghijklmnopqrstuvwxyz0123456789_.-", min_size=1, max_size=24)

parts = st.sampled_from(["", "frame0.", "frame199.", "embedded10.", "preview7."])
turns = st.sampled_from(["turn90", "turn180", "turn270", "mirror", "mirror90", "mirror180", "mirror270"])
families = st.sampled_from(["full", "grid512", "native", "as512", "asbig"]) | turns.map(lambda t: f"mid.{t}")
views = {
    "pdq": st.tuples(parts, st.sampled_from(["", "box"]), families).map("".join),
    "phash": st.tuples(parts, st.sampled_from(["whole", "box"]), st.just("") | turns.map(".{}".format)).map(
        "".join
    ),
    "licensed": st.text("abcdefghijklmnopqrstuvwxyz0123456789_.-", min_size=1, max_size=frames.MAX_VIEW),
}


@st.composite
def perceptual(draw: st.DrawFn) -> PerceptualHash:
    kind = draw(st.sampled_from(PERCEPTUAL))
    size = KINDS[kind].size if kind in KINDS else draw(st.integers(1, frames.MAX_VALUE))
    return PerceptualHash(
        kind, draw(views[kind]), draw(st.binary(min_size=size, max_size=size)), draw(st.integers(0, 100))
    )


hashed = st.builds(
    Exact,
    id=ids,
    status=st.just(ReadStatus.HASHED),
    more=st.booleans(),
    changed=st.booleans(),
    size=st.integers(0, 2**64 - 1),
    media_type=st.sampled_from(["", "image/jpeg", "video/3gpp", "application/x-7z-compressed"]),
    digests=st.fixed_dictionaries(
        {},
        optional={
            k: st.binary(min_size=n, max_size=n) for k, n in (("md5", 16), ("sha1", 20), ("sha256", 32))
        },
    ),
)
unread = st.builds(
    Exact,
    id=ids,
    status=st.sampled_from([s for s in ReadStatus if s != ReadStatus.HASHED]),
    more=st.just(False),
    changed=st.just(False),
    size=st.just(0),
    media_type=st.just(""),
    digests=st.just({}),
)
done = st.builds(
    Done,
    id=ids,
    problem=st.sampled_from(["", *sorted(frames.PROBLEMS)]),
    hashes=st.lists(perceptual(), max_size=frames.MAX_HASHES).map(tuple),
)
part = st.builds(
    Done,
    id=ids,
    problem=st.just(""),
    hashes=st.lists(perceptual(), max_size=8).map(tuple),
    more=st.just(True),
)
ready = st.builds(Ready, st.lists(names, max_size=frames.MAX_LAYERS).map(tuple))
replies = st.one_of(hashed, unread, done, part, ready)


def encode(reply: frames.Reply) -> bytes:
    if isinstance(reply, Ready):
        return frames.encode_ready(reply.layers)
    return frames.encode_exact(reply) if isinstance(reply, Exact) else frames.encode_done(reply, PERCEPTUAL)


@given(replies)
def test_what_a_worker_says_arrives_unchanged(reply: frames.Reply) -> None:
    message = encode(reply)
    assert len(message) <= frames.REPLY_SIZE
    assert frames.parse_reply(message, PERCEPTUAL) == reply


@given(st.lists(st.builds(JobFrame, ids, st.booleans()), min_size=1, max_size=frames.MAX_JOBS))
def test_jobs_arrive_unchanged(jobs: list[JobFrame]) -> None:
    message = frames.encode_jobs(jobs)
    assert len(message) <= frames.REQUEST_SIZE
    assert frames.parse_jobs(message) == jobs


def understood_or_refused(message: bytes) -> None:
    """A message is refused with WorkerError, or it is a reply that means exactly these bytes."""
    try:
        reply = frames.parse_reply(message, PERCEPTUAL)
    except WorkerError:
        return
    assert encode(reply) == message


@given(st.binary(max_size=frames.REPLY_SIZE + 1))
def test_arbitrary_bytes_are_refused(message: bytes) -> None:
    understood_or_refused(message)


@given(replies, st.data())
def test_altered_reply_is_refused_or_means_what_it_says(reply: frames.Reply, data: st.DataObject) -> None:
    message = bytearray(encode(reply))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 3))
    understood_or_refused(bytes(message[: len(message) - cut]))


@given(st.integers(1, 4), st.binary(max_size=400))
def test_right_head_with_wrong_rest_is_refused(kind: int, rest: bytes) -> None:
    understood_or_refused(struct.pack("<HBB", 0x4853, 1, kind) + rest)


@given(st.binary(max_size=300))
def test_job_list_of_wrong_form_is_refused(message: bytes) -> None:
    with pytest.raises(WorkerError):
        frames.parse_jobs(b"\0" + message)


starts = [
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"PK\x03\x04",
    b"\0\0\0\x18ftyp",
    b"RIFF",
    b"II*\0",
    b"From ",
    b"\x1a\x45\xdf\xa3",
]


@given(st.sampled_from(starts), st.binary(max_size=600))
def test_sniffing_any_bytes_gives_a_type_or_nothing(start: bytes, rest: bytes) -> None:
    mime = sniff(start + rest)
    assert mime == "" or mime.count("/") == 1


def test_as_many_hashes_as_a_file_may_have_arrive() -> None:
    one = PerceptualHash("pdq", "full", bytes(32), 100)
    done = Done(1, "", (one,) * frames.MAX_HASHES)
    message = frames.encode_done(done, ("pdq",))
    assert len(message) <= frames.REPLY_SIZE and frames.parse_reply(message, ("pdq",)) == done
