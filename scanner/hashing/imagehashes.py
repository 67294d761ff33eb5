"""pHash and dHash of 64 bits, by the ImageHash library, whose values the open lists use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

    accepts_reduced = True  # both shrink the picture to some 32 pixels first

    def __init__(self, kind: str, function: Callable[[Image.Image], Any]) -> None:
        self._kind = kind
        self._function = function

    @property
    def kind(self) -> str:
        return self._kind

    def hashes(self, picture: object) -> Sequence[tuple[str, bytes, int]]:
        """One (view, 8 bytes most significant bit first, 100).

        Raises:
            TypeError: not a PIL image.
        """
        if not isinstance(picture, Image.Image):
            raise TypeError("a PIL image is needed")
        bits = self._function(picture).hash
        return ((_VIEW, np.packbits(bits.ravel()).tobytes(), 100),)


def phash() -> ImageHasher:
    """The 64 lowest frequencies of a 32x32 picture, above or below their median."""
    return ImageHasher("phash", imagehash.phash)


def dhash() -> ImageHasher:
    """Whether each pixel of an 8x8 picture is brighter than its left neighbour."""
    return ImageHasher("dhash", imagehash.dhash)
