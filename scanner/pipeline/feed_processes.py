"""What the confined processes that fetch and read lists are told to do, and how far they are believed.

One process for each fetch and one for each import, each in a folder of its own: who meets the network parses
nothing, and who parses meets no network. A process that dies, hangs, floods its pipe, answers nonsense or
leaves something odd is a FeedProcessError: that feed fails, and its last good list stays.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from scanner.feeds import Fetched, FetchRequest, FormatOptions
from scanner.feeds.addresses import masked
from scanner.model.errors import ConfigError, FeedError, FeedProcessError
from scanner.model.hashes import HashKind
from scanner.model.ports import Ids
from scanner.pipeline import feed_answers, verify_process
from scanner.pipeline.feed_answers import ImportAnswer, Nonsense
from scanner.pipeline.feed_running import Job, run
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
            job = Job("fetch_process", order, _FETCH_MEMORY, request.max_bytes)
            _, raw = await self._ended(job, place)
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
            _, raw = await self._ended(Job(module, told, self._limits.memory, limit, passed), place)
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
                    Job("verify_process", order, _VERIFY_MEMORY, _VERIFY_FILES, (descriptor,), (0, 1, 2)),
                    place,
                )
            finally:
                os.lseek(descriptor, 0, os.SEEK_SET)

    def _place(self, work: Path) -> Workplace:
        return Workplace(work, f"process-{self._ids.new()}", self._other_user and self._other_user[0])

    @property
    def _other_user(self) -> tuple[int, int] | None:
        return self._limits.user if os.geteuid() == 0 else None

    async def _ended(self, job: Job, place: Workplace) -> tuple[int, bytes]:
        return await run(job, place, self._python, self._other_user, self._limits.seconds)


def _gpgv() -> str:
    found = shutil.which("gpgv")
    if found is None:
        raise ConfigError("signature.kind: openpgp needs the program gpgv", remedy="apt install gpgv")
    return os.path.realpath(found)


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
