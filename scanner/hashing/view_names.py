"""Which names views may have. The catalog remembers each name it ever saw: there must be an end of them.

A name is `[part.]family[.turn]`:

    part    where the picture was in its file, if it was not the file itself: frame7, embedded1, preview1
    family  how it was looked at (`scanner.hashing.pdq_numbers`, `.imagehashes`); after `box` where only the
            content box was, `boxb` and `boxc` where a second and third might be (`.content_box`); or how it
            was tilted, widened or cropped (`.warps`)
    turn    how it was turned (`.turns`); nothing for upright

Of the kinds that are built in only these names are possible, some 32,500 for PDQ. Kinds of plug-ins name
their views themselves, but no more than `MAX_PLUGGED` different ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from scanner.hashing.turns import TURNED
from scanner.hashing.warps import WARPS
from scanner.model.errors import WorkerError
from scanner.model.hashes import PerceptualHash

MAX_PLUGGED = 200  # different names of views of one kind of a plug-in, as long as a pool lives
_PART = r"(?:(?:frame|embedded|preview)(?:[0-9]|[1-9][0-9]|1[0-9]{2})\.)?"
_TURN = rf"\.(?:{'|'.join(turn.name for turn in TURNED)})"
_WARP = "|".join(warp.name for warps in WARPS.values() for warp in warps)
_WHOLE = rf"(?:box[bc]?)?(?:full|grid512|native|as512|asbig)|(?:box)?mid{_TURN}"
_PDQ = re.compile(rf"{_PART}(?:{_WHOLE}|{_WARP})")
_IMAGE_HASH = re.compile(rf"{_PART}(?:(?:whole|box)(?:{_TURN})?|box[bc])")
_BUILT_IN = {"pdq": _PDQ, "phash": _IMAGE_HASH, "phash256": _IMAGE_HASH, "dhash": _IMAGE_HASH}
_PLUGGED = re.compile(r"[a-z0-9_.-]+")


def possible(kind: str, view: str) -> bool:
    """Whether a hash of a kind can have a view of this name."""
    return _BUILT_IN.get(kind, _PLUGGED).fullmatch(view) is not None


class PluggedNames:
    """The names that views of plug-ins' kinds have had so far, of all workers of a pool."""

    def __init__(self) -> None:
        self._known: dict[str, set[str]] = {}

    def admit(self, hashes: Iterable[PerceptualHash]) -> None:
        """Take note of the names.

        Raises:
            WorkerError: a kind has too many.
        """
        for h in hashes:
            if h.kind in _BUILT_IN:
                continue
            known = self._known.setdefault(h.kind, set())
            if h.view not in known and len(known) >= MAX_PLUGGED:
                raise WorkerError(
                    f"workers named more than {MAX_PLUGGED} different views of hash kind {h.kind}",
                    remedy="The hasher of this kind has to name few views, the same for all pictures",
                )
            known.add(h.view)
