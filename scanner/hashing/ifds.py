"""The directories of TIFF files, and of camera RAW files made of them: where JPEG previews are.

TIFF 6.0 (Adobe, 1992), TIFF/EP and DNG 1.7 for what cameras add. Every offset is a stranger's: directories,
entries and values are counted, and none is visited twice.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scanner.hashing.source import Source

_DIRECTORIES = 64
_ENTRIES = 1024  # of a directory
_VALUES = 1 << 16  # of an entry: strips of a picture
# Olympus and Panasonic write other numbers where TIFF has 42.
_MAGIC = {b"II": (42, 0x4F52, 0x5352, 0x55), b"MM": (42, 0x4F52)}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_NUMBERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4"}

COMPRESSION, PHOTOMETRIC = 259, 262
_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES = 273, 279, 324, 325
_SUB, _EXIF = 330, 34665
_JPEG, _JPEG_BYTES = 513, 514
_PANASONIC_JPEG = 0x002E
_JPEG_TABLES = 347
_DNG = 50706
_RAW_COLOURS = frozenset({32803, 34892})  # a colour filter's mosaic, and its linear form
_JPEG_COMPRESSIONS = frozenset({6, 7})
_USED = frozenset(
    {COMPRESSION, PHOTOMETRIC, _STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES, _SUB, _EXIF, _JPEG, _JPEG_BYTES}
)


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory: the values of the tags used here, and where the values of all of them end."""

    values: dict[int, tuple[int, ...]]
    places: dict[int, tuple[int, int]]  # tag to (offset, bytes) of its values
    end: int

    def first(self, tag: int) -> int:
        return self.values.get(tag, (0,))[0]

    @property
    def previews(self) -> tuple[tuple[int, int], ...]:
        """(offset, end) of what may be a JPEG."""
        found = []
        if self.first(_JPEG):
            found.append((self.first(_JPEG), self.first(_JPEG_BYTES)))
        # Without tables of its own a strip is no JPEG, but a part of the page, which is decoded as such.
        whole = _JPEG_TABLES not in self.places and len(self.values.get(_STRIPS, ())) == 1
        if self.first(COMPRESSION) in _JPEG_COMPRESSIONS and whole:
            found.append((self.first(_STRIPS), self.first(_STRIP_BYTES)))
        if _PANASONIC_JPEG in self.places:
            found.append(self.places[_PANASONIC_JPEG])
        return tuple((at, at + length) for at, length in found if length > 0)

    @property
    def is_raw(self) -> bool:
        """Whether it describes a sensor's data, or says that the file is a digital negative."""
        return _DNG in self.places or self.first(PHOTOMETRIC) in _RAW_COLOURS

    @property
    def data_end(self) -> int:
        """Where everything that it points to ends."""
        ends = [self.end]
        for starts, lengths in ((_STRIPS, _STRIP_BYTES), (_TILES, _TILE_BYTES), (_JPEG, _JPEG_BYTES)):
            pairs = zip(self.values.get(starts, ()), self.values.get(lengths, ()), strict=False)
            ends += [at + length for at, length in pairs]
        return max(ends)


def directories(source: Source, start: int = 0) -> Iterator[Directory]:
    """All directories of a file, sub-directories too; none where there is no TIFF."""
    head = source.read(start, 8)
    order = head[:2]
    if order not in _MAGIC:
        return
    endian = "little" if order == b"II" else "big"
    if source.number(start + 2, 2, endian) not in _MAGIC[order]:
        return
    waiting = [source.number(start + 4, 4, endian)]
    seen: set[int] = set()
    while waiting and len(seen) < _DIRECTORIES:
        at = waiting.pop(0)
        if at in seen or not 8 <= at < source.size:
            continue
        seen.add(at)
        directory, following = _read(source, start, at, endian)
        yield directory
        waiting += [following, *directory.values.get(_SUB, ())[:_DIRECTORIES], directory.first(_EXIF)]


def _read(source: Source, start: int, at: int, order: str) -> tuple[Directory, int]:
    """The directory at an offset, and the offset of the next one; 0 for none."""
    count = min(source.number(start + at, 2, order), _ENTRIES)
    raw = source.read(start + at + 2, 12 * count)
    mark = "<" if order == "little" else ">"
    values: dict[int, tuple[int, ...]] = {}
    places: dict[int, tuple[int, int]] = {}
    end = at + 2 + 12 * count + 4
    for i in range(0, len(raw) - 11, 12):
        tag, kind, n, offset = struct.unpack_from(mark + "HHII", raw, i)
        length = n * _SIZES.get(kind, 0)
        place = at + 2 + i + 8 if length <= 4 else offset
        if not length or start + place + length > source.size:
            continue
        places[tag] = (place, length)
        end = max(end, place + length)
        if tag in _USED and kind in _NUMBERS:
            kept = min(n, _VALUES)
            content = source.read(start + place, kept * _SIZES[kind])
            values[tag] = tuple(np.frombuffer(content, mark + _NUMBERS[kind]).tolist())
    return Directory(values, places, end), source.number(start + at + 2 + 12 * count, 4, order)
