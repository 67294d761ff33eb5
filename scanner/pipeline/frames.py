"""What a walker process says to the pipeline: walk events as length-prefixed binary frames on a stream.

The walker is ours and parses nothing of the files, but it handles names that strangers chose, so the
frames are fixed structs with lengths, never pickle or text. Directories that need nothing are by far
the most, so they travel together in one `Cached` frame.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from scanner.model.errors import WorkerError
from scanner.model.files import (
    DirectoryFailed,
    DirectoryMet,
    FilesSkipped,
    FileStat,
    FileState,
    KnownFile,
    OthersMet,
    WalkEvent,
)
from scanner.model.hashes import Digests, PerceptualHash

T = TypeVar("T")

_HEAD = struct.Struct("<BI")  # type, length of what follows
_LENGTH = struct.Struct("<I")
_STAT = struct.Struct("<QQQqqQQ")
_COUNTS = struct.Struct("<QQQQQBB")
_CACHED = struct.Struct("<IQQQ")
# A part of a directory holds at most 8192 entries of at most 255 bytes of name and some hundred of digests.
_MAX_FRAME = 64 << 20  # bytes

_DIRECTORY, _CACHED_TYPE, _SKIPPED, _FAILED, _OTHERS, _END, _ERROR = range(1, 8)


@dataclass(frozen=True, slots=True)
class Cached:
    """Directories that are as the catalog has them, added up.

    Attributes:
        paths: the directories, so that vanished ones can be told from them.
        clean, not_media: files in them; bytes: size of the clean ones.
    """

    paths: tuple[bytes, ...]
    clean: int
    not_media: int
    bytes: int


@dataclass(frozen=True, slots=True)
class WalkEnded:
    """The walk came to its end: everything that can be met was met."""


@dataclass(frozen=True, slots=True)
class WalkBroken:
    """The walker can't go on (our own storage failed, or a bug); `text` says why."""

    text: str


Frame = WalkEvent | Cached | WalkEnded | WalkBroken


class _Writer:
    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def raw(self, data: bytes) -> None:
        self.parts.append(data)

    def sized(self, data: bytes) -> None:
        self.parts.append(_LENGTH.pack(len(data)))
        self.parts.append(data)

    def count(self, n: int) -> None:
        self.parts.append(_LENGTH.pack(n))

    def frame(self, kind: int) -> bytes:
        body = b"".join(self.parts)
        return _HEAD.pack(kind, len(body)) + body


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        values = layout.unpack_from(self._data, self._at)
        self._at += layout.size
        return values

    def count(self) -> int:
        return self.unpack(_LENGTH)[0]

    def raw(self, length: int) -> bytes:
        if self._at + length > len(self._data):
            raise struct.error("a field is longer than its frame")
        self._at += length
        return self._data[self._at - length : self._at]

    def sized(self) -> bytes:
        return self.raw(self.count())

    def text(self) -> str:
        return self.sized().decode("utf-8")

    def names(self, value: Callable[[], T]) -> dict[str, T]:
        """A mapping; a key that comes twice would say two things."""
        count = self.count()
        found = {self.text(): value() for _ in range(count)}
        if len(found) != count:
            raise ValueError("a key that comes twice")
        return found

    def flag(self, number: int) -> bool:
        if number > 1:
            raise ValueError("a flag that is neither 0 nor 1")
        return bool(number)

    def end(self) -> None:
        if self._at != len(self._data):
            raise ValueError("a frame that is longer than what it says")


def _put_stat(out: _Writer, stat: FileStat) -> None:
    out.sized(stat.name)
    out.raw(
        _STAT.pack(
            stat.device, stat.inode, stat.size, stat.mtime_ns, stat.ctime_ns, stat.links, max(stat.blocks, 0)
        )
    )


def _get_stat(data: _Reader) -> FileStat:
    name = data.sized()
    return FileStat(name, *data.unpack(_STAT))


def _put_stats(out: _Writer, stats: Sequence[FileStat]) -> None:
    """Many at once, numbers, lengths and names each together: most of what a first scan's walk says."""
    out.count(len(stats))
    out.parts += [
        _STAT.pack(s.device, s.inode, s.size, s.mtime_ns, s.ctime_ns, s.links, max(s.blocks, 0))
        for s in stats
    ]
    out.raw(bytes([len(stat.name) for stat in stats]))  # a file system's names have at most 255 bytes
    out.parts += [stat.name for stat in stats]


def _get_stats(data: _Reader) -> tuple[FileStat, ...]:
    count = data.count()
    numbers, lengths = _STAT.iter_unpack(data.raw(count * _STAT.size)), data.raw(count)
    names, end = data.raw(sum(lengths)), 0
    found = []
    for length, values in zip(lengths, numbers, strict=True):
        start, end = end, end + length
        found.append(FileStat(names[start:end], *values))
    return tuple(found)


def _put_known(out: _Writer, known: KnownFile) -> None:
    _put_stat(out, known.stat)
    out.count(known.state)
    digests = known.digests
    out.raw(struct.pack("<Q", digests.size))
    out.sized(digests.media_type.encode())
    out.sized(digests.problem.encode())
    out.count(len(digests.exact))
    for kind, value in digests.exact.items():
        out.sized(kind.encode())
        out.sized(value)
    out.count(len(digests.perceptual))
    for p in digests.perceptual:
        out.sized(p.kind.encode())
        out.sized(p.view.encode())
        out.sized(p.value)
        out.count(p.quality)


def _get_known(data: _Reader) -> KnownFile:
    stat = _get_stat(data)
    state = FileState(data.count())
    (size,) = data.unpack(struct.Struct("<Q"))
    media_type, problem = data.text(), data.text()
    exact = data.names(data.sized)
    perceptual = tuple(
        PerceptualHash(data.text(), data.text(), data.sized(), data.count()) for _ in range(data.count())
    )
    return KnownFile(stat, state, Digests(size, media_type, exact, perceptual, problem))


def _encode_directory(event: DirectoryMet) -> bytes:
    out = _Writer()
    out.sized(event.path)
    out.sized(event.fingerprint)
    numbers = (event.clean, event.not_media, event.unchanged_bytes, event.inode, event.moved_from)
    out.raw(_COUNTS.pack(*numbers, event.cached, event.last))
    _put_stats(out, event.changed)
    out.count(len(event.known))
    for known in event.known:
        _put_known(out, known)
    out.count(len(event.gone))
    for name in event.gone:
        out.sized(name)
    return out.frame(_DIRECTORY)


def _decode_directory(data: _Reader) -> DirectoryMet:
    path, fingerprint = data.sized(), data.sized()
    clean, not_media, size, inode, moved_from, cached, last = data.unpack(_COUNTS)
    return DirectoryMet(
        path=path,
        changed=_get_stats(data),
        known=tuple(_get_known(data) for _ in range(data.count())),
        gone=tuple(data.sized() for _ in range(data.count())),
        clean=clean,
        not_media=not_media,
        unchanged_bytes=size,
        fingerprint=fingerprint,
        cached=data.flag(cached),
        last=data.flag(last),
        inode=inode,
        moved_from=moved_from,
    )


def encode(event: Frame) -> bytes:
    """One event as one frame."""
    out = _Writer()
    match event:
        case DirectoryMet():
            return _encode_directory(event)
        case Cached():
            out.raw(_CACHED.pack(len(event.paths), event.clean, event.not_media, event.bytes))
            for path in event.paths:
                out.sized(path)
            return out.frame(_CACHED_TYPE)
        case FilesSkipped():
            out.sized(event.path)
            out.sized(event.reason.encode())
            out.raw(struct.pack("<Q", event.files))
            return out.frame(_SKIPPED)
        case DirectoryFailed():
            out.sized(event.path)
            out.sized(event.kind.encode())
            return out.frame(_FAILED)
        case OthersMet():
            out.count(len(event.counts))
            for kind, n in event.counts.items():
                out.sized(kind.encode())
                out.raw(struct.pack("<Q", n))
            return out.frame(_OTHERS)
        case WalkEnded():
            return out.frame(_END)
        case WalkBroken():
            out.sized(event.text.encode("utf-8", "backslashreplace"))
            return out.frame(_ERROR)


def _decode(kind: int, data: _Reader) -> Frame:
    u64 = struct.Struct("<Q")
    match kind:
        case 1:
            return _decode_directory(data)
        case 2:
            n, clean, not_media, size = data.unpack(_CACHED)
            return Cached(tuple(data.sized() for _ in range(n)), clean, not_media, size)
        case 3:
            return FilesSkipped(data.sized(), data.text(), data.unpack(u64)[0])
        case 4:
            return DirectoryFailed(data.sized(), data.text())
        case 5:
            return OthersMet(data.names(lambda: data.unpack(u64)[0]))
        case 6:
            return WalkEnded()
        case 7:
            return WalkBroken(data.text())
        case _:
            raise struct.error(f"unknown frame type {kind}")


class FrameStream:
    """Cuts a byte stream into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Add what was received; yields the frames that are whole by now.

        Raises:
            WorkerError: what came is no frame.
        """
        self._buffer += data
        start = 0
        try:
            while len(self._buffer) - start >= _HEAD.size:
                kind, length = _HEAD.unpack_from(self._buffer, start)
                if length > _MAX_FRAME:
                    raise struct.error(f"a frame of {length} bytes")
                end = start + _HEAD.size + length
                if len(self._buffer) < end:
                    break
                body = _Reader(bytes(self._buffer[start + _HEAD.size : end]))
                frame = _decode(kind, body)
                body.end()
                start = end
                yield frame
        except (struct.error, ValueError) as e:
            raise WorkerError(f"the walker sent something that is no walk event ({e})") from e
        finally:
            del self._buffer[:start]
