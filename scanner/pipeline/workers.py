"""Workers that are started when the first file needs them.

Starting them costs half a second of every processor, and a volume on which nothing changed since the last
scan needs none: without this it would be most of what such a scan costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scanner.hashing import HashJob, HashResult, WorkerPool


class WorkersWhenNeeded:
    """A pool, not started yet, that starts with its first job. To be used from one thread, like the pool.

    Args:
        started: told of the sandbox layers in force, once workers are there.
    """

    def __init__(self, pool: WorkerPool, started: Callable[[frozenset[str]], None] | None = None) -> None:
        self._pool = pool
        self._tell = started
        self._started = False

    @property
    def workers(self) -> int:
        return self._pool.workers

    @property
    def room(self) -> int:
        return self._pool.room

    @property
    def restarts(self) -> Mapping[str, int]:
        """Workers replaced, by reason."""
        return dict(self._pool.restarts)

    @property
    def layers(self) -> frozenset[str] | None:
        """Sandbox layers in force in all workers; None while there are no workers."""
        return self._pool.layers if self._started else None

    def fileno(self) -> int:
        return self._pool.fileno()

    def submit(self, job: HashJob) -> None:
        """Accept a job; the first one waits until the workers are ready.

        Raises:
            WorkerError: they can't be started.
        """
        if not self._started:
            self._pool.start()
            self._started = True
            if self._tell is not None:
                self._tell(self._pool.layers)
        self._pool.submit(job)

    def prove(self) -> None:
        self._pool.prove()

    def flush(self) -> None:
        self._pool.flush()

    def poll(self, now: float) -> list[HashResult]:
        return self._pool.poll(now)

    def stop(self) -> None:
        self._pool.stop()
