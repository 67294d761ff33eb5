"""Columns of whole numbers, each number in as many bytes as the widest of its column needs.

    byte 0          low half: width w of a number, high half: length b of the base, both in bytes
    1 .. b          the smallest number, signed, little endian: the base
    then n * w      what the numbers are above it, in planes: first the lowest byte of all, then the next …

So a column in which all are equal takes two or three bytes whatever its length, and times of one day take
six bytes each. Planes, because taking a column apart and together again is then w slices, which cost less
than anything done number by number, and any width may be had.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

_WORD = 8  # bytes of what struct packs
_WIDEST = 15  # what half a byte tells


def pack_integers(numbers: Sequence[int]) -> bytes:
    """A column of numbers, each within 14 bytes; what it takes is known from the bytes and from their count.

    Raises:
        IndexError: there are none.
        ValueError: they lie too far apart.
    """
    base = numbers[0]
    if numbers.count(base) == len(numbers):
        if not base:
            return b"\0"
        width = 0
    else:
        base = min(numbers)
        width = ((max(numbers) - base).bit_length() + 7) >> 3
    length = (base.bit_length() + 8) >> 3 if base else 0
    if width > _WIDEST or length > _WIDEST:
        raise ValueError("numbers too large for a column")
    head = bytes((width | length << 4,)) + base.to_bytes(length, "little", signed=True)
    if not width:
        return head
    above = [number - base for number in numbers] if base else numbers
    if width == 1:
        return head + bytes(above)
    if width <= _WORD:
        words = struct.pack(f"<{len(above)}Q", *above)
        return head + b"".join([words[plane::_WORD] for plane in range(width)])
    words = b"".join([number.to_bytes(width, "little") for number in above])
    return head + b"".join([words[plane::width] for plane in range(width)])


def unpack_integers(data: bytes, at: int, count: int) -> tuple[Sequence[int], int]:
    """The numbers of a column that begins at `at`, and where it ends.

    Raises:
        ValueError, IndexError: it is cut off.
    """
    width, length = data[at] & 15, data[at] >> 4
    start = at + 1 + length
    base = int.from_bytes(data[at + 1 : start], "little", signed=True)
    end = start + count * width
    if end > len(data):
        raise ValueError("a column is cut off")
    if not width:
        return (base,) * count, end
    above: Sequence[int]
    if width == 1:
        above = data[start:end]
    else:
        stride = _WORD if width <= _WORD else width
        words = bytearray(count * stride)
        for plane in range(width):
            words[plane::stride] = data[start + plane * count : start + (plane + 1) * count]
        if width <= _WORD:
            above = struct.unpack(f"<{count}Q", words)
        else:
            above = [int.from_bytes(words[i : i + stride], "little") for i in range(0, len(words), stride)]
    return [base + number for number in above] if base else above, end


def skip_integers(data: bytes, at: int, count: int) -> int:
    """Where a column ends that begins at `at`."""
    return at + 1 + (data[at] >> 4) + count * (data[at] & 15)
