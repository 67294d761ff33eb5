"""The pictures that the sample list is about, and the list itself: all made up, the culprit is a cat."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from demo.pictures import drawing, encoded, photograph

__all__ = ["ASTRONAUT", "BANNER", "CAT", "COFFEE", "LISTED", "ROCKET", "ListedPicture", "hash_list"]

_OTHERS = 5_000  # entries of pictures that are nowhere in the tree
_HEADER = "id,sha256,pdq,category"


@dataclass(frozen=True, slots=True)
class ListedPicture:
    """One entry of the list.

    Attributes:
        entry: the publisher's id.
        category: the publisher's value; "0" stands for what was looked at and is harmless.
        name: what the publisher calls the file.
        exact, perceptual: which hashes the list gives of it.
    """

    entry: str
    category: str
    name: str
    exact: bool = True
    perceptual: bool = True

    @property
    def data(self) -> bytes:
        """The file as the publisher has it."""
        return _PUBLISHED[self.entry]()


CAT = ListedPicture("SYN-1001", "1", "cat.jpg")
ROCKET = ListedPicture("SYN-1002", "2", "rocket.png", perceptual=False)
BANNER = ListedPicture("SYN-1003", "1", "banner.gif", perceptual=False)
COFFEE = ListedPicture("SYN-1004", "2", "coffee.jpg", exact=False)
ASTRONAUT = ListedPicture("SYN-1005", "0", "astronaut.jpg")
LISTED = (CAT, ROCKET, BANNER, COFFEE, ASTRONAUT)

_PUBLISHED = {
    CAT.entry: lambda: encoded(photograph("chelsea.png", (900, 600)), "JPEG", 92),
    ROCKET.entry: lambda: encoded(photograph("rocket.jpg", (480, 320)), "PNG"),
    BANNER.entry: lambda: encoded(drawing(1_003, (468, 240)), "GIF"),
    COFFEE.entry: lambda: encoded(photograph("coffee.png", (900, 600)), "JPEG", 92),
    ASTRONAUT.entry: lambda: encoded(photograph("astronaut.png", (640, 640)), "JPEG", 92),
}


def hash_list(pdq: Mapping[str, str]) -> bytes:
    """The list as CSV: the pictures above among thousands of others.

    Args:
        pdq: PDQ as 64 hexadecimal digits, by entry.
    """
    lines = [*_others(random.Random(0)), *_own(LISTED, pdq)]
    return "\n".join((_HEADER, *sorted(lines), "")).encode()


def _own(listed: Iterable[ListedPicture], pdq: Mapping[str, str]) -> Iterator[str]:
    for picture in listed:
        exact = hashlib.sha256(picture.data).hexdigest() if picture.exact else ""
        yield f"{picture.entry},{exact},{pdq[picture.entry] if picture.perceptual else ''},{picture.category}"


def _others(rng: random.Random) -> Iterator[str]:
    for n in range(_OTHERS):
        yield f"SYN-{2_000 + n},{rng.randbytes(32).hex()},{rng.randbytes(32).hex()},{rng.choice('12')}"
