"""pHash of 64 and 256 bits and dHash, as the ImageHash library defines them, whose values the open lists use.

Source: ImageHash 4.3.2, `phash` and `dhash`. What counts for equality is how the picture is shrunk: Pillow's
Lanczos filter on its grey levels. The rest is a small transform, computed here: the library would bring
SciPy into each worker, half a second and 60 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scanner.hashing.boxes import content_boxes_of, cut_out
from scanner.hashing.content_box import NAMES
from scanner.hashing.pdq_numbers import qualities_of
from scanner.hashing.turns import TURNED, UPRIGHT, Turn

_WHOLE = "whole"
_OVERSAMPLING = 4  # pixels of the shrunk picture for each bit of pHash, along a side
_REDUCING_GAP = 3.0  # of Pillow: shrink by whole numbers first, down to so many times what is wanted
# Sums that are nothing come out as some 1e-11 of either sign; the least that is something is far above.
_NOTHING = 1e-6

Grey = NDArray[np.uint8]


class ImageHasher:
    """One function of ImageHash as a `Hasher`. Its hashes know no quality: they get the picture's by PDQ's
    measure, since flat pictures and blank pages are near each other by all of them (docs/false-positives.md).

    Args:
        kind: the kind's name.
        shrunk: the size (width, height) that a picture is shrunk to.
        bits: from its grey levels to the hash's bits.
        turned: also the turned and mirrored views.
        box: also the views of the content boxes, where there are any; of the second and third upright only.
    """

    accepts_reduced = True  # all shrink the picture to at most 64 pixels first

    def __init__(
        self,
        kind: str,
        shrunk: tuple[int, int],
        bits: Callable[[Grey], NDArray[np.bool_]],
        *,
        turned: bool = False,
        box: bool = False,
    ) -> None:
        self._kind = kind
        self._shrunk = shrunk
        self._bits = bits
        self._turns = TURNED if turned else ()
        self._box = box

    @property
    def kind(self) -> str:
        return self._kind

    def hashes(self, picture: object) -> Sequence[tuple[str, bytes, int]]:
        """(view, value with the most significant bit first, quality) of each view.

        Raises:
            TypeError: not a PIL image.
        """
        if not isinstance(picture, Image.Image):
            raise TypeError("a PIL image is needed")
        found = list(self._views(_WHOLE, picture, self._turns))
        for name, box in zip(NAMES, content_boxes_of(picture) if self._box else (), strict=False):
            turns = self._turns if name == NAMES[0] else ()
            found += self._views(name, cut_out(picture, box)[0], turns)
        return found

    def _views(
        self, family: str, picture: Image.Image, turns: Sequence[Turn]
    ) -> Iterator[tuple[str, bytes, int]]:
        grey = picture.convert("L")
        quality = structure(grey)
        upright = np.asarray(grey.resize(self._shrunk, Image.Resampling.LANCZOS))
        width, height = self._shrunk
        sideways = upright
        if turns and width != height:  # the sides are exchanged, so it is to be as wide as it was high
            lying = grey.resize((height, width), Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)
            sideways = np.asarray(lying)
        for turn in (UPRIGHT, *turns):
            view = f"{family}.{turn.name}" if turn.name else family
            pixels = _turned(sideways if turn.transpose else upright, turn)
            yield view, np.packbits(self._bits(pixels).ravel()).tobytes(), quality


def structure(picture: Image.Image) -> int:
    """How much a picture shows, 0-100: PDQ's quality, of a plain 64x64 reduction."""
    plane = np.asarray(picture.convert("L").resize((64, 64), Image.Resampling.BOX), dtype=np.float32)
    return int(qualities_of(plane[None])[0])


def _turned(pixels: Grey, turn: Turn) -> Grey:
    pixels = pixels[:: -1 if turn.flip_rows else 1, :: -1 if turn.flip_columns else 1]
    return pixels.T if turn.transpose else pixels


class _Phash:
    """The lowest frequencies, side x side of them, of a square picture: above their median or not."""

    def __init__(self, side: int) -> None:
        count = side * _OVERSAMPLING
        position = 2 * np.arange(count)[None, :] + 1
        self._transform = 2 * np.cos(np.pi / (2 * count) * np.arange(side)[:, None] * position)

    def __call__(self, pixels: Grey) -> NDArray[np.bool_]:
        frequencies = self._transform @ pixels @ self._transform.T
        frequencies[np.abs(frequencies) < _NOTHING] = 0
        return np.asarray(frequencies > np.median(frequencies))


def _dhash(pixels: Grey) -> NDArray[np.bool_]:
    return pixels[:, 1:] > pixels[:, :-1]


def hasher(kind: str, *, turned: bool = False, box: bool = False) -> ImageHasher:
    """The hasher of a kind.

    phash: the 64 lowest frequencies of a 32x32 picture, above or below their median. phash256: the 256 lowest
    of a 64x64 one. dhash: whether each pixel of an 8x8 picture is brighter than its left neighbour.

    Raises:
        KeyError: none of ours.
    """
    kinds: dict[str, tuple[tuple[int, int], Callable[[Grey], NDArray[np.bool_]]]] = {
        "phash": ((32, 32), _Phash(8)),
        "phash256": ((64, 64), _Phash(16)),
        "dhash": ((9, 8), _dhash),
    }
    return ImageHasher(kind, *kinds[kind], turned=turned, box=box)
