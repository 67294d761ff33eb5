"""Names of the views that a picture is hashed in, and what such a name says.

A name is ``[part.]family[.turn]``: of which picture in the file (``frame3``, ``embedded1``, ``preview1``;
nothing for the file's own), which part of it is looked at and how (``full``, ``boxgrid512``), and how it was
turned (``turn90``, ``mirror270``; nothing for upright).
"""

from __future__ import annotations

import re
from functools import lru_cache

WHOLE, BOX, TILT, WIDE, CROP, OTHER = "whole", "box", "tilt", "wide", "crop", "other"
TURNED = "turned"

# The nearest to the picture as it is first. "other" is what hashers of plug-ins call their own.
FAMILIES = (WHOLE, BOX, TILT, WIDE, CROP, OTHER)
PARTS = ("frame", "embedded", "preview")
WORDS = (*FAMILIES, TURNED, *PARTS)
"""What can be said of a view: one family, perhaps that it is turned, perhaps of which part of the file."""

_WHOLE_FAMILIES = frozenset({"full", "grid512", "native", "as512", "asbig", "mid", "whole", "given"})
_CUT = re.compile("(box|tilt|wide|crop)[a-z0-9_-]*")
_TURN = re.compile("turn(90|180|270)|mirror(90|180|270)?")
_PART = re.compile("(frame|embedded|preview)[0-9]+")


@lru_cache(maxsize=4096)
def words(view: str) -> frozenset[str]:
    """What a view's name says, of `WORDS`: of "frame3.boxfull.turn90" it is box, turned and frame.

    Names that are not of this form are "other": who lets only some views act hasn't meant them.
    """
    steps = view.split(".")
    found = set()
    if len(steps) > 1 and (part := _PART.fullmatch(steps[0])):
        found.add(part[1])
        del steps[0]
    if len(steps) > 1 and _TURN.fullmatch(steps[-1]):
        found.add(TURNED)
        del steps[-1]
    cut = _CUT.fullmatch(steps[0])
    if len(steps) > 1:
        return frozenset({OTHER, *found})
    if cut:
        return frozenset({cut[1], *found})
    return frozenset({WHOLE if steps[0] in _WHOLE_FAMILIES else OTHER, *found})


@lru_cache(maxsize=4096)
def rank(view: str) -> tuple[bool, int, int]:
    """Orders views of equal distance, the plainest first: upright before turned, whole before box, the file's
    own picture before one of its parts."""
    said = words(view)
    family = next(n for n, name in enumerate(FAMILIES) if name in said)
    part = next((n for n, name in enumerate(PARTS, 1) if name in said), 0)
    return TURNED in said, family, part
