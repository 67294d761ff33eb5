"""Bytes to digests: exact and perceptual hashes of files, computed by worker processes without powers.

`WorkerPool` is the way in. Decoders and numpy are loaded by the workers alone, never by importing this.
"""

from scanner.hashing.kinds import known_kinds, plugged_kinds
from scanner.hashing.media import extra_formats, is_media, sniff
from scanner.hashing.pool import WorkerPool
from scanner.hashing.sandbox import absent as absent_layers
from scanner.hashing.sandbox import expected as expected_layers
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
