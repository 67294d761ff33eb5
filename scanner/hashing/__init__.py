"""Bytes to digests: exact and perceptual hashes of files, computed by worker processes without powers.

`WorkerPool` is the way in. Decoders and numpy are loaded by the workers alone, never by importing this.

Each name is loaded when it is asked for: a worker needs no pool, and the app often no more than names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scanner.system.late import names_of

if TYPE_CHECKING:
    from scanner.hashing.kinds import known_kinds, plugged_kinds
    from scanner.hashing.media import extra_formats, is_media, sniff
    from scanner.hashing.pool import WorkerPool
    from scanner.hashing.sandbox import absent_layers, expected_layers
    from scanner.hashing.settings import WorkerSettings
    from scanner.hashing.slot import HashJob, HashResult

__all__ = [
    "HashJob",
    "HashResult",
    "WorkerPool",
    "WorkerSettings",
    "absent_layers",
    "expected_layers",
    "extra_formats",
    "is_media",
    "known_kinds",
    "plugged_kinds",
    "sniff",
]

# Where each is.
_OURS = {
    "HashJob": "slot",
    "HashResult": "slot",
    "WorkerPool": "pool",
    "WorkerSettings": "settings",
    "absent_layers": "sandbox",
    "expected_layers": "sandbox",
    "extra_formats": "media",
    "is_media": "media",
    "known_kinds": "kinds",
    "plugged_kinds": "kinds",
    "sniff": "media",
}
__getattr__ = names_of(__name__, _OURS)
