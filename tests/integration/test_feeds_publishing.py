"""Publishing a list and following it, through the real processes and a real web server."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import http.server
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from simulators.authority import Authority
from simulators.nginx import Nginx, needs_nginx, nginx

from scanner.app import App
from scanner.app.importing import opened_list
from scanner.app.signing_keys import signing_key
from scanner.app.state import StateDirectory
from scanner.config import Config, FeedConfig
from scanner.feeds.tree.writing import Published
from scanner.feeds.trust.signing import KeyPair, make_key_pair
from scanner.model.errors import ConfigError, FeedError, FeedTrustError
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


def publish(tmp_path: Path, tree: Path, numbers: range, key: KeyPair | None = None) -> Published:
    source = tmp_path / "police.txt"
    source.write_text("".join(f"{md5(n).hex()}\n" for n in numbers))
    app = App(Config(), StateDirectory(tmp_path / "publisher", tmp_path / "publisher" / "quarantine"))
    app.state.prepare()
    feed = app.keeper.of_file("police", "auto")
    with opened_list(source) as descriptor:
        return asyncio.run(app.publisher().publish_list(feed, source, descriptor, tree, key))


def command(tmp_path: Path, source: Path, tree: Path, *more: str) -> subprocess.CompletedProcess[str]:
    options = ["--state-dir", str(tmp_path / "publisher"), "feed", "publish"]
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "scanner",
            *options,
            "--from",
            str(source),
            "--to",
            str(tree),
            "--json",
            *more,
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )


def follower(tmp_path: Path, url: str, **keys: Any) -> App:
    told = {"name": "police", "url": url, "exchange": "tree", "max_shrink": 1.0, **keys}
    feed = FeedConfig.model_validate(told)
    state = StateDirectory(tmp_path / "follower", tmp_path / "follower" / "quarantine")
    app = App(Config(feeds=(feed,)), state)
    app.state.prepare()
    return app


def listed(app: App, n: int) -> bool:
    index = app.keeper.open().index
    return bool(index.match(Digests(1, "image/png", {"md5": md5(n)})))


def test_a_published_list_is_followed_from_change_to_change(tmp_path: Path, tree: Path, url: str) -> None:
    (tmp_path / "police.txt").write_text("".join(f"{md5(n).hex()}\n" for n in range(1000)))
    done = command(tmp_path, tmp_path / "police.txt", tree)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["serial"] == 1
    app = follower(tmp_path, url)
    assert asyncio.run(app.sync_feed("police")).entries == 1000
    assert listed(app, 3)
    assert asyncio.run(app.sync_feed("police")).result == "not_modified"
    told = publish(tmp_path, tree, range(5, 1010))
    assert (told.serial, told.added, told.removed) == (2, 10, 5)
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


def keys_of(pair: KeyPair) -> dict[str, Any]:
    """A follower's side of a publisher's key."""
    return {"signature": {"kind": "minisign", "keys": (pair.public.encoded(),)}}


def test_a_signed_tree_is_believed_and_nothing_else(tmp_path: Path, tree: Path, url: str) -> None:
    pair = make_key_pair()
    publish(tmp_path, tree, range(100), pair)
    app = follower(tmp_path, url, **keys_of(pair))
    assert asyncio.run(app.sync_feed("police")).entries == 100
    assert asyncio.run(app.sync_feed("police")).result == "not_modified"
    # Somebody else takes over the web server, and signs with a key of his own.
    shutil.rmtree(tree)
    tree.mkdir()
    publish(tmp_path, tree, range(1, 100), make_key_pair())
    with pytest.raises(FeedTrustError):
        asyncio.run(app.sync_feed("police"))
    publish(tmp_path, tree, range(2, 100))  # or not at all
    with pytest.raises(FeedTrustError):
        asyncio.run(app.sync_feed("police"))
    assert listed(app, 0)


def test_a_file_that_the_signed_notification_does_not_name_is_never_loaded(
    tmp_path: Path, tree: Path, url: str
) -> None:
    pair = make_key_pair()
    publish(tmp_path, tree, range(100), pair)
    part = next(tree.rglob("snapshot-*"))
    part.write_bytes(gzip.compress(gzip.decompress(part.read_bytes()).replace(b"a", b"b"), 6, mtime=0))
    with pytest.raises(FeedError):
        asyncio.run(follower(tmp_path, url, **keys_of(pair)).sync_feed("police"))


@needs_nginx
def test_members_follow_a_tree_of_a_real_web_server_over_lines_that_break(tmp_path: Path) -> None:
    """nginx with client certificates; the worker that serves the snapshot is killed again and again."""
    authority = Authority(tmp_path / "authority")
    certificate, key = authority.issue("member")
    tree = tmp_path / "web"
    pair = make_key_pair()
    publish(tmp_path, tree, range(20_000), pair)
    with nginx(tmp_path / "nginx", tree, authority, client_certificates=True) as server:
        stranger = follower(tmp_path / "stranger", server.url, ca_file=authority.ca, **keys_of(pair))
        with pytest.raises(FeedError, match="400"):
            asyncio.run(stranger.sync_feed("police"))
        mine = {"ca_file": authority.ca, "certificate_file": certificate, "certificate_key_file": key}
        app = follower(tmp_path, server.url, **mine, **keys_of(pair))
        killer = threading.Thread(target=_kill_some_workers, args=(server,))
        killer.start()
        assert asyncio.run(app.sync_feed("police")).entries == 20_000
        killer.join()
        before = len(server.log())
        assert asyncio.run(app.sync_feed("police")).result == "not_modified"
        assert [line.split()[2] for line in server.log()[before:]] == ["304"]
        publish(tmp_path, tree, range(100, 20_100), pair)
        before = len(server.log())
        assert asyncio.run(app.sync_feed("police")).entries == 20_000
        sent = sum(int(line.split()[3]) for line in server.log()[before:])
    assert listed(app, 20_050) and not listed(app, 50)
    assert sent < 3 * 200 * 110  # the lines of what came and went, three times


def _kill_some_workers(server: Nginx) -> None:
    """While the first files are asked for."""
    for _ in range(3):
        while len(server.log()) < 2:
            time.sleep(0.01)
        server.kill_workers()
        time.sleep(0.05)


def test_a_key_is_made_once_and_read_by_nobody_else(tmp_path: Path) -> None:
    made = signing_key(tmp_path / "k.key", make=True)
    assert signing_key(tmp_path / "k.key", make=True) == made
    assert made.public.encoded() in (tmp_path / "k.pub").read_text()
    (tmp_path / "k.key").chmod(0o640)
    with pytest.raises(ConfigError, match="others may read this key"):
        signing_key(tmp_path / "k.key", make=False)
    with pytest.raises(ConfigError, match="--new-key"):
        signing_key(tmp_path / "other.key", make=False)
