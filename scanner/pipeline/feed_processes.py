"""Starting the confined processes that fetch and read lists, and believing them no more than needed.

One process for each fetch and one for each import, each in a folder of its own: who meets the network parses
nothing, and who parses meets no network. A process that dies, hangs, floods its pipe, answers nonsense or
leaves something odd is a FeedProcessError: that feed fails, and its last good list stays.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from scanner.feeds import Fetched, FetchRequest, FormatOptions
from scanner.feeds.addresses import masked
from scanner.model.errors import ConfigError, FeedError, FeedProcessError, StorageError
from scanner.model.hashes import HashKind
from scanner.model.names import display
from scanner.model.ports import Ids
from scanner.pipeline import feed_answers, verify_process
from scanner.pipeline.feed_answers import MAX_ANSWER, ImportAnswer, Nonsense
from scanner.pipeline.feed_confinement import Confinement
from scanner.pipeline.feed_workplace import Workplace

T = TypeVar("T")

_FETCH_MEMORY = 2 << 30  # bytes of address space: most of it stacks of threads that look up names
_VERIFY_MEMORY = 1 << 30  # of which it needs some 20 MiB, and the interpreter before it 100
_VERIFY_FILES = 1 << 20
# An index is smaller than its list, but for the search tables of perceptual hashes, which are up to twice as
# large.
_INDEX_BY_LIST = 4
_LINES_BY_LIST = 8  # a line of 32 digits makes one of 100 bytes
_INDEX_SLACK = 64 << 20  # and what every index has, however short
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
class FeedLimits:
    """What the processes get.

    Attributes:
        user: numbers of the user and group they become when we are root; None: they stay as we are.
        memory: bytes of address space for reading a list.
        seconds: for a whole fetch, with its retries, and for a whole import.
    """

    user: tuple[int, int] | None
    memory: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """A list to be read.

    Attributes:
        feed: its name, which the index carries.
        source: what the list is called in errors.
        format, options: as `import_list` has them.
        now_ns: the time the index carries.
        max_bytes: most the list, and its content, may have.
        max_malformed: the share of malformed records from which on it is refused.
        memory: of the publisher's protocol, to be kept in the index.
        partial: the list is changes to the one in `base`.
        key: the key of the lists, in hexadecimal digits.
        base: descriptor of the index in use, None where there is none.
        polarity: of the feed.
        kinds: those of plug-ins that are hashed, so that the list may have them.
        identities: age's secrets, for a list that is encrypted; "" for one that is not.
    """

    feed: str
    source: str
    format: str
    options: FormatOptions
    now_ns: int
    max_bytes: int
    max_malformed: float = 0.0
    memory: str = ""
    partial: bool = False
    key: str = field(default="", repr=False)
    base: int | None = None
    polarity: str = "illegal"
    kinds: tuple[HashKind, ...] = ()
    identities: str = field(default="", repr=False)


class FeedProcesses:
    """Fetches and imports in processes without power.

    Args:
        python: how a module of ours is run: this, `-m`, its name.
    """

    def __init__(
        self, limits: FeedLimits, ids: Ids, *, python: Sequence[str] = (sys.executable, "-I")
    ) -> None:
        self._limits = limits
        self._ids = ids
        self._python = tuple(python)

    async def fetch(self, request: FetchRequest, work: Path, target: Path) -> Fetched:
        """Fetch a list into `target`.

        Args:
            work: our own directory, closed to others, for the process's folder.

        Raises:
            FeedError, ConfigError, StorageError: as `scanner.feeds.fetch` does.
        """
        order = {"request": request.told()}
        # A list of the command line has no name but its address, which may hold secrets.
        where = masked(request.url) if "://" in request.feed else f"feed {request.feed}"
        with _told_where(where), self._place(work) as place:
            raw = await self._run(
                "scanner.pipeline.fetch_process", order, place, _FETCH_MEMORY, request.max_bytes
            )
            answer = _checked(feed_answers.fetched, raw)
            if answer.not_modified:
                if not (request.etag or request.last_modified or request.exchange):
                    raise FeedProcessError("the process says that a list is unchanged which we don't have")
                return Fetched(
                    None,
                    answer.etag,
                    answer.last_modified,
                    not_modified=True,
                    memory=answer.memory,
                    traffic=answer.traffic,
                    signature=answer.signature,
                )
            digest = await asyncio.to_thread(place.take, "list", target, request.max_bytes)
            if digest != answer.sha256:
                await asyncio.to_thread(target.unlink)
                raise FeedProcessError("the process left another list than it says")
        return Fetched(
            target,
            answer.etag,
            answer.last_modified,
            bytes=answer.bytes,
            sha256=answer.sha256,
            memory=answer.memory,
            partial=answer.partial,
            traffic=answer.traffic,
            signature=answer.signature,
        )

    async def build(self, order: ImportOrder, descriptor: int, work: Path, target: Path) -> ImportAnswer:
        """Read a list and write its index to `target`, which is yet to be opened and checked.

        Args:
            descriptor: of the open list.
            work: our own directory, closed to others, for the process's folder.

        Raises:
            FeedError, ConfigError: the list can't be used.
            StorageError: the index can't be written.
        """
        limit = order.max_bytes * _INDEX_BY_LIST + _INDEX_SLACK
        if order.base is not None:
            limit += os.fstat(order.base).st_size
        return await self._read("import_process", "index", order, descriptor, work, target, limit)

    async def sort(self, order: ImportOrder, descriptor: int, work: Path, target: Path) -> ImportAnswer:
        """Read a list and write all of its entries to `target`, as lines in the order of their keys
        (`scanner.feeds.tree.lines`).

        Args:
            descriptor: of the open list.
            work: our own directory, closed to others, for the process's folder.

        Raises:
            FeedError, ConfigError: the list can't be used.
            StorageError: the lines can't be written.
        """
        limit = order.max_bytes * _LINES_BY_LIST + _INDEX_SLACK
        return await self._read("publish_process", "lines", order, descriptor, work, target, limit)

    async def _read(
        self,
        module: str,
        left: str,
        order: ImportOrder,
        descriptor: int,
        work: Path,
        target: Path,
        limit: int,
    ) -> ImportAnswer:
        """Run the process that reads a list, and take what it leaves."""
        told = {**asdict(order), "descriptor": descriptor}
        passed = (descriptor,) if order.base is None else (descriptor, order.base)
        with _told_where(order.source), self._place(work) as place:
            raw = await self._run(
                f"scanner.pipeline.{module}", told, place, self._limits.memory, limit, passed
            )
            answer = _checked(partial(feed_answers.imported, partial=order.partial), raw)
            await asyncio.to_thread(place.take, left, target, limit)
        return answer

    async def ask_gpgv(self, signature: bytes, keys: bytes, descriptor: int, work: Path) -> tuple[int, bytes]:
        """Have gpgv look at a list and its detached signature.

        Args:
            signature: one packet, see `scanner.feeds.trust.openpgp.signature_packet`.
            keys: public keys in binary form.
            descriptor: of the open list; read from its beginning, and left there.

        Returns:
            what gpgv ended with, and its status lines.

        Raises:
            FeedError: the process died or hung.
            ConfigError: there is no gpgv.
            StorageError: it can't be started.
        """
        order = {"gpgv": _gpgv(), "descriptor": descriptor}
        with self._place(work) as place:
            place.put(verify_process.SIGNATURE, signature)
            place.put(verify_process.KEYS, keys)
            try:
                return await self._ended(
                    "scanner.pipeline.verify_process",
                    order, place, _VERIFY_MEMORY, _VERIFY_FILES, (descriptor,), (0, 1, 2),
                )  # fmt: skip
            finally:
                os.lseek(descriptor, 0, os.SEEK_SET)

    def _place(self, work: Path) -> Workplace:
        return Workplace(work, f"process-{self._ids.new()}", self._other_user and self._other_user[0])

    @property
    def _other_user(self) -> tuple[int, int] | None:
        return self._limits.user if os.geteuid() == 0 else None

    async def _run(
        self,
        module: str,
        order: Mapping[str, Any],
        place: Workplace,
        memory: int,
        file_size: int,
        descriptors: Sequence[int] = (),
    ) -> bytes:
        """The raw answer of a process that ended as it should."""
        return (await self._ended(module, order, place, memory, file_size, descriptors))[1]

    async def _ended(
        self,
        module: str,
        order: Mapping[str, Any],
        place: Workplace,
        memory: int,
        file_size: int,
        descriptors: Sequence[int] = (),
        codes: Collection[int] = (0,),
    ) -> tuple[int, bytes]:
        """What a process ended with, which is one of `codes`, and its raw answer."""
        confinement = Confinement(
            os.getpid(), self._other_user, memory, int(self._limits.seconds) + 1, file_size
        )
        message = json.dumps({**order, "confinement": asdict(confinement)}).encode()
        # Not blocking: a process that talks too much goes unheard, and is read once, at its end.
        errors, stderr = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            try:
                process = await asyncio.create_subprocess_exec(
                    *self._python, "-m", module,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=stderr,
                    cwd=place.path,
                    env=_environment(fetch=not descriptors),
                    pass_fds=descriptors,
                    start_new_session=True,
                )  # fmt: skip
            except OSError as e:
                raise StorageError(
                    f"the process that works on lists can't be started ({e.strerror})",
                    where=self._python[0],
                    remedy="Check that this user may run it, and how many processes it may have",
                ) from e
            finally:
                os.close(stderr)
            try:
                async with asyncio.timeout(self._limits.seconds):
                    answer = await _conversation(process, message)
            except TimeoutError as e:
                raise FeedProcessError(
                    f"it took longer than {self._limits.seconds:.0f} s",
                    remedy="The last good list stays in use. If it is that large, raise sync.time_limit",
                ) from e
            finally:
                await _end(process)
            code = process.returncode or 0
            if code not in codes:
                raise _died(code, _last_words(errors))
            return code, answer
        finally:
            os.close(errors)


def _gpgv() -> str:
    found = shutil.which("gpgv")
    if found is None:
        raise ConfigError("signature.kind: openpgp needs the program gpgv", remedy="apt install gpgv")
    return os.path.realpath(found)


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
    await process.wait()


def _checked(parse: Callable[[bytes], T], raw: bytes) -> T:
    try:
        return parse(raw)
    except Nonsense as e:
        raise FeedProcessError(
            f"the process gave an answer that can't be right: {e}",
            remedy="It may have been taken over by what it was given: tell the publisher",
        ) from e


@contextmanager
def _told_where(where: str) -> Iterator[None]:
    """Errors of a process itself, which can't know what it was about, say which list it is."""
    try:
        yield
    except FeedError as e:
        e.where = e.where or where
        raise


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
