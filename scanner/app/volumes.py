"""Which volumes a scan is about: the configured ones, or made from paths that are named; their roots."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from scanner.app.roots import root_of
from scanner.config import VolumeConfig
from scanner.model.errors import ConfigError, SourceError
from scanner.model.names import display, unused_name
from scanner.pipeline.volume import Volume


def volume_of(config: VolumeConfig) -> Volume:
    """A configured volume as the pipeline needs it."""
    return Volume(
        name=config.name,
        root=root_of(config),
        shown_as=os.fsencode(config.shown_as) if config.shown_as else b"",
        exclude=tuple(config.exclude),
        one_filesystem=config.one_filesystem,
        mail_ground=config.mail_stores.ground if config.mail_stores.scan else "",
        customer=config.customer or "",
        snapshots=config.snapshots,
        stall_seconds=config.stall_limit,
    )


def volumes_for(paths: Sequence[Path], configured: Sequence[Volume]) -> list[Volume]:
    """A volume for each path that is named.

    Raises:
        ConfigError: a path isn't there.
    """
    volumes: list[Volume] = []
    for path in dict.fromkeys(_resolve(p) for p in paths):
        taken = {v.name for v in (*configured, *volumes)}
        volumes.append(_volume_for(path, configured, taken))
    return volumes


def _volume_for(path: bytes, configured: Sequence[Volume], taken: Collection[str]) -> Volume:
    """A configured volume of just this path, or one made for it; below a configured one by its rules."""
    for volume in configured:
        if volume.root == path:
            return volume
    root, only = (path, b"") if os.path.isdir(path) else os.path.split(path)
    name = unused_name(display(os.path.basename(root)) or "root", taken)
    return replace(volume_at(root, configured), name=name, only=only)


def volume_at(root: bytes, configured: Sequence[Volume]) -> Volume:
    """A volume of any root, yet without a name: below a configured one by its rules."""
    above = next((v for v in configured if root.startswith(v.root.rstrip(b"/") + b"/")), None)
    if above is None:
        return Volume(name="", root=root)
    below = root[len(above.root.rstrip(b"/")) + 1 :]
    return replace(above, root=root, shown_as=above.shown(below))


@contextmanager
def open_root(volume: Volume) -> Iterator[int]:
    """The volume's root as a descriptor; everything else is opened beneath it.

    Raises:
        ConfigError: there is no such directory.
        SourceError: it can't be read.
    """
    where = os.fsdecode(volume.root)
    try:
        fd = os.open(volume.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            "there is no such directory",
            where=f"volume {volume.name}",
            remedy=f"Expected {where}: is it mounted?",
        ) from None
    except OSError as e:
        raise SourceError(
            f"{where} can't be opened ({e.strerror})",
            where=f"volume {volume.name}",
            remedy="Run as root, or give the user CAP_DAC_READ_SEARCH",
        ) from e
    try:
        yield fd
    finally:
        os.close(fd)


def _resolve(path: Path) -> bytes:
    """The absolute path of a root, links resolved, as bytes.

    Raises:
        ConfigError: it isn't there.
    """
    try:
        return os.fsencode(path.resolve(strict=True))
    except (OSError, RuntimeError) as e:
        raise ConfigError(
            "there is no such path", where=str(path), remedy="Name a directory or file that exists"
        ) from e
