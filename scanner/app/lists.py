"""From hash lists to an index: fetching, importing in a process of its own, swapping."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from scanner.app.state import StateDirectory
from scanner.config import Config, FeedConfig, mask_url
from scanner.feeds import FeedStore, FetchRequest, FormatOptions, fetch
from scanner.index import Index, OpenFeed, Snapshot, Threshold
from scanner.model.errors import ConfigError, FeedError, FeedRefusedError, StorageError
from scanner.model.feeds import FeedTerms, Polarity
from scanner.model.ports import Clock, Ids
from scanner.pipeline.import_process import to_error

if TYPE_CHECKING:
    import aiohttp

log = structlog.get_logger("hostsweep.feeds")


@dataclass(frozen=True, slots=True)
class Lists:
    """The lists in use: immutable, so a scan finishes on the ones it began with."""

    index: Index
    feeds: tuple[OpenFeed, ...]

    @property
    def terms(self) -> Mapping[str, FeedTerms]:
        return {f.terms.name: f.terms for f in self.feeds}


@dataclass(frozen=True, slots=True)
class FeedChange:
    """What a sync came to. `result` is "updated" or "not_modified"."""

    feed: str
    result: str
    entries: int


def terms_of(feed: FeedConfig) -> FeedTerms:
    """What the operator says of a feed."""
    return FeedTerms(
        name=feed.name,
        polarity=Polarity(feed.polarity),
        categories=None if feed.categories is None else frozenset(feed.categories),
        quarantine_exact=feed.on_match.exact == "quarantine",
        quarantine_perceptual=feed.on_match.perceptual == "quarantine",
    )


class ListKeeper:
    """Keeps the feeds of a configuration up to date in the state directory."""

    def __init__(self, config: Config, state: StateDirectory, clock: Clock, ids: Ids) -> None:
        self._config = config
        self._state = state
        self._clock = clock
        self._ids = ids
        self.store = FeedStore(state.feeds)

    def feed(self, name: str) -> FeedConfig:
        """The configuration of a feed.

        Raises:
            FeedError: there is no such feed.
        """
        for feed in self._config.feeds:
            if feed.name == name:
                return feed
        known = ", ".join(f.name for f in self._config.feeds) or "none is configured"
        raise FeedError("there is no such feed", where=name, remedy=f"Configured feeds: {known}")

    def shown_url(self, name: str) -> str:
        """A feed's address without secrets."""
        return mask_url(self.feed(name).url)

    # Fetching and importing

    async def sync(self, name: str, *, accept: bool = False) -> FeedChange:
        """Fetch a feed if it changed and build its index; the last good list stays on any failure.

        Args:
            accept: take the list even if it is far smaller than the one in use.

        Raises:
            FeedError: the publisher's side failed; recorded in the feed's state.
            StorageError: ours failed.
        """
        feed = self.feed(name)
        staged = self._state.work / f"{name}-{self._ids.new()}"
        with self.store.lock(name):
            try:
                return await self._sync(feed, staged, accept)
            except (FeedError, ConfigError) as e:
                e.where = e.where.replace(str(staged), f"feed {name}")
                await asyncio.to_thread(self.store.record_failure, name, str(e), self._clock.now_ns())
                raise
            finally:
                staged.unlink(missing_ok=True)

    async def _sync(self, feed: FeedConfig, staged: Path, accept: bool) -> FeedChange:
        state = self.store.state(feed.name)
        # A list that came from elsewhere, or was read in another way, is no reason not to fetch this one.
        have_list = self.store.current(feed.name) is not None and state.origin == _origin(feed)
        request = FetchRequest(
            feed=feed.name,
            url=feed.url,
            etag=state.etag if have_list else "",
            last_modified=state.last_modified if have_list else "",
            max_bytes=feed.max_bytes,
            insecure=feed.insecure,
            bearer_file=feed.bearer_file,
            basic_file=feed.basic_file,
        )
        async with _session() as session:
            fetched = await fetch(request, session, staged)
        now = self._clock.now_ns()
        if fetched.not_modified or (have_list and fetched.sha256 == state.source_sha256):
            await asyncio.to_thread(
                self.store.record_not_modified,
                feed.name,
                now,
                etag=fetched.etag,
                last_modified=fetched.last_modified,
            )
            return FeedChange(feed.name, "not_modified", self.entries(feed.name))
        answer = await self.import_source(feed, staged, accept=accept)
        await asyncio.to_thread(
            self.store.record_success,
            feed.name,
            now,
            etag=fetched.etag,
            last_modified=fetched.last_modified,
            source_sha256=fetched.sha256,
            format=answer["format"],
            counts=answer["counts"],
            origin=_origin(feed),
        )
        return FeedChange(feed.name, "updated", int(answer["counts"]["entries"]))

    async def import_file(self, feed: FeedConfig, source: Path, *, accept: bool = False) -> FeedChange:
        """Import a list from a file by hand, in place of the feed's own source."""
        now = self._clock.now_ns()
        answer = await self.import_source(feed, source, accept=accept)
        await asyncio.to_thread(
            self.store.record_success,
            feed.name, now, etag="", last_modified="", source_sha256=answer["sha256"],
            format=answer["format"], counts=answer["counts"],
        )  # fmt: skip
        return FeedChange(feed.name, "updated", int(answer["counts"]["entries"]))

    async def import_source(self, feed: FeedConfig, source: Path, *, accept: bool = False) -> dict[str, Any]:
        """Build a snapshot from a list and make it the feed's current one.

        Raises:
            FeedError: the list can't be used, or lost too much and is not to be accepted so.
            StorageError: the import process died, or the snapshot can't be written.
        """
        target = self._state.work / f"{feed.name}-{self._ids.new()}.index"
        options = FormatOptions(
            columns=dict(feed.columns), delimiter=feed.delimiter, encoding=feed.encoding, hash=feed.hash
        )
        try:
            answer = await self._import_process(
                {
                    "feed": feed.name,
                    "source": str(source),
                    "target": str(target),
                    "format": feed.format,
                    "options": asdict(options),
                    "now_ns": self._clock.now_ns(),
                    "max_bytes": feed.max_bytes,
                }
            )
            self._check_shrinking(feed, answer["counts"], accept)
            # A candidate is opened and checked before it takes the place of the last good list.
            await asyncio.to_thread(lambda: Snapshot.open(target).close())
            await asyncio.to_thread(self.store.promote, feed.name, target)
        finally:
            target.unlink(missing_ok=True)
        return answer

    def _check_shrinking(self, feed: FeedConfig, counts: Mapping[str, Any], accept: bool) -> None:
        """A list that lost most of what it had was cut off, is another list, or would blind us on purpose."""
        if self.store.current(feed.name) is None:
            return
        for what, before, after in _sizes(self.store.state(feed.name).counts or {}, counts):
            if before - after <= feed.max_shrink * before:
                continue
            if accept:
                log.warning("feed_shrink_accepted", feed=feed.name, what=what, before=before, after=after)
                continue
            raise FeedRefusedError(
                f"the new list has {after:,} {what} where the one in use has {before:,}: "
                f"it lost more than {feed.max_shrink:.0%}",
                where=f"feed {feed.name}",
                remedy="The last good list stays in use. Ask the publisher; if it is right, "
                f"`hostsweep feed sync {feed.name} --accept` takes it this once",
            )

    async def _import_process(self, order: dict[str, Any]) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-m", "scanner.pipeline.import_process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "TZ", "TMPDIR")},
        )  # fmt: skip
        try:
            out, _ = await process.communicate(json.dumps(order).encode())
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode != 0:
            raise StorageError(
                f"the process that imports lists ended with status {process.returncode}",
                where=f"feed {order['feed']}",
                remedy="The last good list stays in use; see the log for what it said",
            )
        answer = json.loads(out)
        if "error" in answer:
            error = to_error(answer["error"])
            raise error
        return dict(answer["ok"])

    # Lists without a configuration

    async def adhoc(self, text: str, taken: Sequence[str]) -> OpenFeed:
        """A list named on the command line: a file or a URL, its format detected; kept for the next time.

        Raises:
            FeedError: it can't be used.
        """
        staged: Path | None = None
        source = Path(text)
        if "://" in text:
            staged = source = self._state.work / f"adhoc-{self._ids.new()}"
            async with _session() as session:
                await fetch(FetchRequest(feed=text, url=text), session, staged)
        name = unused_name(Path(text.split("?", 1)[0]).name.split(".", 1)[0] or "list", taken)
        try:
            snapshot = await self._adhoc_snapshot(source)
        finally:
            if staged is not None:
                staged.unlink(missing_ok=True)
        return OpenFeed(FeedTerms(name), snapshot)

    async def _adhoc_snapshot(self, source: Path) -> Snapshot:
        digest = await asyncio.to_thread(_file_digest, source)
        store_name = f"adhoc-{digest[:32]}"
        feed = FeedConfig.model_construct(
            name=store_name,
            max_shrink=1.0,
            format="auto",
            columns={},
            delimiter=None,
            encoding=None,
            hash=None,
            max_bytes=1 << 40,
        )
        if self.store.current(store_name) is None:
            await self.import_file(feed, source)
        path = self.store.current(store_name)
        if path is None:
            raise StorageError("an imported list is gone again", where=str(source))
        return await asyncio.to_thread(Snapshot.open, path)

    # Opening

    def open(self, extra: Sequence[OpenFeed] = ()) -> Lists:
        """Open the current list of every configured feed that has one; blocking.

        Raises:
            SnapshotError: a list on disk is damaged.
        """
        feeds = list(extra)
        for feed in self._config.feeds:
            path = self.store.current(feed.name)
            if path is not None:
                feeds.append(OpenFeed(terms_of(feed), Snapshot.open(path)))
        matching = self._config.matching
        thresholds = {
            kind: Threshold(limit.max_distance, limit.min_quality)
            for kind, limit in matching.by_kind().items()
        }
        return Lists(Index(feeds, thresholds), tuple(feeds))

    def entries(self, name: str) -> int:
        """Entries of a feed's current list."""
        counts = self.store.state(name).counts or {}
        return int(counts.get("entries", 0))


def _session() -> aiohttp.ClientSession:
    """A session for one fetch. aiohttp is imported here, as most runs of hostsweep fetch nothing."""
    import aiohttp

    return aiohttp.ClientSession(trust_env=True)


def _sizes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
    """Entries and hashes of two lists, side by side."""
    yield "entries", int(old.get("entries", 0)), int(new.get("entries", 0))
    yield "hashes", sum(old.get("hashes", {}).values()), sum(new.get("hashes", {}).values())


def _origin(feed: FeedConfig) -> str:
    """Where a feed comes from and how it is read, as a digest: a URL may hold a secret."""
    said = [feed.url, feed.format, sorted(feed.columns.items()), feed.delimiter, feed.encoding, feed.hash]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def unused_name(wanted: str, taken: Collection[str]) -> str:
    """`wanted`, or it with the first number that makes it new."""
    name, n = wanted, 1
    while name in taken:
        n += 1
        name = f"{wanted}-{n}"
    return name


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()
    except IsADirectoryError as e:
        raise FeedRefusedError("this is a directory, expected a hash list", where=str(path)) from e
    except OSError as e:
        raise FeedRefusedError(
            f"the list can't be read ({e.strerror})",
            where=str(path),
            remedy="Name a file that exists and may be read",
        ) from e
