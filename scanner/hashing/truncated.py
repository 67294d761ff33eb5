"""Pictures that end too early, decoded as far as they go.

What is missing is filled with the last rows that are there, drawn out: of what was tried (black, grey, the
mean colour, a reflection, nothing), this changes PDQ least where little is missing; docs/formats.md has the
figures. A copy that lacks a twentieth is mostly found, and one that lacks half is like nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFile

from scanner.hashing.pictures import forget_grid

_STRIP = 64  # rows looked at together
_JPEG_BLOCK = 16  # rows decoded together: the last of them may be decoded on their left alone
_EDGE = 8  # rows whose mean is drawn out
_LEAST = 4  # 1/4 of the rows have to be there: less is a stripe, and stripes are alike


def lenient(opened: Callable[[], Image.Image], *, blocks: bool) -> Image.Image | None:
    """A picture whose end is missing, filled up; None if too little of it is there.

    Args:
        opened: opens and decodes it, as one that is whole.
        blocks: it is a JPEG.

    Raises:
        Exception: whatever `opened` raises.
    """
    # Pillow has no other way to say it. The process decodes one picture at a time.
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        picture = opened()
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    there = decoded_rows(picture)
    if blocks and there < picture.height:
        there -= _JPEG_BLOCK
    if there * _LEAST < picture.height:
        return None
    return fill(picture, there) if there < picture.height else picture


def decoded_rows(picture: Image.Image) -> int:
    """Rows above a lower part of one colour, which is what decoders leave where there was nothing."""
    width, height = picture.size
    last = np.asarray(picture.crop((0, height - 1, width, height)))
    if (last != last[:, :1]).any():
        return height
    for bottom in range(height, 0, -_STRIP):
        top = max(0, bottom - _STRIP)
        strip = np.asarray(picture.crop((0, top, width, bottom)))
        other = (strip != last).reshape(bottom - top, -1).any(axis=1)
        if other.any():
            return top + int(np.flatnonzero(other)[-1]) + 1
    return 0


def fill(picture: Image.Image, rows: int) -> Image.Image:
    """A picture with the last of its rows drawn out over those that are missing."""
    filled = picture.convert("RGB") if picture.mode not in ("L", "RGB") else picture
    edge = filled.crop((0, max(0, rows - _EDGE), filled.width, rows))
    edge = edge.resize((filled.width, 1), Image.Resampling.BOX)
    filled.paste(edge.resize((filled.width, filled.height - rows)), (0, rows))
    filled.info = picture.info
    forget_grid(filled)
    return filled
