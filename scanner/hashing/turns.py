"""The eight ways in which a picture may lie: turned by quarters, and mirrored.

A view is named after what was done to the picture before it was looked at: `turn90` is the picture turned
clockwise by 90 degrees, `mirror` with left and right exchanged, `mirror90` mirrored first and then turned.
A picture that was turned or mirrored is found by the view that undoes it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Turn:
    """One of them: flip rows, flip columns, then exchange rows and columns, each where it says so.

    Attributes:
        name: as in a view's name, after a dot; "" for upright.
    """

    name: str
    flip_rows: bool
    flip_columns: bool
    transpose: bool


UPRIGHT = Turn("", flip_rows=False, flip_columns=False, transpose=False)
TURNED = (
    Turn("turn90", flip_rows=True, flip_columns=False, transpose=True),
    Turn("turn180", flip_rows=True, flip_columns=True, transpose=False),
    Turn("turn270", flip_rows=False, flip_columns=True, transpose=True),
    Turn("mirror", flip_rows=False, flip_columns=True, transpose=False),
    Turn("mirror90", flip_rows=True, flip_columns=True, transpose=True),
    Turn("mirror180", flip_rows=True, flip_columns=False, transpose=False),
    Turn("mirror270", flip_rows=False, flip_columns=False, transpose=True),
)
