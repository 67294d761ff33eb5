"""The small changes that a picture is also seen with: tilted, part of a larger one, or cropped.

Each undoes what somebody may have done to a picture. `scanner.hashing.warped` computes what is seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Warp:
    """One of these views: the picture turned clockwise about its centre, with a margin added.

    Attributes:
        name: the view's.
        degrees: turned by.
        margin: added at each side, as a share of it; less than nothing: cut off.
        cut: the margin is what was cut off, where a program turned the picture and kept the largest part of
            the same proportions that has no empty corners.
    """

    name: str
    degrees: float = 0.0
    margin: float = 0.0
    cut: bool = False

    def seen(self, width: int, height: int) -> float:
        """How much longer the sides are of what is looked at than those of the picture."""
        if not self.cut:
            return 1 + 2 * self.margin
        angle = math.radians(abs(self.degrees))
        return math.cos(angle) + math.sin(angle) * max(width / height, height / width)


# By a name of `hashing.views`. PDQ forgives most pictures half a degree and half a per cent: hence the steps.
WARPS: Mapping[str, tuple[Warp, ...]] = {
    "tilted": (
        Warp("tiltp1", degrees=1), Warp("tiltm1", degrees=-1), Warp("tiltp2", degrees=2),
        Warp("tiltm2", degrees=-2), Warp("tiltp3", degrees=3), Warp("tiltm3", degrees=-3),
    ),
    "straightened": (
        Warp("tiltp1cut", degrees=1, cut=True), Warp("tiltm1cut", degrees=-1, cut=True),
        Warp("tiltp2cut", degrees=2, cut=True), Warp("tiltm2cut", degrees=-2, cut=True),
        Warp("tiltp3cut", degrees=3, cut=True), Warp("tiltm3cut", degrees=-3, cut=True),
    ),
    "widened": (
        Warp("wide1", margin=0.01), Warp("wide2", margin=0.02), Warp("wide35", margin=0.035),
        Warp("wide5", margin=0.05),
    ),
    "cropped": (
        Warp("crop1", margin=-0.01), Warp("crop2", margin=-0.02), Warp("crop35", margin=-0.035),
        Warp("crop5", margin=-0.05),
    ),
}  # fmt: skip


def warps_of(views: Iterable[str]) -> tuple[Warp, ...]:
    """Those that some names of `hashing.views` ask for."""
    return tuple(warp for view in views for warp in WARPS.get(view, ()))
