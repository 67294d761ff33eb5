"""The hasher of PDQ, for decoded pictures. `scanner.hashing.pdq_numbers` says what is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from scanner.hashing.boxes import content_box_of, cut_out
from scanner.hashing.operators import Matrix
from scanner.hashing.pdq_numbers import BOX, Pdq, luma
from scanner.hashing.pictures import original_size, scale_of

_STRIP_PIXELS = 1 << 20  # luma is made in strips of some 4 MB: they fit the cache and bound the memory


def _strips(picture: Image.Image) -> Iterator[tuple[int, Matrix]]:
    """(first row, luma) of a picture, a strip at a time: 0..255, whatever its mode."""
    width, height = picture.size
    step = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, step):
        strip = picture.crop((0, top, width, min(top + step, height)))
        if strip.mode == "L":
            yield top, np.asarray(strip, dtype=np.float32)
            continue
        yield top, luma(np.asarray(strip if strip.mode == "RGB" else strip.convert("RGB")))


class PdqHasher:
    """Computes PDQ of pictures; keeps nothing of them.

    Args:
        turned: also the turned and mirrored views.
        box: where there is a content box, also the views of what is in it, each named `box` and its family.
    """

    kind = "pdq"
    accepts_reduced = True

    def __init__(self, *, turned: bool = False, box: bool = False) -> None:
        self._pdq = Pdq(turned=turned)
        self._box = box

    def hashes(self, picture: object) -> Sequence[tuple[str, bytes, int]]:
        """(view, 32 bytes most significant bit first, quality) of each view; none for a side below 5 pixels.

        Raises:
            TypeError: not a PIL image.
        """
        if not isinstance(picture, Image.Image):
            raise TypeError("a PIL image is needed")
        scale = scale_of(picture)
        found = self._pdq.hashes(original_size(picture), _strips(picture), scale)
        box = content_box_of(picture) if self._box else None
        if box is None:
            return found
        inner, size = cut_out(picture, box)
        within = self._pdq.hashes(size, _strips(inner), scale)
        return [*found, *((f"{BOX}{view}", value, quality) for view, value, quality in within)]
