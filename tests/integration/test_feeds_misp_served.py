"""A MISP feed as a web server serves it, through all of a feed's way."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from scanner.app import App
from scanner.app.state import StateDirectory
from scanner.config import Config, FeedConfig
from tests.simulators.misp import MispDirectory, attribute, event, uuid


def digits(number: int) -> str:
    return hashlib.md5(b"%d" % number).hexdigest()


class Served(MispDirectory):
    """The simulated directory, by HTTP."""

    url = ""

    async def answer(self, request: web.Request) -> web.Response:
        reply = await self.get(str(request.url), headers=request.headers, accept=frozenset({304}))
        return web.Response(status=reply.status, body=reply.body, headers={"ETag": reply.headers["etag"]})


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    directory = Served()
    app = web.Application()
    app.router.add_get("/feed/{name}", directory.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    directory.url = f"http://127.0.0.1:{runner.addresses[0][1]}/feed/"
    yield directory
    await runner.cleanup()


async def test_an_event_that_changed_replaces_its_attributes(tmp_path: Path, served: Served) -> None:
    feed = FeedConfig(name="hotline", url=served.url, exchange="misp")
    app = App(Config(feeds=(feed,)), StateDirectory(tmp_path / "state", tmp_path / "state" / "quarantine"))
    app.state.prepare()
    served.put(event(1, attribute(1, digits(1)), attribute(2, digits(2))), event(2, attribute(3, digits(3))))
    assert (await app.sync_feed("hotline")).entries == 3
    assert (await app.sync_feed("hotline")).result == "not_modified"
    assert served.asked[-1] == "manifest.json"
    served.put(event(3, attribute(5, digits(5))))
    assert (await app.sync_feed("hotline")).entries == 4
    assert served.asked[-2:] == ["manifest.json", f"{uuid(3)}.json"]
    served.put(event(1, attribute(1, digits(1)), seconds=1_700_000_009))
    assert (await app.sync_feed("hotline")).entries == 3
    snapshot = app.keeper.open().feeds[0].snapshot
    assert [n for n in range(9) if snapshot.exact("md5", bytes.fromhex(digits(n)))] == [1, 3, 5]
    snapshot.close()
