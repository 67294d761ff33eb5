"""The hasher of PDQ, for decoded pictures. `scanner.hashing.pdq_numbers` says what is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from scanner.hashing.boxes import content_boxes_of, cut_out
from scanner.hashing.content_box import NAMES, seen_in
from scanner.hashing.operators import GRID, Matrix, Stack, direct
from scanner.hashing.pdq_numbers import GRID_VIEW, Pdq, qualities_of
from scanner.hashing.pictures import grid_of, original_size, scale_of
from scanner.hashing.warps import Warp

_STRIP_PIXELS = 1 << 20  # luma is made in strips of some 4 MB: they fit the cache and bound the memory


def _strips(picture: Image.Image) -> Iterator[tuple[int, Matrix]]:
    """(first row, luma) of a picture, a strip at a time: 0..255, whatever its mode."""
    width, height = picture.size
    step = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, step):
        strip = picture if step >= height else picture.crop((0, top, width, min(top + step, height)))
        # To "F" Pillow mixes luma as the reference does (ITU-R BT.601), without rounding it.
        yield top, np.asarray(strip.convert("F"))


class PdqHasher:
    """Computes PDQ of pictures; keeps nothing of them.

    Args:
        turned: also the turned and mirrored views.
        box: where there are content boxes, also the views of what is in them, each named `box` and its family
            (`boxb`, `boxc` of the second and third, which are seen upright only).
        warps: also the picture tilted, widened and cropped in these ways.
    """

    kind = "pdq"
    accepts_reduced = True

    def __init__(self, *, turned: bool = False, box: bool = False, warps: Sequence[Warp] = ()) -> None:
        self._pdq = Pdq(turned=turned, warps=warps)
        self._box = box
        self._grid = Stack([direct(GRID)])

    def hashes(self, picture: object) -> Sequence[tuple[str, bytes, int]]:
        """(view, 32 bytes most significant bit first, quality) of each view; none for a side below 5 pixels.

        Raises:
            TypeError: not a PIL image.
        """
        if not isinstance(picture, Image.Image):
            raise TypeError("a PIL image is needed")
        scale = scale_of(picture)
        found = self._pdq.hashes(original_size(picture), _strips(picture), scale)
        if (grid := grid_of(picture)) is not None:
            exact = self._hash_of_grid(grid)
            found = [exact if one[0] == GRID_VIEW else one for one in found]
        if not self._box:
            return found
        found = list(found)
        for name, box in zip(NAMES, content_boxes_of(picture), strict=False):
            inner, size = cut_out(picture, box)
            within = self._pdq.hashes(size, _strips(inner), scale, box=True)
            found += [(f"{name}{v}", value, q) for v, value, q in within if seen_in(name, v)]
        return found

    def _hash_of_grid(self, grid: Image.Image) -> tuple[str, bytes, int]:
        """The hash of the very pixels that the C++ reference looks at, where the decoder has kept them."""
        summary = self._grid.across(self._grid.down(_strips(grid), GRID))
        return GRID_VIEW, self._pdq.bits(summary), int(qualities_of(summary[None])[0])
