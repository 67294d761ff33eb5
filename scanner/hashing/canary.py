"""Canaries: pictures made here, whose hashes we know, mixed among the files of a worker.

A worker that was taken over can say of any file what it likes. It is asked now and then, at chance, about
a picture that no list has and whose digests and PDQ were computed here, from pixels and not by a decoder.
What it says of its files counts only once it has given a right answer after them.

A canary is a plain BMP or PPM of random smooth colours. To the worker it comes as any file does: a read-only
descriptor, in the same message, numbered alike. A worker that looks can still tell: the descriptor lies on
the kernel's own tmpfs, has no name, was changed just now, and few customers keep uncompressed pictures. So a
canary finds workers that are broken or lie about everything, and not one that knows what it is asked.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.hashing.content_box import NAMES, Samples, content_boxes_of_small, seen_in
from scanner.hashing.frames import Done, Exact, ReadStatus
from scanner.hashing.operators import Matrix
from scanner.hashing.pdq_numbers import Pdq, luma
from scanner.hashing.warps import warps_of
from scanner.system import memory

# Pixels of a side: as thumbnails have, and with a frame around it half as often as without; what the frame
# leaves is not too little for a content box. Up to 64, and strip by strip, all products are so small that
# OpenBLAS starts no threads for them, which on a busy machine would cost ten times the work itself.
_SMALLEST, _LARGEST, _STRIP, _FRAME = 48, 64, 8, 6
_SIZES = 3  # different ones: PDQ's operators for a new size cost more than all the rest
_EACH = 16  # canaries until the next size is added: few files need few
_KNOTS = 6  # random colours along each side, with all between them interpolated
_DAYS = 400  # how old a canary may claim to be
# Sums of 32 bit floats come out differently with another number of threads; no lie is that small.
_BITS_APART, _QUALITY_APART = 6, 2


@dataclass(frozen=True, slots=True)
class Canary:
    """A picture and what is true of it.

    Attributes:
        content: of the file.
        media_type: what its first bytes say.
        digests: exact kind to raw digest.
        pdq: view to (hash, quality).
    """

    content: bytes
    media_type: str
    digests: Mapping[str, bytes]
    pdq: Mapping[str, tuple[bytes, int]]

    def open(self) -> int:
        """A read-only descriptor of it, the caller's to close.

        Raises:
            OSError: there is no memory for it.
        """
        fd = memory.read_only_file(self.content)
        try:
            then = time.time_ns() - secrets.randbelow(_DAYS * 86_400 * 10**9)
            os.utime(fd, ns=(then, then))
        except BaseException:
            os.close(fd)
            raise
        return fd

    def right(self, read: Exact, done: Done | None, perceptual: tuple[str, ...]) -> bool:
        """Whether a worker's answer is true; of perceptual kinds other than PDQ we do not know it.

        Args:
            read: what it said of the reading.
            done: what it said of the picture; None if it announced nothing.
            perceptual: the kinds it had to compute.
        """
        exact = (read.status, read.changed, read.size, read.media_type, read.digests)
        if exact != (ReadStatus.HASHED, False, len(self.content), self.media_type, dict(self.digests)):
            return False
        if done is None or done.problem:
            return done is None and not perceptual
        told = {h.view: (h.value, h.quality) for h in done.hashes if h.kind == "pdq"}
        if "pdq" not in perceptual:
            return not told
        return told.keys() == self.pdq.keys() and all(_alike(told[v], self.pdq[v]) for v in told)


def _alike(told: tuple[bytes, int], known: tuple[bytes, int]) -> bool:
    apart = (int.from_bytes(told[0], "big") ^ int.from_bytes(known[0], "big")).bit_count()
    return apart <= _BITS_APART and abs(told[1] - known[1]) <= _QUALITY_APART


class CanaryMaker:
    """Makes canaries, no two alike."""

    def __init__(self, exact: Sequence[str], perceptual: Sequence[str], views: Sequence[str]) -> None:
        self._exact = exact
        self._pdq = Pdq(turned="turned" in views, warps=warps_of(views)) if "pdq" in perceptual else None
        self._box = "box" in views
        self._made = 0
        self._sizes = [_side() for _ in range(2 * _SIZES)]

    def make(self) -> Canary:
        which = secrets.randbelow(min(_SIZES, 1 + self._made // _EACH))
        self._made += 1
        width, height = self._sizes[2 * which : 2 * which + 2]
        pixels = _pixels(width, height)
        if secrets.randbelow(3) == 0:
            _frame(pixels)
        content, mime = _bmp(pixels) if secrets.randbelow(2) else _ppm(pixels)
        return Canary(
            content,
            mime,
            {kind: hashlib.new(kind, content, usedforsecurity=False).digest() for kind in self._exact},
            self._hashes(pixels),
        )

    def _hashes(self, pixels: NDArray[np.uint8]) -> dict[str, tuple[bytes, int]]:
        if self._pdq is None:
            return {}
        found = list(self._pdq.hashes(*_as_read(pixels)))
        boxes = content_boxes_of_small(_grey(pixels)) if self._box else ()
        for name, box in zip(NAMES, boxes, strict=False):
            inner = pixels[box.top : box.bottom, box.left : box.right]
            within = self._pdq.hashes(*_as_read(inner), box=True)
            found += [(f"{name}{v}", value, q) for v, value, q in within if seen_in(name, v)]
        return {view: (value, quality) for view, value, quality in found}


def _side() -> int:
    return _SMALLEST + secrets.randbelow(_LARGEST - _SMALLEST + 1)


def _as_read(pixels: NDArray[np.uint8]) -> tuple[tuple[int, int], Iterator[tuple[int, Matrix]]]:
    height, width, _ = pixels.shape
    return (width, height), ((top, luma(pixels[top : top + _STRIP])) for top in range(0, height, _STRIP))


def _grey(pixels: NDArray[np.uint8]) -> Samples:
    """As Pillow's conversion to "L" has it, to the last bit: what a worker looks for boxes in."""
    mixed = pixels.astype(np.uint32) @ np.array([19595, 38470, 7471], dtype=np.uint32)
    return np.asarray((mixed + 0x8000) >> 16, dtype=np.uint8)


def _frame(pixels: NDArray[np.uint8]) -> None:
    colour = np.frombuffer(os.urandom(3), np.uint8)
    for part in (pixels[:_FRAME], pixels[-_FRAME:], pixels[:, :_FRAME], pixels[:, -_FRAME:]):
        part[:] = colour


def _pixels(width: int, height: int) -> NDArray[np.uint8]:
    """(rows, columns, colour), smooth."""
    knots = np.frombuffer(os.urandom(_KNOTS * _KNOTS * 3), np.uint8).reshape(_KNOTS, _KNOTS, 3)
    across, down = _between(width), _between(height)
    smooth = np.einsum("yi,ijc,xj->yxc", down, knots.astype(np.float64), across, optimize=True)
    whole: NDArray[np.uint8] = np.clip(np.rint(smooth), 0, 255).astype(np.uint8)
    return whole


def _between(n: int) -> NDArray[np.float64]:
    """n x knots: the weights that interpolate linearly."""
    position = np.linspace(0, _KNOTS - 1, n)
    weights: NDArray[np.float64] = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(_KNOTS)[None, :]))
    return weights


def _bmp(pixels: NDArray[np.uint8]) -> tuple[bytes, str]:
    """24 bits a pixel: rows from the bottom, blue first, each filled up to four bytes."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, -(-width * 3 // 4) * 4), np.uint8)
    rows[:, : width * 3] = pixels[::-1, :, ::-1].reshape(height, width * 3)
    body = rows.tobytes()
    head = struct.pack("<2sIHHI", b"BM", 54 + len(body), 0, 0, 54)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(body), 2835, 2835, 0, 0)
    return head + info + body, "image/bmp"


def _ppm(pixels: NDArray[np.uint8]) -> tuple[bytes, str]:
    height, width, _ = pixels.shape
    return b"P6\n%d %d\n255\n" % (width, height) + pixels.tobytes(), "image/x-portable-anymap"
