"""Kinds of hashes, and what hashing says of one file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class HashKind:
    """One kind of hash.

    Attributes:
        name: as in configuration, JSON and metrics.
        size: length of a value in bytes.
        exact: equal bytes or nothing; else a perceptual kind, compared by Hamming distance.
        max_distance: the default largest distance, in bits, that is a match (0 for exact kinds).
        min_quality: the default smallest quality, 0-100, at which a file's value is compared.
    """

    name: str
    size: int
    exact: bool
    max_distance: int = 0
    min_quality: int = 0


MD5 = HashKind("md5", 16, exact=True)
SHA1 = HashKind("sha1", 20, exact=True)
SHA256 = HashKind("sha256", 32, exact=True)
SHA512 = HashKind("sha512", 64, exact=True)
# 31 and 50: the reference's own "confident match" and quality floor (pdq/README.md).
PDQ = HashKind("pdq", 32, exact=False, max_distance=31, min_quality=50)
# Of kinds that know no quality of their own it is the picture's. Flat pictures and blank pages have less than
# 20 and are near each other by each of them (docs/false-positives.md).
_SHOWS_SOMETHING = 20
# 64 bits; unrelated photographs come as near as 16, a stereo pair 4 (our measurement).
PHASH = HashKind("phash", 8, exact=False, max_distance=6, min_quality=_SHOWS_SOMETHING)
DHASH = HashKind("dhash", 8, exact=False, max_distance=4, min_quality=_SHOWS_SOMETHING)
# 256 bits. Our measurement with ImageHash on 26 photographs: unrelated ones are 104 and more apart, a stereo
# pair 76; copies in JPEG down to quality 20, or smaller ones, 2 in the median and nine of ten within 22.
# 24 is the same share of the bits as phash's 6, and within what the search tables serve (31).
PHASH256 = HashKind("phash256", 32, exact=False, max_distance=24, min_quality=_SHOWS_SOMETHING)


class Kinds(Mapping[str, HashKind]):
    """The hash kinds this process knows, by name: ours, and in a process that reads a list those of plug-ins
    that are configured. Such a process reads one list: they are added before it begins, and never change.
    """

    def __init__(self, *kinds: HashKind) -> None:
        self._kinds = {kind.name: kind for kind in kinds}

    def __getitem__(self, name: str) -> HashKind:
        return self._kinds[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    def plug_in(self, kind: HashKind) -> None:
        """Add a perceptual kind of a plug-in's; may be repeated.

        Raises:
            RuntimeError: another kind has its name already, or it is an exact one.
        """
        if kind.exact or self._kinds.get(kind.name, kind) != kind:
            raise RuntimeError(f"the kind {kind.name} can't be added")
        self._kinds[kind.name] = kind


KINDS = Kinds(MD5, SHA1, SHA256, SHA512, PDQ, PHASH, DHASH, PHASH256)
EXACT_KINDS = tuple(k.name for k in KINDS.values() if k.exact)
# What is computed where nothing else is configured. Few lists carry SHA-512 alone, and it would cost each
# file a fifth of the time of reading it.
DEFAULT_EXACT = (MD5.name, SHA1.name, SHA256.name)
PERCEPTUAL_KINDS = tuple(k.name for k in KINDS.values() if not k.exact)

# How pictures can be looked at: as they are, turned and mirrored, without borders and bars around them; and
# tilted by some degrees, tilted and enlarged to what that may have cut off, as part of a larger one, and with
# a little cut off.
VIEWS = ("whole", "turned", "box", "tilted", "straightened", "widened", "cropped")
DEFAULT_VIEWS = VIEWS[:3]


@dataclass(frozen=True, slots=True)
class PerceptualHash:
    """One perceptual hash of a picture, seen in one way.

    Attributes:
        kind: name of the hash kind.
        view: how the picture was looked at, e.g. ``full`` or ``grid512`` (the two families of PDQ).
        value: the hash, most significant bit first.
        quality: 0-100, how much structure the picture has; 100 where the kind knows no quality.
    """

    kind: str
    view: str
    value: bytes
    quality: int


_NONE: Mapping[str, bytes] = MappingProxyType({})


class Digests(NamedTuple):
    """What hashing says of one file's content.

    Attributes:
        size: bytes that were read and hashed.
        media_type: MIME type by content, "" where it is not recognised.
        exact: kind to digest (raw bytes).
        perceptual: one or more views for each perceptual kind; empty if there is none.
        problem: why perceptual hashes are missing, or some of them ("undecodable", "too_many_pixels",
            "truncated", …), "" if none are missing or they weren't asked for.
    """

    size: int
    media_type: str
    exact: Mapping[str, bytes] = _NONE
    perceptual: tuple[PerceptualHash, ...] = ()
    problem: str = ""
