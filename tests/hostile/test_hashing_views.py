"""Names of views can't be made up without end: the catalog remembers each."""

from __future__ import annotations

import struct

import pytest

from scanner.hashing import frames
from scanner.hashing.frames import Done
from scanner.hashing.view_names import MAX_PLUGGED, PluggedNames, possible
from scanner.model.errors import WorkerError
from scanner.model.hashes import PerceptualHash


def told(view: bytes) -> bytes:
    """A message of a worker that says what it likes: made by hand, since ours would refuse."""
    good = frames.encode_done(Done(1, "", (PerceptualHash("pdq", "full", bytes(32), 90),)), ("pdq",))
    return good.replace(struct.pack("32s", b"full"), struct.pack("32s", view))


@pytest.mark.parametrize(
    "view",
    [
        b"full",
        b"boxgrid512",
        b"boxbgrid512",
        b"boxcasbig",
        b"mid.mirror270",
        b"frame0.asbig",
        b"embedded199.boxmid.turn90",
        b"preview3.native",
        b"tiltm3",
        b"frame7.wide35",
        b"tiltp2cut",
    ],
)
def test_names_that_there_are_arrive(view: bytes) -> None:
    reply = frames.parse_reply(told(view), ("pdq",))
    assert isinstance(reply, Done)
    assert reply.hashes[0].view == view.decode()


@pytest.mark.parametrize(
    "view",
    [
        b"x", b"full1", b"full.turn91", b"mid", b"frame200.full", b"frame01.full", b"frame1.frame2.full",
        b"frame1", b"boxbox", b"whole", b"mid.mirror.mirror", b"full.", b"fullfullfull", b"thumb1.full",
        b"boxdfull", b"boxbmid.mirror", b"tilt", b"tiltp4", b"boxtiltp1", b"tiltp1.turn90", b"wide10",
        b"cropp1",
    ],
)  # fmt: skip
def test_made_up_name_ends_the_worker(view: bytes) -> None:
    with pytest.raises(WorkerError):
        frames.parse_reply(told(view), ("pdq",))


def test_all_workers_together_can_name_so_many_views_of_a_plug_in_and_no_more() -> None:
    names = PluggedNames()
    for n in range(MAX_PLUGGED):
        assert possible("licensed", f"v{n}")
        names.admit([PerceptualHash("licensed", f"v{n}", b"1", 100)] * 2)
    names.admit([PerceptualHash("licensed", "v7", b"1", 100), PerceptualHash("other", "first", b"1", 100)])
    with pytest.raises(WorkerError, match="licensed"):
        names.admit([PerceptualHash("licensed", "one more", b"1", 100)])
