"""Hashing workers as configured."""

from __future__ import annotations

import os

from scanner.config import Config
from scanner.hashing import WorkerPool, WorkerSettings, expected_layers


def worker_pool(config: Config, workers: int | None = None) -> WorkerPool:
    """A pool of hashing workers as configured, not started yet."""
    hashing = config.hashing
    uid, gid = hashing.worker_user
    settings = WorkerSettings(
        exact=tuple(hashing.exact),
        perceptual=hashing.computed,
        views=tuple(hashing.views),
        uid=uid,
        gid=gid,
        address_space=hashing.memory,
        max_bytes=hashing.max_file_size,
        base_seconds=hashing.time_limit,
        layers=expected_layers(root=os.geteuid() == 0) if hashing.sandbox == "required" else frozenset(),
    )
    return WorkerPool(settings, workers or hashing.worker_count)


def missing_layers(layers: frozenset[str]) -> tuple[str, ...]:
    """The layers of the workers' sandbox that should be in force and aren't."""
    return tuple(sorted(expected_layers(root=os.geteuid() == 0) - layers))
