"""Which volumes a path belongs to, as it is named by people: by a link to the root, or as the host has it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from scanner.app.volumes import volume_at
from scanner.config import Config
from scanner.pipeline.volume import Volume


@dataclass(frozen=True, slots=True)
class Place:
    """A path in a volume.

    Attributes:
        path: below the volume's root; b"" is the root itself.
        configured: the volume is in the configuration; else it was made for paths given to `scan`.
    """

    volume: Volume
    path: bytes
    configured: bool = True

    @property
    def shown(self) -> bytes:
        return self.volume.shown(self.path)


def absolute(path: bytes) -> bytes:
    """A path made absolute by its words alone: nothing is asked of a file system, no link is resolved."""
    return os.path.abspath(path)


def behind_links(path: bytes) -> bytes:
    """Where a path leads to, links resolved as far as whoever asks may look."""
    return os.path.realpath(path)


def beside_links(path: bytes) -> bytes:
    """The same name in its directory, with the links above it resolved."""
    directory, name = os.path.split(path)
    return os.path.join(os.path.realpath(directory), name)


def places(path: bytes, volumes: Sequence[Volume], config: Config) -> list[Place]:
    """Where an absolute path lies in the configured volumes; one may lie in another.

    A volume is known by its root, by the configured path, which may lead to the root over links, and
    by `shown_as`, under which people know it.
    """
    named = {v.name: os.fsencode(v.path) for v in config.volumes}
    found = []
    for volume in volumes:
        bases = (volume.root, named.get(volume.name, b""), volume.shown_as)
        below = next((b for base in bases if base and (b := _below(path, base)) is not None), None)
        if below is not None:
            found.append(Place(volume, below))
    return found


def adhoc_places(
    path: bytes, scanned: Iterable[tuple[str, bytes]], configured: Sequence[Volume]
) -> list[Place]:
    """Where it lies in volumes that were made for paths given to `scan`, as (name, root)."""
    names = {volume.name for volume in configured}
    found = []
    for name, root in scanned:
        below = _below(path, root)
        if name not in names and below is not None:
            volume = replace(volume_at(root, configured), name=name)
            found.append(Place(volume, below, configured=False))
    return found


def _below(path: bytes, base: bytes) -> bytes | None:
    base = base.rstrip(b"/")
    if path == base or not path.startswith(base + b"/"):
        return b"" if path == (base or b"/") else None
    return path[len(base) + 1 :]
