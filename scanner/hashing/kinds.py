"""The perceptual hash kinds there are, and making the hashers of the configured ones.

Others add theirs as an entry point of the group `hostsweep.hashers`, named as the kind and leading to
something that returns a `scanner.model.ports.Hasher` when called without arguments. A hasher may have an
attribute `accepts_reduced`: true if a large JPEG may be given to it at a fraction of its size, in grey.

What the entry point leads to may have an attribute `hash_kind`, a `scanner.model.hashes.HashKind` of the same
name: then values of the kind are loaded from lists, where `hashing.perceptual` names it. The daemon loads the
module to read it and calls nothing: a library behind it is to be loaded by the call, in the worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scanner.hashing.frames import MAX_VALUE
from scanner.model.errors import ConfigError
from scanner.model.hashes import KINDS, HashKind
from scanner.model.ports import Hasher

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

ENTRY_POINTS = "hostsweep.hashers"
_BUILT_IN = ("dhash", "pdq", "phash", "phash256")


def known_kinds() -> tuple[str, ...]:
    """Names of all perceptual kinds that can be configured here, without loading any."""
    return tuple(sorted({*_BUILT_IN, *_points().names}))


def build_hashers(kinds: Sequence[str], views: Sequence[str] = ("whole",)) -> tuple[Hasher, ...]:
    """The hashers of these kinds, in this order.

    Args:
        views: how pictures are looked at, of `scanner.model.hashes.VIEWS`; plug-ins are asked for none, and
            only PDQ for those of `scanner.hashing.warps`.

    Raises:
        ConfigError: a kind isn't known, or its module can't be loaded.
    """
    return tuple(_build(kind, views) for kind in kinds)


def plugged_kinds(wanted: Sequence[str]) -> Mapping[str, HashKind]:
    """Of these perceptual kinds those of plug-ins that say what their values are: lists can have them.

    Raises:
        ConfigError: one can't be loaded, or what it says can't be.
    """
    found = {}
    for name in wanted:
        kind = None if name in _BUILT_IN else getattr(_loaded(name), "hash_kind", None)
        if kind is not None:
            found[name] = _checked(name, kind)
    return found


def _checked(name: str, kind: object) -> HashKind:
    if (
        isinstance(kind, HashKind)
        and kind.name == name
        and name not in KINDS
        and not kind.exact
        and 0 < kind.size <= MAX_VALUE
        and 0 <= kind.max_distance <= 4 * kind.size
    ):
        return kind
    raise ConfigError(
        f"the package of hash kind {name!r} describes it wrongly",
        remedy=f"Its hash_kind has to be a perceptual HashKind of that name, of at most {MAX_VALUE} bytes",
    )


def _build(kind: str, views: Sequence[str]) -> Hasher:
    turned, box = "turned" in views, "box" in views
    # Imported here: they bring decoders along, which who only asks for names must not load.
    if kind == "pdq":
        from scanner.hashing.pdq import PdqHasher
        from scanner.hashing.warps import warps_of

        return PdqHasher(turned=turned, box=box, warps=warps_of(views))
    if kind in ("phash", "dhash", "phash256"):
        from scanner.hashing import imagehashes

        return imagehashes.hasher(kind, turned=turned, box=box)
    return _from_entry_point(kind)


def _from_entry_point(kind: str) -> Hasher:
    factory = _loaded(kind)
    try:
        hasher: Hasher = factory()
    except Exception as e:  # somebody else's code: whatever it raises, it can't be used
        raise _unusable(kind, e) from e
    return hasher


def _loaded(kind: str) -> Any:
    points = tuple(_points().select(name=kind))
    if len(points) != 1:
        what = "is not known" if not points else "is offered by more than one package"
        raise ConfigError(f"hash kind {kind!r} {what}", remedy=f"Known are: {', '.join(known_kinds())}")
    try:
        return points[0].load()
    except Exception as e:  # as above
        raise _unusable(kind, e) from e


def _points() -> EntryPoints:
    # Loaded late: a worker that makes kinds of ours needs none of it.
    from importlib.metadata import entry_points

    return entry_points(group=ENTRY_POINTS)


def _unusable(kind: str, e: Exception) -> ConfigError:
    return ConfigError(f"hash kind {kind!r} can't be loaded: {e!r}", remedy="Mend or remove its package")
