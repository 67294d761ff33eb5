"""Where a configured volume is."""

from __future__ import annotations

import os

from scanner.config import VolumeConfig
from scanner.system.mounts import is_remote, type_at


def root_of(config: VolumeConfig) -> bytes:
    """The root's absolute path without links: the same wherever it is asked for, as the securer compares it.

    Links stay where looking at the path could hold us up for ever: on a file system that may stop answering.
    """
    path = os.fsencode(config.path)
    return path if is_remote(type_at(path)) else os.path.realpath(path)
