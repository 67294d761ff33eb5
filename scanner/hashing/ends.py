"""Where a picture ends in a file that goes on after it.

Viewers stop at the end of the picture; what follows is nobody's business there, and ours: it may be another
picture. Each walk goes from one length to the next without decoding, a bounded number of steps, and gives
None where the end can't be told: then all of the file counts as following.

Layouts: JPEG ITU-T T.81 annex B; PNG 3rd edition, 5.3; GIF89a appendix A; RIFF and BMP by Microsoft; ISO/IEC
14496-12 4.2 for HEIC, AVIF, CR3, JPEG 2000 and JPEG XL in boxes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np

from scanner.hashing import ifds
from scanner.hashing.source import SEARCHED, Source

SEGMENTS = 2000  # of a JPEG before its first scan: profiles and previews come in pieces of 64 KiB
_SOI, _EOI, SOS = 0xD8, 0xD9, 0xDA
_CHUNK = 4 << 20  # bytes looked at together
_BOX_NAME = re.compile(rb"[\xa9A-Za-z0-9 _-]{4}")
_FIRST_BOXES = frozenset({b"ftyp", b"jP  ", b"JXL "})
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length: TEM, RST0-7


def end_of(mime: str, source: Source, start: int) -> int | None:
    """Where the picture of a type that begins at an offset ends: the offset after it, or None."""
    walk = _WALKS.get(mime)
    end = walk(source, start) if walk is not None else None
    return end if end is not None and start < end <= source.size else None


def is_known(mime: str) -> bool:
    """Whether the end of files of a type can be told."""
    return mime in _WALKS


def jpeg_segments(source: Source, start: int) -> Iterator[tuple[int, int]]:
    """(marker, offset) of a JPEG's segments, to its first scan; thumbnails lie within them."""
    at = start + 2
    for _ in range(SEGMENTS):
        if not source.step():
            return
        lead = source.read(at, 4)
        if len(lead) < 2 or lead[0] != 0xFF:
            return
        marker = lead[1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in _ALONE or marker == _SOI:
            at += 2
            continue
        yield marker, at
        length = int.from_bytes(lead[2:4], "big")
        if marker == SOS or length < 2:
            return
        at += 2 + length


def _jpeg(source: Source, start: int) -> int | None:
    scan = next((at for marker, at in jpeg_segments(source, start) if marker == SOS), None)
    if scan is None:
        return None
    return _scans_end(source, scan)


def _scans_end(source: Source, at: int) -> int | None:
    """Where a JPEG's scans end: after FF D9, or before the next picture's FF D8 FF where that is missing.

    In a scan's data FF is followed by 00 or a restart. A table between scans may hold these bytes; then the
    search for what follows begins too early, which costs time alone.
    """
    last = min(source.size, at + SEARCHED)
    while at < last - 1:
        chunk = np.frombuffer(source.read(at, min(_CHUNK, last - at)), np.uint8)
        if len(chunk) < 2:  # the file became shorter
            break
        leads = np.flatnonzero(chunk[:-1] == 0xFF)
        following = chunk[leads + 1]
        places: list[int] = leads[(following == _EOI) | (following == _SOI)].tolist()
        for place in places:
            if chunk[place + 1] == _EOI:
                return at + place + 2
            if source.read(at + place + 2, 1) == b"\xff":
                return at + place
        at += len(chunk) - 1
    return None


def _png(source: Source, start: int) -> int | None:
    at = start + 8
    while source.step():
        head = source.read(at, 8)
        if len(head) < 8:
            return None
        at += 12 + int.from_bytes(head[:4], "big")
        if head[4:] == b"IEND":
            return at
    return None


def _gif(source: Source, start: int) -> int | None:
    head = source.read(start, 13)
    if len(head) < 13:
        return None
    at, within = start + 13 + _colours(head[10]), False
    while source.step():
        block = source.read(at, 1)
        if not block:
            return None if within else at  # many lack the trailer
        if within:  # data in pieces of up to 255 bytes, an empty one at the end
            at += 1 + block[0]
            within = block[0] > 0
        elif block == b"\x3b":
            return at + 1
        elif block == b"\x21":
            at, within = at + 2, True
        elif block == b"\x2c":
            at, within = at + 11 + _colours(source.number(at + 9, 1)), True  # with the code size
        else:
            return at
    return None


def _colours(flags: int) -> int:
    """Bytes of the colour table that a GIF's flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _riff(source: Source, start: int) -> int | None:
    length = source.number(start + 4, 4, "little")
    return start + 8 + length + length % 2


def _bmp(source: Source, start: int) -> int | None:
    pixels, header = (source.number(start + at, 4, "little") for at in (10, 14))
    if header < 40:
        return start + source.number(start + 2, 4, "little")
    width, height, compression = (source.number(start + at, 4, "little") for at in (18, 22, 30))
    if compression not in (0, 3):
        return start + pixels + source.number(start + 34, 4, "little")
    rows = height if height < 1 << 31 else (1 << 32) - height  # negative: from the top
    return start + pixels + (width * source.number(start + 28, 2, "little") + 31) // 32 * 4 * rows


def _boxes(source: Source, start: int) -> int | None:
    at, typed = start, False
    while source.step():
        head = source.read(at, 16)
        length, name = int.from_bytes(head[:4], "big"), head[4:8]
        if len(head) < 8 or not _BOX_NAME.fullmatch(name) or (typed and name in _FIRST_BOXES):
            return at  # no box, or the first one of another picture
        typed = typed or name == b"ftyp"
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length == 0 or length > source.size - at:  # to the end, or beyond: the file was cut off
            return source.size
        if length < 8:
            return at
        at += length
    return None


def _tiff(source: Source, start: int) -> int | None:
    return max((start + d.data_end for d in ifds.directories(source, start)), default=None)


def _ico(source: Source, start: int) -> int | None:
    count = source.number(start + 4, 2, "little")
    end = start + 6 + 16 * count
    for i in range(min(count, 256)):
        entry = source.read(start + 6 + 16 * i, 16)
        length, at = int.from_bytes(entry[8:12], "little"), int.from_bytes(entry[12:16], "little")
        end = max(end, start + at + length)
    return end


_WALKS: dict[str, Callable[[Source, int], int | None]] = {
    "image/jpeg": _jpeg,
    "image/png": _png,
    "image/apng": _png,
    "image/gif": _gif,
    "image/webp": _riff,
    "image/bmp": _bmp,
    "image/tiff": _tiff,
    "image/x-icon": _ico,
    **dict.fromkeys(
        ("image/heic", "image/avif", "image/jpx", "image/jxl", "image/x-canon-cr3", "video/mp4",
         "video/quicktime", "video/3gpp", "video/x-m4v"),
        _boxes,
    ),
}  # fmt: skip
