"""How hashes of 256 bits are cut into slots, and which slot values are looked up for a search.

Multi-index hashing (Norouzi, Punjani, Fleet: "Fast Search in Hamming Space with Multi-Index Hashing", CVPR
2012) finds all hashes within a distance by looking up what is near in some slot. With slots 1..m and radii r
of which the sums of r + 1 are more than the distance, two hashes within it differ by at most r bits in some
slot: if they differed by r + 1 in each, they would be too far apart. The radii may be chosen anew for every
question (general pigeonhole principle: Qin and others, "GPH: Similarity Search in Hamming Space", ICDE 2018),
so slot values that are crowded need not be looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt

from scanner.index.layout import DamagedLayout

BITS = 256  # of a hash
# Bits that a picture's form ties to each other stand near each other in a PDQ, so slots are made of bits that
# don't: every 93rd. On crops of photographs a third fewer rows are looked at than with neighbouring bits.
_STEP = 93
_WIDEST = 24  # bits: what a number of 32 bits with a fraction holds exactly
LARGEST_RADIUS = 2
_MOST_CHECK_BITS = 8
_KEYS_CHUNK = 1024  # hashes at a time: 1 MB of bits as numbers of 32 bits

Keys = npt.NDArray[np.uint32]  # (slots, N): the slot values of hashes
Flips = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Shape:
    """A way to cut hashes of 256 bits into slots.

    A slot's value has `widths` bits. Its upper `bucket_bits` are looked up, the others are kept beside each
    row's number and checked before the row itself is read.

    Attributes:
        widths: bits of each slot, at most 24 each; their sum is 256.
        bucket_bits: at most the least of the widths.
        spread: slots are made of every 93rd bit; else of neighbouring bytes, the first of two the lower.
    """

    widths: tuple[int, ...]
    bucket_bits: int
    spread: bool
    _weights: npt.NDArray[np.float32] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_weights", _weights(self.widths, spread=self.spread))

    @property
    def buckets(self) -> int:
        """Of each slot."""
        return 1 << self.bucket_bits

    @property
    def check_bits(self) -> int:
        """Bits beside a row's number: those of the widest slot that don't name its bucket."""
        return max(self.widths) - self.bucket_bits

    @property
    def radius(self) -> int:
        """Bits in which slot values that are looked up differ from the wanted one, at most: enough for 31."""
        return -(-32 // len(self.widths)) - 1

    def positions(self) -> bytes:
        """The bits of a hash in the order in which slots have them, each slot's highest first; bit 0 is the
        highest of the first byte."""
        slots = enumerate(self.widths)
        return b"".join(
            np.argsort(-self._weights[:, slot])[:width].astype(np.uint8).tobytes() for slot, width in slots
        )

    def keys(self, hashes: npt.NDArray[np.uint8]) -> Keys:
        """The slot values of (N, 32) hashes: (slots, N)."""
        keys = np.empty((len(self.widths), len(hashes)), dtype=np.uint32)
        for i in range(0, len(hashes), _KEYS_CHUNK):
            # Sums of distinct powers of two below 2**24 are exact in 32 bits, whatever their order, and a
            # product of matrices is many times as fast as picking bits one by one.
            bits = np.unpackbits(hashes[i : i + _KEYS_CHUNK], axis=1).astype(np.float32)
            keys[:, i : i + _KEYS_CHUNK] = (bits @ self._weights).T
        return keys


def _weights(widths: tuple[int, ...], *, spread: bool) -> npt.NDArray[np.float32]:
    weights = np.zeros((BITS, len(widths)), dtype=np.float32)
    at = 0
    for slot, width in enumerate(widths):
        for i in range(width):
            if spread:
                weights[(at + i) * _STEP % BITS, slot] = 2.0 ** (width - 1 - i)
            else:  # bits of a byte come highest first, bytes lowest first
                weights[at + i, slot] = 2.0 ** (8 * (i // 8) + 7 - i % 8)
        at += width
    return weights


SMALL = Shape((16,) * 16, 16, spread=False)
"""17 values in each of 16 slots; 64 bytes a row and 4 MB."""

WIDE = (24,) * 3 + (23,) * 8  # 301 or 277 values of radius 2 in each of 11 slots: one radius may be 1
# 1.9 to 3.8 rows a bucket: with fewer the tables of buckets grow, with more rows are checked in vain.
_MOST_BITS, _ROWS_A_BUCKET = 23, 1.9
_LARGE_FROM = 1_000_000  # rows: from here on it is the faster one


def layout_of(count: int) -> Shape:
    """The shape for so many rows.

    The larger one takes 44 bytes a row and 44 for each bucket of a slot, of which there are a
    quarter to a half as many as rows.
    """
    if count < _LARGE_FROM:
        return SMALL
    bits = int(count / _ROWS_A_BUCKET).bit_length() - 1
    return Shape(WIDE, min(bits, _MOST_BITS), spread=True)


def pack_shape(shape: Shape) -> bytes:
    """A shape as it stands in a file: the bits of a bucket, then those of each slot, a byte each."""
    return bytes([shape.bucket_bits, *shape.widths])


def parse_shape(data: bytes) -> Shape:
    """A shape out of a file.

    Raises:
        DamagedLayout: it can't be one.
    """
    bucket_bits, widths = data[0] if data else 0, tuple(data[1:])
    if sum(widths) != BITS or not 1 <= bucket_bits <= min(widths) or max(widths) > _WIDEST:
        raise DamagedLayout("a slot table has an impossible shape")
    shape = Shape(widths, bucket_bits, spread=True)
    if shape.radius > LARGEST_RADIUS or shape.check_bits > _MOST_CHECK_BITS:
        raise DamagedLayout("a slot table has an impossible shape")
    return shape


@dataclass(frozen=True, slots=True)
class Probes:
    """The buckets that are looked at for a value, slot by slot, and in each by the bits that differ.

    Attributes:
        flips: what to XOR a bucket with.
        slot, left: of each flip its slot, and how many of the check bits may differ then.
        shells: where each slot's flips of 0, 1, … bits begin.
        shell: of each flip, which of these it belongs to.
    """

    flips: Flips
    slot: npt.NDArray[np.intp]
    left: npt.NDArray[np.intp]
    shells: npt.NDArray[np.intp]
    shell: npt.NDArray[np.intp]


def probes(shape: Shape) -> Probes:
    """All buckets that a shape's radius asks for."""
    flips, bits = [], []
    for count in range(shape.radius + 1):
        for chosen in combinations(range(shape.bucket_bits), count):
            flips.append(sum(1 << bit for bit in chosen))
            bits.append(count)
    slots = len(shape.widths)
    slot = np.repeat(np.arange(slots), len(flips))
    differ = np.tile(np.array(bits), slots)
    shell = slot * (shape.radius + 1) + differ
    return Probes(
        np.tile(np.array(flips, dtype=np.uint32), slots),
        slot,
        shape.radius - differ,
        np.flatnonzero(np.diff(shell, prepend=-1)),
        shell,
    )
