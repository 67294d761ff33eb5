"""The content boxes of a decoded picture, found once however many hashers ask."""

from __future__ import annotations

import numpy as np
from PIL import Image

from scanner.hashing.content_box import OUTERMOST, SAMPLES, Box, Samples, content_boxes, flat_ends
from scanner.hashing.pictures import original_size, scale_of

_FOUND = "hostsweep:content-boxes"
_PROBES, _ALIKE = 8, 5  # pixels of a line that are looked at first, and how many are alike if it is flat
_ROOM = 7  # levels between those: as much as `content_box` gives a flat line, and what rounding does


def content_boxes_of(picture: Image.Image) -> tuple[Box, ...]:
    """Where the picture proper may lie, in pixels as decoded, the likeliest first; none: it fills the whole.

    What was found stands in the picture's `info` from then on: as a tuple, which a file's own text can't be.
    """
    known = picture.info.get(_FOUND)
    if not isinstance(known, tuple):
        known = _found(picture)
        picture.info[_FOUND] = known
    return known


def cut_out(picture: Image.Image, box: Box) -> tuple[Image.Image, tuple[int, int]]:
    """The part of a picture, and the (width, height) of it in pixels of the file."""
    scale, (width, height) = scale_of(picture), original_size(picture)
    size = (
        min(box.right * scale, width) - box.left * scale,
        min(box.bottom * scale, height) - box.top * scale,
    )
    return picture.crop((box.left, box.top, box.right, box.bottom)), size


def _found(picture: Image.Image) -> tuple[Box, ...]:
    width, height = picture.size
    k = min(OUTERMOST, width, height)
    if not _perhaps_flat(picture, k):
        return ()
    rows = (picture.crop((0, y, width, y + k)) for y in (0, height - k))
    columns = (picture.crop((x, 0, x + k, height)) for x in (0, width - k))
    if not flat_ends(*map(_grey, rows), *(_grey(part).T for part in columns)):
        return ()
    # Nearest: pixels as they are, none mixed with its neighbours.
    some_of_each_row = picture.resize((min(width, SAMPLES), height), Image.Resampling.NEAREST)
    some_of_each_column = picture.resize((width, min(height, SAMPLES)), Image.Resampling.NEAREST)
    return content_boxes(_grey(some_of_each_row), _grey(some_of_each_column).T)


def _perhaps_flat(picture: Image.Image, k: int) -> bool:
    """Whether one of the k outermost lines of a side may be flat, by a few pixels of each.

    Of most photographs none is; what `flat_ends` does costs several times as much.
    """
    pixels = picture.load()
    if pixels is None or picture.mode not in ("L", "RGB"):
        return True
    width, height = picture.size
    across, down = ([side * i // (2 * _PROBES) for i in range(1, 2 * _PROBES, 2)] for side in (width, height))
    for i in range(k):
        for line in (
            [pixels[x, i] for x in across],
            [pixels[x, height - 1 - i] for x in across],
            [pixels[i, y] for y in down],
            [pixels[width - 1 - i, y] for y in down],
        ):
            values = sorted(map(_brightness, line))
            if any(b - a <= _ROOM for a, b in zip(values, values[_ALIKE - 1 :], strict=False)):
                return True
    return False


def _brightness(pixel: float | tuple[int, ...]) -> float:
    return (
        0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]  # ITU-R BT.601, as Pillow's "L"
        if isinstance(pixel, tuple)
        else pixel
    )


def _grey(picture: Image.Image) -> Samples:
    if picture.mode == "P":
        picture = picture.convert("RGB")
    return np.asarray(picture if picture.mode == "L" else picture.convert("L"))
