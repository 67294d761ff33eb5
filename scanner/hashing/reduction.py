"""Making decoded pictures small and plain, in strips, so that hashing costs little beside decoding.

A perceptual hash averages some thousand pixels for each of its numbers. So a large picture is handed on as
the means of its blocks of k x k pixels, which C code makes in a pass, and the hashers' operators are told k.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from scanner.hashing.operators import GRID
from scanner.hashing.pictures import mark_grid

# Pixels of a strip: with its copies it stays in a processor's second cache, and memory doesn't grow with the
# picture.
_STRIP_PIXELS = 1 << 17
# Modes that a block's mean can be taken of as they are. Palettes and single bits can't be averaged, CMYK is
# no sum of light, and Pillow weighs colours by their opacity, which no hash of any list does.
_PLAIN = ("L", "RGB", "RGBX")
# Modes whose colours Pillow turns to grey faster than it separates them from what goes with them.
_GREYED = ("1", "LA", "La", "RGBA", "RGBa", "YCbCr")


def draft(picture: Image.Image) -> tuple[tuple[int, int], int] | None:
    """Have a large JPEG decoded at 1/2, 1/4 or 1/8, in grey, with sides of at least GRID; its size, and k.

    The scaled inverse transform of JPEG gives the means of blocks of k x k pixels.
    """
    # At full size the colours are kept: smaller pictures are hashed to the reference's last bit.
    if not isinstance(picture, JpegImagePlugin.JpegImageFile) or factor_of(picture.size) == 1:
        return None
    size = picture.size
    picture.draft("L", (GRID, GRID))
    return size, next(k for k in (8, 4, 2, 1) if -(-size[0] // k) == picture.width)


def factor_of(size: tuple[int, int]) -> int:
    """By how much a picture may be reduced: both sides stay at least GRID long."""
    return max(1, min(size) // GRID)


def reduced(picture: Image.Image) -> tuple[Image.Image, int]:
    """The means of a picture's blocks and the length of a block's side; the picture itself if that is 1.

    The means know where `grid` would have looked.
    """
    k = factor_of(picture.size)
    if k == 1:
        return picture, 1
    if picture.mode in _PLAIN:
        small = picture.reduce(k)
    else:
        small = _reduced_in_strips(picture, k)
    mark_grid(small, grid(picture))
    return small, k


def _reduced_in_strips(picture: Image.Image, k: int) -> Image.Image:
    width, height = picture.size
    mode = "L" if picture.mode in _GREYED else "RGB"
    small = Image.new(mode, (-(-width // k), -(-height // k)))
    for top, strip in _strips(picture, k):
        small.paste(strip.convert(mode).reduce(k), (0, top // k))
    return small


def grid(picture: Image.Image) -> Image.Image:
    """The pixels that the C++ reference looks at: column floor(j * width / 512), row floor(i * height / 512).

    Means can't tell what single pixels are where a picture has a pattern as fine as that: of dithered
    pictures the hash of the one is up to 60 bits from that of the other.
    """
    width, height = picture.size
    # Pillow looks at pixel floor(a * (j + 0.5) + c). A thousandth lies far above the error of such a sum and
    # below the distance to the next pixel, 1/512.
    a, e = width / GRID, height / GRID
    affine = (a, 0.0, 0.001 - a / 2, 0.0, e, 0.001 - e / 2)
    return picture.transform((GRID, GRID), Image.Transform.AFFINE, affine, Image.Resampling.NEAREST)


def eight_bits(picture: Image.Image) -> Image.Image:
    """A picture of a mode that Pillow converts by clipping instead of scaling, scaled; others as they are."""
    mode = picture.mode
    if mode == "LAB":
        return picture.getchannel(0)
    if not mode.startswith(("I", "F")):
        return picture
    low, white = 0.0, 65535.0  # what Pillow calls "I" is 16 bits deep in PNG and PGM
    if mode == "F":
        low, white = _range(picture)
    grey = Image.new("L", picture.size)
    for top, strip in _strips(picture):
        values = np.asarray(strip, dtype=np.float32)
        scaled = np.nan_to_num((values - low) * (255 / max(white - low, 1e-6)))
        grey.paste(Image.fromarray(np.clip(scaled, 0, 255).astype(np.uint8)), (0, top))
    return grey


def _range(picture: Image.Image) -> tuple[float, float]:
    """The least and the greatest number in a picture of floats; 0 and 1 if there is none."""
    numbers: list[NDArray[np.float32]] = []
    for _, strip in _strips(picture):
        values = np.asarray(strip, dtype=np.float32)
        finite = values[np.isfinite(values)]
        if finite.size:
            numbers += [finite.min(), finite.max()]
    return (float(min(numbers)), float(max(numbers))) if numbers else (0.0, 1.0)


def _strips(picture: Image.Image, step: int = 1) -> Iterator[tuple[int, Image.Image]]:
    """(first row, strip) of a picture; first rows are multiples of `step`."""
    width, height = picture.size
    rows = max(1, _STRIP_PIXELS // (width * step)) * step
    for top in range(0, height, rows):
        yield top, picture.crop((0, top, width, min(top + rows, height)))
