"""What a decoded picture says about the file it came from.

A large picture is handed on reduced: a JPEG is decoded at 1/2, 1/4 or 1/8 in a fraction of the time, others
are reduced after decoding. A hash whose geometry depends on the full size then needs to know it: the decoder
writes it into the picture's `info`.
"""

from __future__ import annotations

from PIL import Image

_ORIGINAL_SIZE = "hostsweep:original-size"
_SCALE = "hostsweep:scale"
_GRID = "hostsweep:grid"


def mark_original_size(picture: Image.Image, size: tuple[int, int], scale: int = 1) -> None:
    """Note the full (width, height), and by how much the picture is reduced.

    Always called: a file's own text could carry the same keys.
    """
    picture.info[_ORIGINAL_SIZE] = size
    picture.info[_SCALE] = scale


def original_size(picture: Image.Image) -> tuple[int, int]:
    """(width, height) of the picture in the file, in pixels, whatever it was decoded to."""
    size = picture.info.get(_ORIGINAL_SIZE)
    return size if isinstance(size, tuple) else picture.size


def scale_of(picture: Image.Image) -> int:
    """By how much the picture was reduced: its pixels are means of blocks with sides so long.

    Raises:
        ValueError: the sizes don't belong together.
    """
    full, scale = original_size(picture), picture.info.get(_SCALE)
    scale = scale if isinstance(scale, int) else 1
    if tuple(-(-n // scale) for n in full) != picture.size:
        raise ValueError(f"a picture of {full} can't have been decoded to {picture.size} at 1/{scale}")
    return scale


def mark_grid(picture: Image.Image, grid: Image.Image) -> None:
    """Keep with a reduced picture the full one's pixels that the C++ reference of PDQ looks at."""
    picture.info[_GRID] = grid


def grid_of(picture: Image.Image) -> Image.Image | None:
    """Those pixels as a picture, where they were kept."""
    grid = picture.info.get(_GRID)
    return grid if isinstance(grid, Image.Image) else None


def forget_grid(picture: Image.Image) -> None:
    """To be said of a picture that was changed after it was reduced."""
    picture.info.pop(_GRID, None)
