"""Files that show nothing, byte for byte: a list that has one of them would hit every second web site.

Only what can be made here from its format's rules is in the table: spacer pictures of one pixel as GIF, PNG
and BMP, in the forms that web servers, mailers and editors write. JPEG is left out: each encoder writes
another one. Sources: GIF89a specification (CompuServe, 1990), PNG (RFC 2083), the Windows BITMAPINFOHEADER.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from itertools import product

_BLACK, _WHITE, _RED = b"\0\0\0", b"\xff\xff\xff", b"\xff\0\0"
_PALETTES = (_BLACK + _WHITE, _WHITE + _BLACK, _BLACK * 2, _WHITE * 2, _RED + _WHITE, _WHITE + b"\xc0" * 3)
# Logical screen: a palette of two colours, with 1 or 8 bits of colour resolution.
_SCREENS = (b"\x80", b"\xf0")
# Graphic control: none; the first or the second colour is transparent; neither is.
_CONTROLS = (
    b"",
    b"\x21\xf9\x04\x01\0\0\0\0",
    b"\x21\xf9\x04\x01\0\0\x01\0",
    b"\x21\xf9\x04\x01\x0a\0\0\0",
    b"\x21\xf9\x04\x01\x0a\0\x01\0",
    b"\x21\xf9\x04\0\0\0\0\0",
)
# One pixel of the first or second colour: clear, colour, end as codes of three bits; and without the end,
# as many spacers have it.
_PIXELS = (b"\x02\x02\x44\x01\0", b"\x02\x02\x4c\x01\0", b"\x02\x01\x44\0", b"\x02\x01\x4c\0")
# Others that are handed round as data: URIs: no palette at all, four colours, a palette nobody would guess.
_OTHER_GIFS = (
    b"GIF89a\x01\0\x01\0\0\xff\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\0\x3b",
    b"GIF89a\x01\0\x01\0\0\0\0\x21\xf9\x04\x01\x0a\0\x01\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x4c\x01\0\x3b",
    b"GIF89a\x01\0\x01\0\x80\0\0\x05\x04\x04\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b",
    b"GIF89a\x01\0\x01\0\x91\0\0\0\0\0\xff\xff\xff\xff\xff\xff\0\0\0\x21\xf9\x04\x01\0\0\x02\0"
    b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x54\x01\0\x3b",
)
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
# Bit depth, colour type, and the pixels (scan line without its filter byte) that a spacer has.
_PNG_KINDS = (
    (1, 0, (b"\0", b"\x80")),
    (8, 0, (b"\0", b"\xff")),
    (8, 2, (_BLACK, _WHITE)),
    (8, 4, (b"\0\0", b"\xff\0", b"\0\xff", b"\xff\xff")),
    (8, 6, (_BLACK + b"\0", _WHITE + b"\0", _BLACK + b"\xff", _WHITE + b"\xff")),
)
_ZLIB_LEVELS = (0, 1, 6, 9)


def one_pixel_pictures() -> Iterator[bytes]:
    """The bytes of spacer pictures, some hundred of them; some twice."""
    yield from _OTHER_GIFS
    yield from _gifs()
    yield from _pngs()
    yield from _bmps()


def _gifs() -> Iterator[bytes]:
    ways = product((b"GIF87a", b"GIF89a"), _SCREENS, (b"\0", b"\x01"), _PALETTES, _CONTROLS, _PIXELS)
    for head, screen, background, palette, control, pixel in ways:
        if control and head == b"GIF87a":
            continue  # it has no graphic control
        size = b"\x01\0\x01\0"
        image = b"\x2c\0\0\0\0" + size + b"\0"
        end = b"\x3b"
        yield head + size + screen + background + b"\0" + palette + control + image + pixel + end


def _pngs() -> Iterator[bytes]:
    for depth, colours, pixels in _PNG_KINDS:
        for pixel, level in product(pixels, _ZLIB_LEVELS):
            header = struct.pack(">IIBBBBB", 1, 1, depth, colours, 0, 0, 0)
            data = zlib.compress(b"\0" + pixel, level)
            yield _PNG_HEAD + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _bmps() -> Iterator[bytes]:
    for pixel, per_metre in product((_BLACK, _WHITE), (0, 2835)):
        info = struct.pack("<IiiHHIIiiII", 40, 1, 1, 1, 24, 0, 4, per_metre, per_metre, 0, 0)
        row = pixel + b"\0"
        yield b"BM" + struct.pack("<IHHI", 14 + len(info) + len(row), 0, 0, 14 + len(info)) + info + row
