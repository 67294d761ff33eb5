"""Frames of a walker: however the stream is cut, the same frames or WorkerError; a frame means its bytes.

First byte: the size of the pieces in which the rest arrives.
"""

from __future__ import annotations

from fuzzing import Target, law

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


def check(data: bytes) -> None:
    stream = data[1:]
    whole, refused = _heard(stream, len(stream) or 1)
    law((whole, refused) == _heard(stream, data[0] + 1 if data else 1), "cutting the stream changes nothing")
    said = b"".join(map(encode, whole))
    law(stream.startswith(said), "frames mean exactly their bytes")


def _heard(data: bytes, piece: int) -> tuple[list[Frame], bool]:
    stream, frames = FrameStream(), []
    try:
        for at in range(0, len(data), piece):
            for frame in stream.feed(data[at : at + piece]):
                frames.append(frame)
    except WorkerError:
        return frames, True
    return frames, False


def seeds() -> dict[str, bytes]:
    stat = FileStat(b"a\xff", 1, 2, 3, -4, 2**62, 1, 8)
    seen = (PerceptualHash("pdq", "full", b"p" * 32, 90),)
    known = KnownFile(
        stat, FileState.LISTED, Digests(3, "image/png", {"md5": b"m" * 16}, seen, "undecodable")
    )
    frames: dict[str, list[Frame]] = {
        "directory": [DirectoryMet(b"d/e", (stat,), (known,), 1, 2, 3, (b"gone",), b"f" * 16, last=False)],
        "cached": [Cached((b"", b"a/b"), 5, 6, 7)],
        "skipped": [FilesSkipped(b"x", "mail_store", 9), DirectoryFailed(b"y", "permission")],
        "others": [OthersMet({"fifo": 1, "symlink": 2}), WalkEnded()],
        "broken": [WalkBroken("no room\n")],
    }
    return {name: b"\3" + b"".join(map(encode, said)) for name, said in frames.items()}


TARGET = Target(check, seeds, (b"\xff\xff\xff\xff", b"\1\0\0\0", b"pdq", b"md5", b"\0\0\0\4"))
