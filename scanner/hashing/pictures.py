"""What a decoded picture says about the file it came from.

A JPEG can be decoded at 1/2, 1/4 or 1/8 in a fraction of the time. A hash whose geometry depends on the
full size then needs to know it: the decoder writes it into the picture's `info`.
"""

from __future__ import annotations

from PIL import Image

_ORIGINAL_SIZE = "hostsweep:original-size"
SCALES = (1, 2, 4, 8)  # what the JPEG decoder offers


def mark_original_size(picture: Image.Image, size: tuple[int, int]) -> None:
    """Note the full (width, height). Always called: a file's own text could carry the same key."""
    picture.info[_ORIGINAL_SIZE] = size


def original_size(picture: Image.Image) -> tuple[int, int]:
    """(width, height) of the picture in the file, in pixels, whatever it was decoded to."""
    size = picture.info.get(_ORIGINAL_SIZE)
    return size if isinstance(size, tuple) else picture.size


def scale_of(picture: Image.Image) -> int:
    """By how much the decoder reduced the picture: 1, 2, 4 or 8.

    Raises:
        ValueError: the sizes don't belong together.
    """
    full = original_size(picture)
    for scale in SCALES:
        if all(-(-n // scale) == m for n, m in zip(full, picture.size, strict=True)):
            return scale
    raise ValueError(f"a picture of {full} can't have been decoded to {picture.size}")
