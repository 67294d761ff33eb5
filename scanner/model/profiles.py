"""What is done with files, as a short value that the catalog keeps with what came of it."""

from __future__ import annotations

from collections.abc import Iterable

_BETWEEN = b"\0"
_COMMA = b","


def profile_of(ground: str, kinds: Iterable[str]) -> bytes:
    """A profile.

    Args:
        ground: all but the kinds: how files are chosen and how hashes are computed. Where it is another one,
            what is known of a file says nothing.
        kinds: of hashes that are computed. Where one was added, only files that lack it are read again.
    """
    return _BETWEEN.join((ground.encode(), _COMMA.join(sorted(kind.encode() for kind in kinds))))


def ground_of(profile: bytes) -> bytes:
    """The ground of a profile."""
    return profile.partition(_BETWEEN)[0]


def kinds_of(profile: bytes) -> frozenset[str]:
    """The kinds of a profile."""
    kinds = profile.partition(_BETWEEN)[2]
    return frozenset(kind.decode() for kind in kinds.split(_COMMA) if kind)
