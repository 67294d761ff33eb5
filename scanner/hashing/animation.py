"""The frames of an animation that differ: what somebody who watches it has seen.

All frames are decoded, in order, since most build on the one before, within a bound of pixels and time.
Of each a grid of 32x32 points is compared; the most different ones are kept, a small number. A picture that
is shown in a single frame of a thousand is so far from all others that it is kept.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scanner.hashing.source import Source

KEPT = 7  # frames beside the first: eight scenes
_GRID = (32, 32)
# Mean difference of the grids, of 255, below which two frames are one scene. Measured on photographs of
# scikit-image: noise of 15 levels comes to 1.7, dithering to 16 colours to 3. A judgement: what differs by
# less is also found by PDQ at distances of 10 to 40 in the median, and up to 98.
_DIFFERENT = 6.0
_CHUNKS = 1000  # of a PNG before its pixels
_HELD_PIXELS = 48_000_000  # of the frames that wait for their hashes

_Points = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A frame: its number, 1 for the first, and its picture."""

    number: int
    picture: Image.Image
    points: _Points


@dataclass(slots=True)
class Effort:
    """How far an animation may be followed.

    Attributes:
        pixels: left to be decoded.
        seconds: of processor time.
        spent: it was not followed to its end.
        broken: a frame could not be decoded, nor those after it.
    """

    pixels: int
    seconds: float
    spent: bool = False
    broken: bool = False


def key_frames(picture: Image.Image, effort: Effort) -> Iterator[Frame]:
    """The most different frames after the first, in order; nothing for a still picture.

    Args:
        picture: opened, at its first frame.
        effort: taken from as frames are decoded.

    Raises:
        MemoryError: a frame does not fit.
        Exception: whatever a decoder raises for a broken first frame.
    """
    first = Frame(1, picture, _points(picture))
    chosen: list[Frame] = []
    area = picture.width * picture.height
    room = min(KEPT, max(1, _HELD_PIXELS // max(1, area)))
    end = time.process_time() + effort.seconds
    for number in range(2, 1 << 31):
        if effort.pixels < area or time.process_time() > end:
            effort.spent = True
            break
        try:
            picture.seek(number - 1)
            picture.load()
        except EOFError:
            break
        except MemoryError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            effort.spent = True
            break
        except Exception:  # noqa: BLE001 - decoders raise whatever a broken file makes them raise
            effort.broken = True
            break
        effort.pixels -= area
        points = _points(picture)
        distances = [_difference(points, other.points) for other in (first, *chosen)]
        if min(distances) < _DIFFERENT:
            continue
        frame = Frame(number, picture, points)
        if len(chosen) == room:
            chosen = _more_different(first, chosen, frame)
            if frame not in chosen:
                continue
        else:
            chosen.append(frame)
        chosen[-1] = Frame(number, picture.copy(), points)
    yield from chosen


def may_move(mime: str, source: Source) -> bool:
    """Whether a file may have a second frame, without opening it."""
    if mime == "image/webp":
        return source.read(12, 4) == b"VP8X" and bool(source.number(20, 1) & 2)
    if mime in ("image/png", "image/apng"):
        return _has_animation_chunk(source)
    if mime == "image/avif":
        return b"avis" in source.read(8, 64)
    return mime == "image/gif"


def _has_animation_chunk(source: Source) -> bool:
    at = 8
    for _ in range(_CHUNKS):
        head = source.read(at, 8)
        if len(head) < 8 or head[4:] in (b"IDAT", b"acTL"):
            return head[4:] == b"acTL"
        at += 12 + int.from_bytes(head[:4], "big")
    return True


def _points(picture: Image.Image) -> _Points:
    small = picture.resize(_GRID, Image.Resampling.NEAREST)
    if small.mode.startswith(("I", "F")):  # 16 bits in a PNG
        return np.repeat(np.asarray(small, dtype=np.float32)[..., None] / 257, 3, axis=2)
    return np.asarray(small.convert("RGBA").convert("RGB"), dtype=np.float32)


def _difference(one: _Points, other: _Points) -> float:
    return float(np.abs(one - other).mean())


def _more_different(first: Frame, chosen: list[Frame], new: Frame) -> list[Frame]:
    """Of the frames chosen and a new one, all but that which is most like another."""
    frames = [*chosen, new]

    def loneliness(frame: Frame) -> float:
        return min(_difference(frame.points, o.points) for o in (first, *frames) if o is not frame)

    # Of two that are alike, the later one goes.
    dropped = min(reversed(frames), key=loneliness)
    return [frame for frame in frames if frame is not dropped]
