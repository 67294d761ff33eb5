"""Views that hostsweep does not have: what an asked picture looks like slightly turned, enlarged or cut.

An experiment. A copy that was turned by 2 degrees or lost its edges could be brought back near what is
listed by the opposite change before it is hashed. What is beyond an edge isn't known: it is mirrored there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import imagehash
import numpy as np
from PIL import Image

from scanner.hashing.pdq_numbers import Pdq

_SIDE = 256  # pixels of the longer side in which they are made
_MARGIN = 0.1  # of each side, mirrored around the picture


def _even(share: float) -> tuple[float, float, float, float]:
    return share, share, share, share


# By name of the group: degrees, and shares by which left, top, right and bottom are moved outwards.
EXPERIMENTS: Mapping[str, Sequence[tuple[float, tuple[float, float, float, float]]]] = {
    "tilted": [(degrees, _even(0)) for degrees in (-3, -2, -1, 1, 2, 3)],
    "widened": [(0, _even(share)) for share in (0.01, 0.02, 0.035, 0.05)],
    "cropped": [(0, _even(-share)) for share in (0.01, 0.02, 0.035, 0.05)],
    "one side widened": [
        (0, tuple(share if side == i else 0.0 for i in range(4)))  # type: ignore[misc]
        for side in range(4)
        for share in (0.04, 0.08)
    ],
}


class Experiment:
    """Hashes of the experimental views, of "pdq" or "phash256"."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._pdq = Pdq()

    def views(self, picture: Image.Image) -> Mapping[str, Sequence[bytes]]:
        """Values by group. PDQ has two of each view: lists come in two families."""
        small = picture.convert("L")
        small.thumbnail((_SIDE, _SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
        around = [(round(n * _MARGIN),) * 2 for n in (small.height, small.width)]
        padded = Image.fromarray(np.pad(np.asarray(small), around, mode="symmetric"))
        return {
            group: [v for change in changes for v in self._values(_seen(padded, small.size, *change))]
            for group, changes in EXPERIMENTS.items()
        }

    def _values(self, seen: Image.Image) -> Iterator[bytes]:
        if self._kind == "phash256":
            yield np.packbits(imagehash.phash(seen, hash_size=16).hash.ravel()).tobytes()
            return
        # Seen small, so as the reduced copy of a picture in a list of either family.
        for view, value, _ in self._pdq.hashes(seen.size, [(0, np.asarray(seen, dtype=np.float32))]):
            if view in ("as512", "asbig"):
                yield value


def _seen(
    padded: Image.Image, size: tuple[int, int], degrees: float, outwards: tuple[float, float, float, float]
) -> Image.Image:
    """The picture inside its margin, turned about its centre, with each side moved outwards."""
    width, height = size
    left, top, right, bottom = outwards
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    across, down = 1 + left + right, 1 + top + bottom
    # Where the centre of what is seen lies in the padded picture, and from there by the matrix of the turn.
    x = padded.width / 2 + (right - left) / 2 * width
    y = padded.height / 2 + (bottom - top) / 2 * height
    a, b, d, e = c * across, -s * down, s * across, c * down
    matrix = (a, b, x - a * width / 2 - b * height / 2, d, e, y - d * width / 2 - e * height / 2)
    return padded.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
