"""The brake: a wrong list must not empty a provider's disks.

When the hits of one scan exceed what is plausible, nothing more is secured until a person has looked.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BrakeLimits:
    """What is plausible in one scan of one volume.

    Attributes:
        max_hits: more hits than this engage the brake.
        max_share: a larger share of hits among the files looked at engages it, 0.0-1.0 …
        share_after: … once there are this many hits; a share of few files says nothing.
    """

    max_hits: int
    max_share: float
    share_after: int


class Brake:
    """Counts the hits of one scan. Engages once, and stays engaged; not shared between threads.

    Args:
        limits: what is plausible.
        engaged: it was engaged before and nobody has released it.
    """

    def __init__(self, limits: BrakeLimits, *, engaged: bool = False) -> None:
        self._limits = limits
        self._engaged = engaged
        self._hits = 0

    @property
    def engaged(self) -> bool:
        return self._engaged

    @property
    def hits(self) -> int:
        return self._hits

    def hit(self, files_so_far: int) -> bool:
        """Count one hit among the files looked at so far; returns whether the brake is engaged now.

        The hit that engages it is itself not to be secured.
        """
        self._hits += 1
        limits = self._limits
        files = max(files_so_far, self._hits)  # the file just hit may not be counted yet
        shared = self._hits >= limits.share_after and self._hits > limits.max_share * files
        self._engaged = self._engaged or self._hits > limits.max_hits or shared
        return self._engaged
