"""Workers that start with the first job."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

from scanner.hashing import HashJob, WorkerPool, WorkerSettings, expected_layers
from scanner.hashing.process import WorkerProcess
from scanner.pipeline.workers import WorkersWhenNeeded


class Spawning:
    """Starts real workers and counts them."""

    def __init__(self) -> None:
        self.started = 0

    def __call__(self, settings: WorkerSettings) -> WorkerProcess:
        self.started += 1
        return WorkerProcess(settings)


def test_no_process_is_started_while_there_is_nothing_to_hash() -> None:
    spawning = Spawning()
    workers = WorkersWhenNeeded(WorkerPool(WorkerSettings(), 2, spawn=spawning))
    room = workers.room
    workers.flush()
    assert workers.poll(time.monotonic()) == []
    workers.stop()
    assert (spawning.started, room > 0, workers.layers) == (0, True, None)


def test_first_job_starts_all_workers_and_is_answered(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    spawning, told = Spawning(), list[frozenset[str]]()
    workers = WorkersWhenNeeded(WorkerPool(WorkerSettings(perceptual=()), 2, spawn=spawning), told.append)
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        workers.submit(HashJob(1, fd, 7, media_only=False))
        workers.prove()
        workers.flush()
        results = []
        while not results:
            assert select.select([workers.fileno()], [], [], 10)[0], "no answer"
            results = workers.poll(time.monotonic())
    finally:
        workers.stop()
        os.close(fd)
    assert spawning.started == 2
    assert told == [workers.layers] and workers.layers <= expected_layers(root=True)
    assert results[0].status == "hashed"
