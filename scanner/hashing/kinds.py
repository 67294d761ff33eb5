"""The perceptual hash kinds there are, and making the hashers of the configured ones.

Others add theirs as an entry point of the group `hostsweep.hashers`, named as the kind and leading to
something that returns a `scanner.model.ports.Hasher` when called without arguments. A hasher may have an
attribute `accepts_reduced`: true if a large JPEG may be given to it at a fraction of its size, in grey.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points

from scanner.model.errors import ConfigError
from scanner.model.ports import Hasher

ENTRY_POINTS = "hostsweep.hashers"
_BUILT_IN = ("dhash", "pdq", "phash", "phash256")


def known_kinds() -> tuple[str, ...]:
    """Names of all perceptual kinds that can be configured here, without loading any."""
    return tuple(sorted({*_BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINTS))}))


def build_hashers(kinds: Sequence[str]) -> tuple[Hasher, ...]:
    """The hashers of these kinds, in this order.

    Raises:
        ConfigError: a kind isn't known, or its module can't be loaded.
    """
    return tuple(_build(kind) for kind in kinds)


def _build(kind: str) -> Hasher:
    # Imported here: ImageHash brings SciPy along, half a second that most workers don't need.
    if kind == "pdq":
        from scanner.hashing.pdq import PdqHasher

        return PdqHasher()
    if kind in ("phash", "dhash", "phash256"):
        from scanner.hashing import imagehashes

        return imagehashes.hasher(kind)
    return _from_entry_point(kind)


def _from_entry_point(kind: str) -> Hasher:
    points = tuple(entry_points(group=ENTRY_POINTS, name=kind))
    if len(points) != 1:
        what = "is not known" if not points else "is offered by more than one package"
        raise ConfigError(f"hash kind {kind!r} {what}", remedy=f"Known are: {', '.join(known_kinds())}")
    try:
        hasher: Hasher = points[0].load()()
    except Exception as e:  # somebody else's code: whatever it raises, it can't be used
        raise ConfigError(
            f"hash kind {kind!r} can't be loaded: {e!r}", remedy="Mend or remove its package"
        ) from e
    return hasher
