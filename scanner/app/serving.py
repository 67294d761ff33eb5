"""`hostsweep feed serve`: answers hash checks of others from the lists in use, until SIGTERM."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from scanner import config as configuration
from scanner.app.app import App
from scanner.app.lists import Lists
from scanner.app.running import Life
from scanner.config import Config
from scanner.http.checks import build_check_application
from scanner.http.clients import Client, Clients, parse_clients
from scanner.http.server import start
from scanner.index import Index
from scanner.index.prefixes import PrefixTable
from scanner.model.errors import ConfigError, FeedError
from scanner.model.hashes import EXACT_KINDS, KINDS, Digests
from scanner.system.notify import notify

log = structlog.get_logger("hostsweep.checks")

_LOOK_SECONDS = 2.0  # between two looks for new lists: a small file for each feed


class ServedLists:
    """The lists that answer; see `scanner.http.checks.Lookups`."""

    def __init__(self, lists: Lists, served: Sequence[str]) -> None:
        feeds = [feed for feed in lists.feeds if feed.benign or not served or feed.terms.name in served]
        self._index = Index(feeds, lists.index.thresholds)
        kinds = {kind for feed in feeds if not feed.benign for kind in feed.snapshot.counts}
        self.sizes: Mapping[str, int] = {kind: KINDS[kind].size for kind in EXACT_KINDS if kind in kinds}
        self._prefixes = {kind: PrefixTable(feeds, kind) for kind in self.sizes}

    def listed(self, kind: str, value: bytes) -> bool:
        return bool(self._index.match(Digests(0, "", {kind: value})))

    def beginning(self, kind: str, value: int, bits: int) -> Sequence[bytes]:
        return self._prefixes[kind].beginning(value, bits)


class CheckService:
    """Serves until it is stopped; takes up new lists by itself.

    Args:
        app: its configuration's `serve` says where, whom and of which feeds.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._life = Life()
        self._lists: ServedLists | None = None
        self._places: Mapping[str, Path] = {}

    async def run(self) -> None:
        """Serve.

        Raises:
            ConfigError: the clients' file can't be used, or the address.
            FeedError: there is no list to answer from.
        """
        clients = Clients(read_clients(self._app.config), time.monotonic)
        await asyncio.to_thread(self._open)
        ended = asyncio.Event()
        self._life.listen()
        self._life.begin(ended.set)
        metrics = self._app.metrics
        application = build_check_application(self._now, clients, metrics.check_answered, metrics.render)
        runner = await start(application, self._app.config.serve.listen)
        try:
            address = runner.addresses[0]
            port = address[1] if isinstance(address, tuple) else None
            log.info("checks_ready", listen=str(self._app.config.serve.listen), port=port)
            notify(os.environ, READY=1, STATUS="answering hash checks")
            while not ended.is_set():
                try:
                    await asyncio.wait_for(ended.wait(), _LOOK_SECONDS)
                except TimeoutError:
                    await asyncio.to_thread(self._look)
            notify(os.environ, STOPPING=1, STATUS="stopping")
        finally:
            await runner.cleanup()
        log.info("checks_stopped")

    def _now(self) -> ServedLists:
        if self._lists is None:
            raise RuntimeError("the lists are opened before anybody can ask")
        return self._lists

    def _open(self) -> None:
        lists = self._app.keeper.open()
        served = ServedLists(lists, self._app.config.serve.feeds)
        if not served.sizes:
            raise FeedError(
                "there is no list with exact hashes to answer from",
                where="serve.feeds",
                remedy="Run `hostsweep feed sync`, and name feeds that have one",
            )
        self._lists, self._places = served, lists.places

    def _look(self) -> None:
        """Take up what was synced meanwhile; what can't be opened leaves the lists that answer now."""
        if self._app.keeper.places() == self._places:
            return
        try:
            self._open()
        except (ConfigError, FeedError) as e:
            log.error("lists_not_taken_up", error=str(e))
        else:
            log.info("lists_taken_up")


def read_clients(config: Config) -> tuple[Client, ...]:
    """Who may ask.

    Raises:
        ConfigError: no file is named, or it can't be used.
    """
    path = config.serve.clients_file
    if path is None:
        raise ConfigError(
            "nobody may ask: no file with clients is named",
            where="serve.clients_file",
            remedy="Name a file of mode 0600 with a line `name secret` for each",
        )
    return parse_clients(configuration.read_private(path), str(path))
