"""What a walker says arrives as it was said, in whatever pieces; what is no frame is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.model.errors import WorkerError
from scanner.model.files import (
    DirectoryFailed,
    DirectoryMet,
    FilesSkipped,
    FileStat,
    FileState,
    KnownFile,
    OthersMet,
)
from scanner.model.hashes import Digests, PerceptualHash
from scanner.pipeline.frames import Cached, Frame, FrameStream, WalkBroken, WalkEnded, encode

u64 = st.integers(0, 2**64 - 1)
i64 = st.integers(-(2**63), 2**63 - 1)
counts = st.integers(0, 2**40)
stats = st.builds(FileStat, st.binary(max_size=255), u64, u64, u64, i64, i64, counts, counts)
digests = st.builds(
    Digests,
    size=counts,
    media_type=st.sampled_from(["", "image/jpeg"]),
    exact=st.dictionaries(st.sampled_from(["md5", "sha256"]), st.binary(max_size=64)),
    perceptual=st.lists(
        st.builds(
            PerceptualHash, st.just("pdq"), st.just("full"), st.binary(max_size=32), st.integers(0, 100)
        ),
        max_size=3,
    ).map(tuple),
    problem=st.sampled_from(["", "undecodable"]),
)
known = st.builds(KnownFile, stats, st.sampled_from(FileState), digests)
frames: st.SearchStrategy[Frame] = st.one_of(
    st.builds(
        DirectoryMet,
        path=st.binary(max_size=5000),
        changed=st.lists(stats, max_size=4).map(tuple),
        known=st.lists(known, max_size=3).map(tuple),
        clean=counts,
        not_media=counts,
        unchanged_bytes=counts,
        gone=st.lists(st.binary(max_size=255), max_size=3).map(tuple),
        fingerprint=st.binary(max_size=16),
        cached=st.booleans(),
        last=st.booleans(),
    ),
    st.builds(Cached, st.lists(st.binary(max_size=40), max_size=5).map(tuple), counts, counts, counts),
    st.builds(FilesSkipped, st.binary(max_size=40), st.sampled_from(["excluded", "mail_store"]), counts),
    st.builds(DirectoryFailed, st.binary(max_size=40), st.sampled_from(["permission", "io"])),
    st.builds(OthersMet, st.dictionaries(st.sampled_from(["fifo", "symlink"]), counts)),
    st.just(WalkEnded()),
    st.builds(WalkBroken, st.text(max_size=40)),
)


@given(st.lists(frames, max_size=8), st.integers(1, 700))
def test_frames_arrive_whole_and_in_order_however_the_stream_is_cut(said: list[Frame], piece: int) -> None:
    data = b"".join(map(encode, said))
    stream = FrameStream()
    heard = [f for at in range(0, len(data), piece) for f in stream.feed(data[at : at + piece])]
    assert heard == said


@given(st.binary(min_size=5, max_size=200))
def test_what_is_no_frame_is_a_worker_error_and_nothing_else(noise: bytes) -> None:
    stream = FrameStream()
    try:
        for _ in stream.feed(noise):
            pass
    except WorkerError:
        pass


def test_a_length_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(WorkerError):
        list(FrameStream().feed(b"\x01\xff\xff\xff\xff" + b"x" * 10))
