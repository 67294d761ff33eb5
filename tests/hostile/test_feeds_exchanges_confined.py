"""A publisher's protocol from an installed package, spoken by the real confined process."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from simulators.publisher import Publisher, serving

from scanner.app import App, importing
from scanner.app.state import StateDirectory
from scanner.config import Config
from scanner.index import Snapshot
from scanner.model.errors import FeedError, FeedTransportError
from scanner.pipeline.feed_processes import FeedProcesses

# Follows `next` and goes on from a cursor; what it may not do, it tries.
PAGED = """
import json
from scanner.feeds.exchanges import Outcome

class Paged:
    name = "paged"
    format = "plain"
    def check(self, options):
        return None if options else "expected a secret and a volume"
    async def sync(self, call, client, pages):
        for path in ("/etc/passwd", call.options["secret"], call.options["volume"]):
            try:
                open(path)
                raise RuntimeError("not confined")
            except PermissionError:
                pass
        url, written = "entries", 0
        params = {"since": call.memory.get("cursor", "")}
        while url:
            reply = await client.get(url, params=params)
            page = json.loads(reply.body)
            for line in page["lines"]:
                written += 1
            if page["lines"]:
                await pages.write("\\n".join(page["lines"]).encode() + b"\\n")
            url, params = page["next"], None
        return Outcome(memory={"cursor": page["cursor"], "at": call.now_ns}, unchanged=not written)
"""
BOOT = """
import runpy, sys
sys.path.insert(0, {base!r})
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


class Site:
    """A publisher of pages, its plug-in, and an app that follows it."""

    def __init__(
        self, base: Path, publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plugin = base / "plugin"
        (plugin / "paged-1.dist-info").mkdir(parents=True)
        (plugin / "paged.py").write_text(PAGED)
        (plugin / "paged-1.dist-info/METADATA").write_text("Name: paged\nVersion: 1\n")
        (plugin / "paged-1.dist-info/entry_points.txt").write_text(
            "[hostsweep.feed_exchanges]\npaged = paged:Paged\n"
        )
        (plugin / "boot.py").write_text(BOOT.format(base=str(plugin)))
        self.secret, volume = base / "token", base / "volume-file"
        self.secret.write_text("hidden\n")
        volume.write_text("untouched")
        for path in (volume, self.secret):
            path.chmod(0o644)  # only the confinement protects them
        monkeypatch.syspath_prepend(str(plugin))
        python = (sys.executable, "-I", str(plugin / "boot.py"))
        monkeypatch.setattr(importing, "FeedProcesses", partial(FeedProcesses, python=python))
        feed = {
            "name": "f",
            "url": publisher.url.replace("/list", "/api/?key=hidden"),
            "exchange": "paged",
            "options": {"secret": str(self.secret), "volume": str(volume)},
            "bearer_file": str(self.secret),
        }
        config: dict[str, Any] = {"feeds": (feed,)}
        if os.geteuid() == 0:
            config["sync"] = {"user": 65534}
        self.app = App(Config.model_validate(config), StateDirectory(tmp_path / "state", tmp_path / "vault"))
        self.app.state.prepare()
        self.publisher = publisher

    def pages(self, *pages: list[str], cursor: str) -> None:
        """Serve these pages, one after the other."""

        def answer(number: int, lines: list[str]) -> Any:
            more = f"entries?page={number + 1}" if number + 1 < len(pages) else None

            async def handler(request: web.Request) -> web.Response:
                return web.json_response({"lines": lines, "next": more, "cursor": cursor})

            return handler

        self.publisher.requests.clear()
        self.publisher.answers = [answer(n, lines) for n, lines in enumerate(pages)]

    def memory(self) -> Any:
        store = self.app.keeper.store
        current = store.current("f")
        assert current is not None
        return json.loads(store.state("f").memory or Snapshot.peek(current).memory)


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    # Not below pytest's own folder, which is closed to other users: see test_feeds_confined.
    base = Path(tempfile.mkdtemp(prefix="hostsweep-exchange-"))
    base.chmod(0o755)
    async with serving(Publisher()) as publisher:
        yield Site(base, publisher, tmp_path, monkeypatch)
    shutil.rmtree(base)


def digests(first: int, count: int) -> list[str]:
    return [f"{n:032x}" for n in range(first, first + count)]


async def test_an_installed_protocol_goes_on_from_the_list_in_use_whatever_happens_between(
    site: Site,
) -> None:
    site.pages(digests(1, 3), digests(10, 2), digests(20, 1), cursor="c1")
    change = await site.app.sync_feed("f")
    assert (change.result, change.entries) == ("updated", 6)
    assert [r.path_qs for r in site.publisher.requests] == [
        "/api/entries?since=", "/api/entries?page=1", "/api/entries?page=2",
    ]  # fmt: skip
    assert {r.headers["Authorization"] for r in site.publisher.requests} == {"Bearer hidden"}
    good = site.app.keeper.store.current("f")

    site.pages([], cursor="c2")
    assert (await site.app.sync_feed("f")).result == "not_modified"
    assert [r.path_qs for r in site.publisher.requests] == ["/api/entries?since=c1"]
    assert site.memory()["cursor"] == "c2"

    async def gone(request: web.Request) -> web.Response:
        return web.Response(status=404)

    site.pages(digests(50, 3), digests(60, 3), cursor="c3")
    site.publisher.answers[1:] = [gone]
    with pytest.raises(
        FeedTransportError, match=r"feed f \(http://127.0.0.1:\d+/api/entries\): .*404"
    ) as caught:
        await site.app.sync_feed("f")
    assert "hidden" not in str(caught.value)

    site.pages(["no digest"], cursor="c4")  # found out by the other process, which reads the pages
    with pytest.raises(FeedError):
        await site.app.sync_feed("f")
    assert site.app.keeper.store.current("f") == good
    assert site.memory()["cursor"] == "c2"
    assert list(site.app.state.work.iterdir()) == []
