"""TAXII 2.1 as medallion, the server of the standard's own makers, speaks it: through all of a feed's way."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scanner.app import App
from scanner.app.state import StateDirectory
from scanner.config import Config, FeedConfig
from scanner.feeds.times import SECOND, rfc3339
from scanner.model.errors import FeedTransportError
from tests.simulators.taxii import COLLECTION, indicator

BEGIN = 1_750_000_000 * SECOND
HOUR = 3600 * SECOND


@dataclass
class FixedClock:
    ns: int = BEGIN + HOUR

    def now_ns(self) -> int:
        return self.ns

    def monotonic(self) -> float:
        return self.ns / SECOND


def digits(number: int) -> str:
    return hashlib.md5(b"%d" % number).hexdigest()


class Medallion:
    """The server with its backend in memory; pages have at most three objects."""

    def __init__(self, configuration: Path) -> None:
        import medallion
        from werkzeug.serving import make_server

        self.collection: dict[str, Any] = {
            "id": COLLECTION, "title": "hashes", "can_read": True, "can_write": True,
            "media_types": ["application/stix+json;version=2.1"], "objects": [], "manifest": [],
        }  # fmt: skip
        app = medallion.load_app(str(configuration))
        app.medallion_backend.data = {
            "/discovery": {"title": "test", "default": "/api1/", "api_roots": ["/api1/"]},
            "api1": {
                "information": {"title": "test", "versions": ["application/taxii+json;version=2.1"],
                                "max_content_length": 9_000_000},
                "status": [],
                "collections": [self.collection],
            },
        }  # fmt: skip
        self._server = make_server("127.0.0.1", 0, app, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, name="medallion")
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def add(self, number: int, **members: Any) -> None:
        added = rfc3339(BEGIN + number * SECOND)
        record = indicator(number, digits(number), BEGIN + number * SECOND, **members)
        self.collection["objects"].append(record)
        self.collection["manifest"].append(
            {"id": record["id"], "date_added": added, "version": record["modified"],
             "media_type": "application/stix+json;version=2.1"}
        )  # fmt: skip

    def delete(self, number: int) -> None:
        own_id = indicator(number, "", BEGIN)["id"]
        for part in ("objects", "manifest"):
            self.collection[part] = [one for one in self.collection[part] if one["id"] != own_id]


@pytest.fixture(scope="module")
def medallion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Medallion]:
    path = tmp_path_factory.mktemp("medallion") / "config.json"
    backend = {"module": "medallion.backends.memory_backend", "module_class": "MemoryBackend"}
    path.write_text(
        json.dumps(
            {"users": {"u": "pw"}, "taxii": {"max_page_size": 3}, "backend": backend | {"filename": ""}}
        )
    )
    server = Medallion(path)
    yield server
    server.close()


def app_of(tmp_path: Path, url: str, clock: FixedClock, secret: str = "u:pw", **options: str) -> App:
    (tmp_path / "secret").write_text(secret)
    (tmp_path / "secret").chmod(0o600)
    feed = FeedConfig(
        name="hotline", url=url, exchange="taxii", options=options, basic_file=tmp_path / "secret"
    )
    state = StateDirectory(tmp_path / "state", tmp_path / "state" / "quarantine")
    app = App(Config(feeds=(feed,)), state, clock=clock)
    app.state.prepare()
    return app


def listed(app: App) -> set[int]:
    snapshot = app.keeper.open().feeds[0].snapshot
    found = {n for n in range(30) if snapshot.exact("md5", bytes.fromhex(digits(n)))}
    snapshot.close()
    return found


async def test_medallion_is_followed_from_the_first_list_to_the_reconciliation(
    tmp_path: Path, medallion: Medallion
) -> None:
    for number in range(8):
        medallion.add(number)
    medallion.add(9, pattern="[domain-name:value = 'x.invalid']")
    clock = FixedClock()
    app = app_of(tmp_path, medallion.url + "taxii2/", clock, api_root="default", collection=COLLECTION)
    change = await app.sync_feed("hotline")
    assert (change.result, change.entries) == ("updated", 8)
    assert listed(app) == set(range(8))
    clock.ns += HOUR
    assert (await app.sync_feed("hotline")).result == "not_modified"
    medallion.add(10)
    medallion.add(2, revoked=True, modified=rfc3339(BEGIN + 100 * SECOND))
    medallion.collection["manifest"][-1]["date_added"] = rfc3339(BEGIN + 100 * SECOND)
    medallion.collection["manifest"][-1]["version"] = rfc3339(BEGIN + 100 * SECOND)
    clock.ns += HOUR
    assert (await app.sync_feed("hotline")).result == "updated"
    assert listed(app) == set(range(8)) - {2} | {10}
    clock.ns += HOUR
    assert (await app.sync_feed("hotline")).result == "not_modified"
    medallion.delete(3)
    medallion.add(20)
    clock.ns += 24 * HOUR
    assert (await app.sync_feed("hotline")).result == "updated"
    assert listed(app) == set(range(8)) - {2, 3} | {10, 20}


@pytest.mark.parametrize(
    ("path", "secret", "what"),
    [
        (f"api1/collections/{COLLECTION}/", "u:wrong", r"does not know the user \(401\)"),
        ("api1/collections/nothing-like-it/", "u:pw", r"no such API root or collection \(404\)"),
    ],
)
async def test_what_medallion_refuses_is_told(tmp_path, medallion, path, secret, what):
    app = app_of(tmp_path, medallion.url + path, FixedClock(), secret)
    with pytest.raises(FeedTransportError, match=what):
        await app.sync_feed("hotline")
