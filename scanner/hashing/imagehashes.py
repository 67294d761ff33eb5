"""pHash of 64 and 256 bits and dHash, by the ImageHash library, whose values the open lists use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import imagehash
import numpy as np
from PIL import Image

_VIEW = "whole"


class ImageHasher:
    """One function of ImageHash as a `Hasher`. Its hashes know no quality: they get the picture's by PDQ's
    measure, since flat pictures and blank pages are near each other by all of them (docs/false-positives.md).

    Args:
        kind: the kind's name.
        function: from a PIL image to an `imagehash.ImageHash`.
    """

    accepts_reduced = True  # all shrink the picture to at most 64 pixels first

    def __init__(self, kind: str, function: Callable[[Image.Image], Any]) -> None:
        self._kind = kind
        self._function = function

    @property
    def kind(self) -> str:
        return self._kind

    def hashes(self, picture: object) -> Sequence[tuple[str, bytes, int]]:
        """One (view, value with the most significant bit first, quality).

        Raises:
            TypeError: not a PIL image.
        """
        if not isinstance(picture, Image.Image):
            raise TypeError("a PIL image is needed")
        bits = self._function(picture).hash
        return ((_VIEW, np.packbits(bits.ravel()).tobytes(), structure(picture)),)


def structure(picture: Image.Image) -> int:
    """How much a picture shows, 0-100: PDQ's quality, of a plain 64x64 reduction.

    The sum of the steps between neighbours in per cent of the range, each cut to a whole number, by 90
    (`pdqImageDomainQualityMetric` in the reference, pdq/cpp/hashing/pdqhashing.cpp).
    """
    plane = np.asarray(picture.convert("L").resize((64, 64), Image.Resampling.BOX), dtype=np.float32)
    steps = (np.trunc(np.abs(np.diff(plane, axis=axis)) * 100 / 255).sum() for axis in (0, 1))
    return min(100, int(sum(steps) / 90))


def hasher(kind: str) -> ImageHasher:
    """The hasher of a kind.

    phash: the 64 lowest frequencies of a 32x32 picture, above or below their median. phash256: the 256 lowest
    of a 64x64 one. dhash: whether each pixel of an 8x8 picture is brighter than its left neighbour.

    Raises:
        KeyError: none of ours.
    """
    functions: dict[str, Callable[[Image.Image], Any]] = {
        "phash": imagehash.phash,
        "phash256": partial(imagehash.phash, hash_size=16),
        "dhash": imagehash.dhash,
    }
    return ImageHasher(kind, functions[kind])
