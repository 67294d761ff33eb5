"""Running one confined process that works on lists: started, told, heard, and ended whatever it does."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

from scanner.model.errors import FeedProcessError, StorageError
from scanner.model.names import display
from scanner.pipeline.feed_answers import MAX_ANSWER
from scanner.pipeline.feed_confinement import Confinement
from scanner.pipeline.feed_workplace import Workplace

_READ = 64 << 10  # bytes read of an answer at a time
_TAIL = 300  # characters of what a process said last
_PIPE = 1 << 16  # bytes a pipe holds

# Of our environment only this. Proxies and certificates are the fetching process's business; the rest keeps
# numpy and the C library from starting threads and heaps that count as address space.
_PASSED_ON = ("PATH", "LANG", "TZ")
_PASSED_TO_FETCH = (
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)
_SET = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


@dataclass(frozen=True, slots=True)
class Job:
    """What a process is to do.

    Attributes:
        module: of `scanner.pipeline`.
        order: what it is told, as JSON.
        memory: bytes of address space it gets.
        file_size: bytes that a file of its may have.
        descriptors: what it is handed; one with none is a process that fetches.
        codes: what it may end with.
    """

    module: str
    order: Mapping[str, Any]
    memory: int
    file_size: int
    descriptors: Sequence[int] = ()
    codes: Collection[int] = (0,)


async def run(
    job: Job, place: Workplace, python: Sequence[str], user: tuple[int, int] | None, seconds: float
) -> tuple[int, bytes]:
    """What a process ended with, which is one of its `codes`, and its raw answer.

    Args:
        place: its folder.
        python: how a module of ours is run: this, `-m`, its name.
        user: numbers of the user and group it becomes; None: it stays as we are.
        seconds: it may take.

    Raises:
        FeedProcessError: it died, hung or said too much.
        StorageError: it can't be started.
    """
    confinement = Confinement(os.getpid(), user, job.memory, int(seconds) + 1, job.file_size)
    message = json.dumps({**job.order, "confinement": asdict(confinement)}).encode()
    with _errors_pipe() as (errors, stderr):
        try:
            process = await _started(job, place, python, stderr)
        finally:
            os.close(stderr)
        answer = await _heard(process, message, seconds)
        code = process.returncode or 0
        if code not in job.codes:
            raise _died(code, _last_words(errors))
        return code, answer


@contextmanager
def _errors_pipe() -> Iterator[tuple[int, int]]:
    # Not blocking: a process that talks too much goes unheard, and is read once, at its end.
    errors, stderr = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        yield errors, stderr
    finally:
        os.close(errors)


async def _started(
    job: Job, place: Workplace, python: Sequence[str], stderr: int
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *python, "-m", f"scanner.pipeline.{job.module}",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            cwd=place.path,
            env=_environment(fetch=not job.descriptors),
            pass_fds=job.descriptors,
            start_new_session=True,
        )  # fmt: skip
    except OSError as e:
        raise StorageError(
            f"the process that works on lists can't be started ({e.strerror})",
            where=python[0],
            remedy="Check that this user may run it, and how many processes it may have",
        ) from e


async def _heard(process: asyncio.subprocess.Process, message: bytes, seconds: float) -> bytes:
    """Its whole answer; it has ended then, whatever happened."""
    try:
        async with asyncio.timeout(seconds):
            return await _conversation(process, message)
    except TimeoutError as e:
        raise FeedProcessError(
            f"it took longer than {seconds:.0f} s",
            remedy="The last good list stays in use. If it is that large, raise sync.time_limit",
        ) from e
    finally:
        await _end(process)


async def _conversation(process: asyncio.subprocess.Process, message: bytes) -> bytes:
    assert process.stdin is not None and process.stdout is not None
    with suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(message)
        await process.stdin.drain()
    process.stdin.close()
    answer = bytearray()
    while data := await process.stdout.read(_READ):
        answer += data
        if len(answer) > MAX_ANSWER:
            raise FeedProcessError(f"the process answers more than {MAX_ANSWER} bytes")
    await process.wait()
    return bytes(answer)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill what still runs of it, and wait."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the leader is not reaped, so the number is still its own
    # wait() comes back only after the end of the pipe was seen, and while much of it is unread nobody looks
    # for that: python/cpython, issue 119710
    assert process.stdout is not None
    while await process.stdout.read(_READ):
        pass
    await process.wait()


def _died(status: int, said: str) -> FeedProcessError:
    how = f"ended with status {status}"
    if status < 0:
        with suppress(ValueError):
            how = f"was ended by {signal.Signals(-status).name}"
    text = f"the process that works on the list {how}"
    return FeedProcessError(
        f"{text}; it said last: {said}" if said else text,
        remedy="The last good list stays in use; ask the publisher whether the list is as it should be",
    )


def _last_words(errors: int) -> str:
    try:
        said = os.read(errors, _PIPE)
    except BlockingIOError:
        return ""
    return display(said.strip().replace(b"\n", b" | "))[-_TAIL:]


def _environment(*, fetch: bool) -> dict[str, str]:
    names = (*_PASSED_ON, *(_PASSED_TO_FETCH if fetch else ()))
    return {**{name: os.environ[name] for name in names if name in os.environ}, **_SET}
