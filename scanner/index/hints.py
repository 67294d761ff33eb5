"""How listed digests begin, for whoever has the key: which of many files' digests may be listed at all.

A keyed digest takes 0.75 us, so ten million files known with three digests would take 20 s for each new entry
that they meet. With each value of an exact kind a keyed snapshot has the first three bytes of the digest
itself, its hint. Those of a thousand new entries leave out all but a few of ten million digests before
anything is computed.

Hints are enciphered: without the key they are as good as random. They are XORed with SHAKE-256(key of the
hints || nonce || number of the block), where blocks have 65,536 hints. The nonce is HMAC-SHA-256 of all
hints, so two columns that differ never meet the same stream, equal columns are equal bytes, and whoever reads
a column knows that it is whole (the idea is that of RFC 5297, a synthetic initialization vector).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from scanner.index.bitmaps import bitmap
from scanner.index.keyed import ListKey
from scanner.index.layout import BUCKETS, DamagedLayout

SECTION = "hints"
HINT_SIZE = 3  # bytes: of sixteen million beginnings a thousand entries have few
NONCE_SIZE = 16  # bytes
BLOCK = 1 << 16  # hints that go with one stretch of the stream

# Three bytes as a number, the first of them the highest.
Hints = npt.NDArray[np.uint32]
Raw = npt.NDArray[np.uint8]  # (N, bytes of a digest, or three of them)


def hints_of(values: Raw) -> Hints:
    """The hints of (N, bytes) digests."""
    hints = values[:, 0].astype("<u4")
    for place in (1, 2):
        hints <<= np.uint32(8)
        hints |= values[:, place]
    return hints


def length_of(count: int) -> int:
    """Bytes of the section of so many hints."""
    return NONCE_SIZE + HINT_SIZE * count


def sealed(key: ListKey, kind: str, hints: Callable[[], Iterable[Hints]]) -> Iterator[bytes]:
    """The section, in pieces.

    Args:
        hints: gives all of them in order, twice.
    """
    seal = _Seal(key, kind)
    for data in _blocks(hints()):
        seal.update(data)
    nonce = seal.nonce()
    yield nonce
    for number, data in enumerate(_blocks(hints())):
        yield seal.crypted(nonce, number, data)


def opened(key: ListKey, kind: str, nonce: bytes, column: Iterable[Raw]) -> Iterator[Hints]:
    """The hints of a section, in blocks.

    Args:
        column: the bytes behind the nonce, in arrays of `HINT_SIZE` x `BLOCK`.

    Raises:
        DamagedLayout: after the last block: they are not what was written, or not under this key.
    """
    seal = _Seal(key, kind)
    for number, data in enumerate(column):
        plain = seal.crypted(nonce, number, data.tobytes())
        seal.update(plain)
        yield hints_of(np.frombuffer(plain, dtype=np.uint8).reshape(-1, HINT_SIZE))
    if seal.nonce() != nonce:
        raise DamagedLayout(f"its section {kind} {SECTION} is damaged")


def in_steps(hints: Iterable[Hints], rows: int) -> Iterator[Hints]:
    """The same in arrays of `rows`, but for the last."""
    rest = np.empty(0, dtype="<u4")
    for some in hints:
        rest = np.concatenate((rest, some)) if len(rest) else some
        while len(rest) >= rows:
            yield rest[:rows]
            rest = rest[rows:]
    if len(rest):
        yield rest


class Likely:
    """Tells which digests begin as one of some entries does.

    Args:
        hints: of the entries.
    """

    def __init__(self, hints: Hints) -> None:
        self._hints = bitmap(1 << 8 * HINT_SIZE, hints)
        self._first_two = np.zeros(BUCKETS, dtype=np.bool_)
        self._first_two[hints >> np.uint32(8)] = True

    def among(self, values: Raw) -> npt.NDArray[np.bool_]:
        """Which of (N, bytes) digests do; each that an entry has is among them."""
        begin = values[:, 0].astype(np.uint16) << np.uint16(8) | values[:, 1]
        # The small table stays in the processor's cache, and nearly all end there.
        found = self._first_two.take(begin)
        some = np.flatnonzero(found)
        hints = hints_of(values.take(some, axis=0))
        found[some] = self._hints.take(hints >> np.uint32(3)) >> (hints & np.uint32(7)).astype(np.uint8) & 1
        return found


class _Seal:
    def __init__(self, key: ListKey, kind: str) -> None:
        self._key = key
        self._kind = kind
        self._stream = hashlib.shake_256(key.hints(b"stream\0" + kind.encode()))
        self._sum = hashlib.sha256()

    def update(self, data: bytes) -> None:
        self._sum.update(data)

    def nonce(self) -> bytes:
        return self._key.hints(b"nonce\0" + self._kind.encode() + b"\0" + self._sum.digest())[:NONCE_SIZE]

    def crypted(self, nonce: bytes, number: int, data: bytes) -> bytes:
        stream = self._stream.copy()
        stream.update(nonce + number.to_bytes(8, "little"))
        mask = np.frombuffer(stream.digest(len(data)), dtype=np.uint8)
        return (np.frombuffer(data, dtype=np.uint8) ^ mask).tobytes()


def _blocks(hints: Iterable[Hints]) -> Iterator[bytes]:
    """Hints as bytes, in blocks."""
    size = BLOCK * HINT_SIZE
    rest = b""
    for some in hints:
        four: npt.NDArray[Any] = some.astype(">u4").view(np.uint8).reshape(-1, 4)
        rest += four[:, 1:].tobytes()
        whole = len(rest) - len(rest) % size
        for at in range(0, whole, size):
            yield rest[at : at + size]
        rest = rest[whole:]
    if rest:
        yield rest
