"""Publishing a list and following it, through the real processes and a real web server."""

from __future__ import annotations

import asyncio
import hashlib
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from scanner.app import App
from scanner.app.state import StateDirectory
from scanner.config import Config, FeedConfig
from scanner.model.hashes import Digests


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return tmp_path / "web"


@pytest.fixture
def url(tree: Path) -> Iterator[str]:
    tree.mkdir()
    handler = partial(_Quiet, directory=str(tree))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def md5(n: int) -> bytes:
    return hashlib.md5(b"%d" % n).digest()


def publish(tmp_path: Path, tree: Path, numbers: range) -> dict[str, object]:
    source = tmp_path / "police.txt"
    source.write_text("".join(f"{md5(n).hex()}\n" for n in numbers))
    done = command(tmp_path, source, tree)
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


def command(tmp_path: Path, source: Path, tree: Path) -> subprocess.CompletedProcess[str]:
    options = ["--state-dir", str(tmp_path / "publisher"), "feed", "publish"]
    return subprocess.run(
        [sys.executable, "-m", "scanner", *options, "--from", str(source), "--to", str(tree), "--json"],
        capture_output=True,
        text=True,
        timeout=120,
    )


def follower(tmp_path: Path, url: str) -> App:
    feed = FeedConfig(name="police", url=url, exchange="tree", max_shrink=1)
    state = StateDirectory(tmp_path / "follower", tmp_path / "follower" / "quarantine")
    app = App(Config(feeds=(feed,)), state)
    app.state.prepare()
    return app


def listed(app: App, n: int) -> bool:
    index = app.keeper.open().index
    return bool(index.match(Digests(1, "image/png", {"md5": md5(n)})))


def test_a_published_list_is_followed_from_change_to_change(tmp_path: Path, tree: Path, url: str) -> None:
    assert publish(tmp_path, tree, range(1000))["serial"] == 1
    app = follower(tmp_path, url)
    assert asyncio.run(app.sync_feed("police")).entries == 1000
    assert listed(app, 3)
    assert asyncio.run(app.sync_feed("police")).result == "not_modified"
    told = publish(tmp_path, tree, range(5, 1010))
    assert (told["serial"], told["added"], told["removed"]) == (2, 10, 5)
    assert asyncio.run(app.sync_feed("police")).entries == 1005
    assert listed(app, 1007)
    assert not listed(app, 3)


def test_what_can_not_be_published_is_told_and_the_tree_stays(tmp_path: Path, tree: Path, url: str) -> None:
    publish(tmp_path, tree, range(10))
    before = (tree / "latest.json").read_bytes()
    (tmp_path / "broken.txt").write_text("this is no list\n")
    done = command(tmp_path, tmp_path / "broken.txt", tree)
    assert done.returncode == 2
    assert "broken.txt" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tree / "latest.json").read_bytes() == before
