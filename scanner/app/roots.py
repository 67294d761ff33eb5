"""Where a configured volume is."""

from __future__ import annotations

import os

from scanner.config import VolumeConfig


def root_of(config: VolumeConfig) -> bytes:
    """The root's absolute path without links: the same wherever it is asked for, as the securer compares
    it."""
    return os.fsencode(os.path.realpath(config.path))
