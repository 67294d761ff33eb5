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
    """One function of ImageHash as a `Hasher`. Its hashes know no quality: it is given as 100.

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
        """One (view, value with the most significant bit first, 100).

        Raises:
            TypeError: not a PIL image.
        """
        if not isinstance(picture, Image.Image):
            raise TypeError("a PIL image is needed")
        bits = self._function(picture).hash
        return ((_VIEW, np.packbits(bits.ravel()).tobytes(), 100),)


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
