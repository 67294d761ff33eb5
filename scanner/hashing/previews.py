"""Pictures that a picture's own file holds for those who can't decode it: previews of RAW, TIFF and PSD.

RAW data is not developed: that takes a library for each camera. The largest JPEG inside is what the camera
itself, and every viewer, shows of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from scanner.hashing import ends, ifds, media
from scanner.hashing.embedded import Found, Search
from scanner.hashing.source import Source

_MOST = 2  # of a file, the largest ones
_LARGE = 480  # pixels of the longer side: below, a RAW file is searched for a larger one
_RESOURCES = 1000  # of a Photoshop file
_THUMBNAILS = (1033, 1036)  # Photoshop 4, and later
_JPEG_HEADER = 28  # bytes of a thumbnail resource before its JPEG
# Start of frame: baseline, extended, progressive; not lossless (0xC3), which holds a sensor's data.
_FRAMES = frozenset({0xC0, 0xC1, 0xC2})


@dataclass(frozen=True, slots=True)
class Previews:
    """What a file holds of itself.

    Attributes:
        found: the largest previews.
        raw: it is a RAW picture, which they stand for.
        given_up: of a RAW picture none was found that is large enough, and not all of the file was searched.
    """

    found: tuple[Found, ...]
    raw: bool
    given_up: bool = False


def of(mime: str, source: Source) -> Previews | None:
    """The previews of a file of a type that may have some; None for all others."""
    if mime == "image/vnd.adobe.photoshop":
        return Previews(_largest(source, _photoshop(source)), raw=False)
    if mime != "image/tiff" and mime not in media.RAW_TYPES:
        return None
    raw, places = mime in media.RAW_TYPES, set()
    for directory in ifds.directories(source):
        raw = raw or directory.is_raw
        places |= set(directory.previews)
    found = _largest(source, places)
    if not raw or _one_is_large(source, found):
        return Previews(found, raw)
    search = Search(source, 8)
    searched = {(f.start, f.end or source.size) for f in search if f.mime == "image/jpeg"}
    found = _largest(source, places | searched)
    return Previews(found, raw, given_up=not search.ended and not _one_is_large(source, found))


def resources_end(source: Source) -> int:
    """Where the resources of a Photoshop file end, and its layers begin."""
    colours = 26 + 4 + source.number(26, 4)
    return colours + 4 + source.number(colours, 4)


def _photoshop(source: Source) -> set[tuple[int, int]]:
    """(offset, end) of the thumbnails among a Photoshop file's resources."""
    at, end = 26 + 4 + source.number(26, 4) + 4, resources_end(source)
    found = set()
    for _ in range(_RESOURCES):
        head = source.read(at, 7)
        if at >= end or head[:4] != b"8BIM":
            break
        name = 1 + head[6]
        at += 6 + name + name % 2
        length = source.number(at, 4)
        if int.from_bytes(head[4:6], "big") in _THUMBNAILS and length > _JPEG_HEADER:
            found.add((at + 4 + _JPEG_HEADER, at + 4 + length))
        at += 4 + length + length % 2
    return found


def _largest(source: Source, places: set[tuple[int, int]]) -> tuple[Found, ...]:
    sized = [(_size(source, start), start, end) for start, end in places]
    good = sorted(((w * h, start, end) for (w, h), start, end in sized if w and h), reverse=True)
    return tuple(Found("image/jpeg", start, min(end, source.size)) for _, start, end in good[:_MOST])


def _one_is_large(source: Source, found: tuple[Found, ...]) -> bool:
    return any(max(_size(source, f.start)) >= _LARGE for f in found)


def _size(source: Source, start: int) -> tuple[int, int]:
    """(width, height) of a JPEG at an offset; zeros if there is none that can be decoded."""
    if source.read(start, 3) != b"\xff\xd8\xff":
        return 0, 0
    for marker, at in ends.jpeg_segments(source, start):
        if marker in _FRAMES:
            return source.number(at + 7, 2), source.number(at + 5, 2)
    return 0, 0
