"""PDQ values as lists have them: of pictures, not of chance.

Crops of the freely licensed photographs that come with scikit-image, at any place, size and form, upright and
in the seven other positions; a tenth of them copies of others with up to 20 bits changed, half of those in
clusters. Bits of real hashes are tied to each other, so that some slot values are crowded and search tables
do worse than with random numbers; fourteen photographs tie them more than a million different ones would.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

_PHOTOS = (
    "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "coffee.png", "coins.png",
    "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "motorcycle_left.png", "retina.jpg",
    "rocket.jpg",
)  # fmt: skip
_SIDE = 32  # of a summary: half of what PDQ takes, for its sixteen frequencies are all in it
_SMALLEST = 64  # pixels of a crop's side
_FLAT = 1500.0  # sum of the coefficients below which a crop shows too little for a list
_CROPS = 2000  # of one photograph at a time
_CLUSTERED = 0.1

Hashes = npt.NDArray[np.uint8]
Matrix = npt.NDArray[Any]


class Pictures:
    """Makes values.

    Args:
        seed: the same values come of the same seed.
    """

    def __init__(self, seed: int) -> None:
        import skimage

        folder = Path(skimage.__file__).parent / "data"
        self._rng = np.random.default_rng(seed)
        self._photos = [_summed(folder / name) for name in _PHOTOS]
        frequency, place = np.arange(1, 17)[:, None], 2 * np.arange(_SIDE) + 1
        self._cosine = np.cos(np.pi / (2 * _SIDE) * frequency * place).astype(np.float32) * np.sqrt(2 / _SIDE)

    def values(self, count: int) -> Hashes:
        """So many values, (count, 32), those that belong together not beside each other."""
        parts, total = [], 0
        while total < count:
            for part in _turned(self._coefficients()):
                parts.append(part)
                total += len(part)
        hashes = np.concatenate(parts)
        hashes = hashes[self._rng.permutation(len(hashes))[:count]]
        return self._clustered(hashes)

    def _coefficients(self) -> Matrix:
        rng = self._rng
        summed = self._photos[rng.integers(len(self._photos))]
        height, width = summed.shape[0] - 1, summed.shape[1] - 1
        tall = (_SMALLEST + (height - _SMALLEST) * rng.random(_CROPS)).astype(np.int64)
        wide = np.clip((tall * np.exp(rng.normal(0, 0.35, _CROPS))).astype(np.int64), _SMALLEST, width)
        top = (rng.random(_CROPS) * (height - tall + 1)).astype(np.int64)
        left = (rng.random(_CROPS) * (width - wide + 1)).astype(np.int64)
        steps = np.arange(_SIDE + 1)
        rows, columns = (a[:, None] + b[:, None] * steps // _SIDE for a, b in ((top, tall), (left, wide)))
        boxes = summed.ravel().take((rows * (width + 1))[:, :, None] + columns[:, None, :])
        boxes = np.diff(np.diff(boxes, axis=1), axis=2)
        boxes /= np.diff(rows, axis=1)[:, :, None] * np.diff(columns, axis=1)[:, None, :]
        found: Matrix = self._cosine @ boxes.astype(np.float32) @ self._cosine.T
        return found[np.abs(found).sum((1, 2)) > _FLAT]

    def _clustered(self, hashes: Hashes) -> Hashes:
        rng, count = self._rng, int(len(hashes) * _CLUSTERED)
        copies = rng.choice(len(hashes), count, replace=False)
        of = rng.integers(0, len(hashes), count)
        of[: count // 2] = copies[: count // 2][rng.integers(0, max(1, count // 40), count // 2)]
        for i in range(0, count, _CROPS):
            part = slice(i, i + _CROPS)
            chance = rng.random((len(copies[part]), 256))
            changed = chance < rng.integers(0, 21, (len(chance), 1)) / 256
            hashes[copies[part]] = hashes[of[part]] ^ np.packbits(changed, axis=1)
        return hashes


def _summed(path: Path) -> Matrix:
    """Sums of brightness above and left of each pixel."""
    with Image.open(path) as picture:
        grey = np.asarray(picture.convert("L"), dtype=np.float64)
    return np.pad(grey.cumsum(0).cumsum(1), ((1, 0), (1, 0)))


def _turned(coefficients: Matrix) -> Iterator[Hashes]:
    """The values of a picture in its eight positions."""
    signs = np.where(np.arange(1, 17) % 2, -1, 1).astype(np.float32)
    for turned in (coefficients, coefficients.transpose(0, 2, 1)):
        for down in (1, signs[:, None]):
            for across in (1, signs[None, :]):
                flat = (turned * down * across).reshape(len(turned), 256)
                median = np.partition(flat, 127, axis=1)[:, 127:128]
                yield np.packbits((flat > median)[:, ::-1], axis=1)
