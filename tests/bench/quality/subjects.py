"""What is measured: hostsweep's kinds in all their views, and beside them what others offer.

A subject says of a listed picture the hash that a list has of it, and of an asked file its hashes by group of
views. hostsweep's are those of its workers: its decoder, its hashers, its floor of quality.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from PIL import Image

from scanner.hashing import decode
from scanner.hashing.kinds import build_hashers
from scanner.model.hashes import KINDS
from scanner.model.ports import Hasher

from .experiment import EXPERIMENTS, Experiment

OURS = ("pdq", "phash256", "phash", "dhash")
WHOLE, TURNED, BOX = "whole", "turned", "box"
FLAT, FLATTEST = "flat ", 20  # views of asked pictures below the floor of quality, and where they end
GUARDED = (
    "guarded"  # all views, of a kind without a quality of its own, of pictures that PDQ's floor lets pass
)
_TURNS = ("turn90", "turn180", "turn270", "mirror", "mirror90", "mirror180", "mirror270")
_FAMILIES = {"box": BOX, "tilt": "tilted", "wide": "widened", "crop": "cropped"}
ALL, FLATTER = "whole, turned, box", f"all, quality from {FLATTEST} on"
NOT_FLAT = "all, unless PDQ finds it flat"
# Sets of views that are reported, each with the groups of views in it.
SETS: Mapping[str, tuple[str, ...]] = {
    "whole": (WHOLE,),
    "whole, turned": (WHOLE, TURNED),
    "whole, turned, box": (WHOLE, TURNED, BOX),
    **{f"all and {name}": (WHOLE, TURNED, BOX, name) for name in EXPERIMENTS},
    "all and all of these": (WHOLE, TURNED, BOX, *EXPERIMENTS),
    FLATTER: (WHOLE, TURNED, BOX, FLAT + WHOLE, FLAT + TURNED, FLAT + BOX),
    NOT_FLAT: (GUARDED,),
}
_MIMES = {
    "JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "AVIF": "image/avif", "GIF": "image/gif",
}  # fmt: skip
_MAX_PIXELS = 100_000_000
_FLOOR = 50  # quality, of the others: pdq/README.md

Grouped = Mapping[str, Sequence[bytes]]  # values by group of views


def needed(groups: Sequence[str]) -> frozenset[str]:
    """Of the groups of a set those without which a picture doesn't count for it: they aren't always there."""
    return frozenset(groups) & EXPERIMENTS.keys()


class Asked:
    """A file that is asked for.

    Attributes:
        data: its bytes.
        decoded: as hostsweep's workers decode it.
        colours: all its pixels in red, green and blue, as Pillow gives them.
        as_stored: all its pixels as they are stored, be it numbers of colours.
        experiment: whether experimental views are of interest.
        known, quality: what a subject has said of it already, and PDQ's quality.
    """

    def __init__(self, data: bytes, *, experiment: bool = True) -> None:
        self.data = data
        self.experiment = experiment
        self.known: dict[str, Grouped] = {}
        self.quality: int | None = None
        with Image.open(io.BytesIO(data)) as picture:
            self.as_stored = np.asarray(picture)
            self.colours = np.asarray(picture.convert("RGB"))
            self.decoded = decode.open_picture(io.BytesIO(data), _MIMES[str(picture.format)], _MAX_PIXELS)


class Subject(Protocol):
    """Something that hashes pictures."""

    name: str
    size: int
    threshold: int

    def listed(self, picture: Image.Image, number: int) -> bytes | None:
        """What a list has of the `number`th picture; None if lists leave it out."""
        ...

    def asked(self, file: Asked) -> Grouped: ...


def group_of(view: str) -> str:
    """Of a view's name, `[part.]family[.turn]`, the group that it is switched on with."""
    parts = view.split(".")
    turned = parts[-1] in _TURNS
    family = parts[-2 if turned and len(parts) > 1 else -1]
    for start, group in _FAMILIES.items():
        if family.startswith(start):
            return group
    return TURNED if turned else WHOLE


class Ours:
    """One of hostsweep's kinds, with experimental views if wanted.

    Lists of PDQ come in two families: every other picture is listed by the C++ tools' 512 pixel grid.
    Views of an asked picture below the floor of quality are kept apart, as flat ones, down to FLATTEST.
    """

    def __init__(self, kind: str, *, experiment: bool = False) -> None:
        self.name = kind
        self.size, self.threshold = KINDS[kind].size, KINDS[kind].max_distance
        self._floor = KINDS[kind].min_quality
        self._guard = _hasher("pdq", (WHOLE,)) if kind != "pdq" else None
        self._experiment = Experiment(kind) if experiment and kind in ("pdq", "phash256") else None
        self._hasher = _hasher(kind, SETS[ALL])
        self._lister = _hasher(kind, (WHOLE,))

    def listed(self, picture: Image.Image, number: int) -> bytes | None:
        upright = [v for v in self._lister.hashes(picture) if v[2] >= self._floor]
        if not upright:
            return None
        both = {name: value for name, value, _ in upright}
        # Small pictures and the other kinds have one way of being listed, the first.
        return both.get("grid512", upright[0][1]) if number % 2 else upright[0][1]

    def asked(self, file: Asked) -> Grouped:
        if file.quality is None and self._guard:
            file.quality = self._quality(file.decoded)
        return self.views(file.decoded, experiment=file.experiment, quality=file.quality)

    def _quality(self, picture: Image.Image) -> int:
        return max((q for _, _, q in self._guard.hashes(picture)), default=0) if self._guard else 0

    def views(self, picture: Image.Image, *, experiment: bool = True, quality: int | None = None) -> Grouped:
        """The values of a decoded picture by group; `quality` is PDQ's, if it is known already."""
        found: dict[str, list[bytes]] = {}
        for view, value, own in self._hasher.hashes(picture):
            if own >= min(self._floor, FLATTEST):
                flat = "" if own >= self._floor else FLAT
                found.setdefault(flat + group_of(view), []).append(value)
        if self._guard and (self._quality(picture) if quality is None else quality) >= _FLOOR:
            found[GUARDED] = [value for values in found.values() for value in values]
        if self._experiment and experiment and WHOLE in found:
            for group, values in self._experiment.views(picture).items():
                found.setdefault(group, []).extend(values)
        return found


def _hasher(kind: str, views: Sequence[str]) -> Hasher:
    """hostsweep's hasher of a kind in some groups of views, as far as it has them."""
    options = {"views": views} if "views" in inspect.signature(build_hashers).parameters else {}
    return build_hashers((kind,), **options)[0]


class Pdqhash:
    """The library pdqhash on all of a picture's pixels; its dihedral hashes are its turned ones."""

    name, size, threshold = "pdqhash", 32, 31

    def __init__(self) -> None:
        import pdqhash

        self._library = pdqhash

    def listed(self, picture: Image.Image, _: int) -> bytes | None:
        bits, quality = self._library.compute(np.asarray(picture.convert("RGB")))
        return np.packbits(bits).tobytes() if quality >= _FLOOR else None

    def asked(self, file: Asked) -> Grouped:
        if "pdqhash" not in file.known:
            values, quality = self._library.compute_dihedral(file.colours)
            packed = [np.packbits(bits).tobytes() for bits in values] if quality >= _FLOOR else []
            file.known["pdqhash"] = {WHOLE: packed[:1], TURNED: packed[1:]} if packed else {}
        return file.known["pdqhash"]


class ThreatExchange(Pdqhash):
    """python-threatexchange's signal type for PDQ, which asks pdqhash for what it reads of a file.

    What it reads are the same pixels in most formats, and then it isn't asked a second time.
    """

    name = "threatexchange"

    def __init__(self) -> None:
        super().__init__()
        from threatexchange.signal_type.pdq.signal import PdqSignal

        self._signal = PdqSignal

    def asked(self, file: Asked) -> Grouped:
        if np.array_equal(file.as_stored, file.colours):
            return {group: v for group, v in super().asked(file).items() if group == WHOLE}
        text = self._signal.hash_from_bytes(file.data)
        return {WHOLE: [bytes.fromhex(text)]} if text else {}


def others() -> tuple[Sequence[Subject], Sequence[str]]:
    """Those of the others that are installed here, and why the rest is not."""
    found: list[Subject] = []
    absent = []
    for made in (Pdqhash, ThreatExchange):
        try:
            found.append(made())
        except ImportError as e:
            absent.append(f"{made.name} isn't installed here ({e})")
    return found, absent
