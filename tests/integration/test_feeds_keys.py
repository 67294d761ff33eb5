"""Lists under a key: made once, read by all, and a list of another key is as good as none."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from scanner.app import App
from scanner.app.health import readiness
from scanner.app.listkeys import ListKeys
from scanner.app.state import StateDirectory
from scanner.app.status import feed_status
from scanner.config import Config
from scanner.index import ListKey, Snapshot, SnapshotBuilder
from scanner.model.errors import ConfigError, ListKeyError, StorageError
from scanner.model.feeds import Entry
from scanner.model.hashes import Digests

LISTED = hashlib.sha1(b"listed").digest()
FILE = Digests(6, "image/png", {"sha1": LISTED})


def app_of(tmp_path: Path, **sync: object) -> App:
    source = tmp_path / "list.txt"
    source.write_text(f"{LISTED.hex()}\n")
    feed = {"name": "police", "url": f"file://{source}"}
    config = Config.model_validate({"feeds": (feed,), "sync": sync})
    app = App(config, StateDirectory(tmp_path / "state", tmp_path / "vault"))
    app.state.prepare()
    return app


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    keys = ListKeys(None, tmp_path)
    assert keys.read() is None
    made = keys.made()
    assert ListKeys(None, tmp_path).made() == made == keys.read()
    assert stat.S_IMODE((tmp_path / "lists.key").stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["lists.key"]


def test_of_two_that_make_a_key_at_once_both_use_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = bytes(range(32))
    link = os.link

    def late(*args: object, **options: object) -> None:
        (tmp_path / "lists.key").write_bytes(other)
        link(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("scanner.app.listkeys.os.link", late)
    assert ListKeys(None, tmp_path).made() == ListKey(other)
    assert [p.name for p in tmp_path.iterdir()] == ["lists.key"]


def test_a_key_that_is_none_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "lists.key").write_text("short")
    with pytest.raises(StorageError, match="32 bytes or 64 hexadecimal digits") as damaged:
        ListKeys(None, tmp_path).made()
    assert "fetched again" in damaged.value.remedy and "short" not in str(damaged.value)
    for path in (tmp_path / "lists.key", tmp_path / "missing", tmp_path):
        with pytest.raises(ConfigError, match="the key of the lists can't be used"):
            ListKeys(path, tmp_path).made()
    configured = tmp_path / "configured"
    configured.write_text("5" * 64 + "\n")
    configured.chmod(0o644)
    keys = ListKeys(configured, tmp_path)
    assert keys.made() == ListKey(b"\x55" * 32)
    assert "chmod 600" in keys.check()[0]


async def test_a_list_of_another_key_is_missing_until_it_was_fetched_anew(tmp_path: Path) -> None:
    app = app_of(tmp_path)
    await app.sync_feed("police")
    assert (await app.sync_feed("police")).result == "not_modified"
    before = app.keeper.open()
    assert before.index.match(FILE)
    current = app.keeper.store.current("police")
    assert current is not None and LISTED not in current.read_bytes()

    (app.state.feeds / "lists.key").write_bytes(bytes(32))
    with capture_logs() as logs:
        after = app.keeper.open()
    assert not after.feeds and [e["event"] for e in logs] == ["feed_list_unusable"]
    checks = readiness(app.config, app.keeper, app.vault, after, app.clock).checks
    (check,) = [c for c in checks if c.name == "feed:police"]
    assert not check.ok and "another one" in check.text
    shown = feed_status(app, "police")
    assert not shown["loaded"] and "another one" in shown["last_error"]
    assert app.feed_due_in("police") == 0.0
    # Who had it open goes on with it.
    kept = app.keeper.open(before=before)
    assert kept.index.match(FILE) and kept.places == {"police": current}

    assert (await app.sync_feed("police")).result == "updated"
    whole = app.keeper.open(before=kept)
    assert whole.index.match(FILE) and not whole.unusable
    assert whole.feeds[0].snapshot.key == ListKey(bytes(32))
    assert feed_status(app, "police")["loaded"] and app.feed_due_in("police") > 0


async def test_without_the_key_nothing_is_loaded_and_nobody_falls(tmp_path: Path) -> None:
    app = app_of(tmp_path)
    await app.sync_feed("police")
    (app.state.feeds / "lists.key").write_text("damaged")
    lists = app.keeper.open()
    assert not lists.feeds and "that key is not here" in lists.unusable["police"]
    (app.state.feeds / "lists.key").unlink()
    assert not app.keeper.open().feeds
    assert (await app.sync_feed("police")).result == "updated"
    assert app.keeper.open().index.match(FILE)


async def test_a_list_from_before_there_were_keys_serves_until_the_next_one(tmp_path: Path) -> None:
    app = app_of(tmp_path)
    await app.sync_feed("police")
    current = app.keeper.store.current("police")
    assert current is not None
    builder = SnapshotBuilder()
    builder.add(Entry((("sha1", LISTED),)))
    builder.finish(current, meta={"feed": "police", "format": "plain", "built_ns": 1})
    assert app.keeper.open().index.match(FILE)
    assert app.feed_due_in("police") == 0.0
    assert (await app.sync_feed("police")).result == "updated"
    assert app.keeper.open().feeds[0].snapshot.key is not None


async def test_a_configured_key_is_used_for_configured_and_named_lists(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_bytes(bytes(range(32)))
    secret.chmod(0o600)
    app = app_of(tmp_path, key_file=str(secret))
    await app.sync_feed("police")
    named = await app.keeper.adhoc.open(str(tmp_path / "list.txt"), ())
    lists = await asyncio.to_thread(app.keeper.open, [named])
    assert [f.snapshot.key for f in lists.feeds] == [ListKey(bytes(range(32)))] * 2
    assert [m.feed for m in lists.index.match(FILE)] == ["list", "police"]
    assert not (app.state.feeds / "lists.key").exists()
    secret.write_bytes(bytes(32))
    again = await app.keeper.adhoc.open(str(tmp_path / "list.txt"), ())  # imported anew
    assert again.snapshot.key == ListKey(bytes(32))
    with pytest.raises(ListKeyError, match="another one"):
        Snapshot.open(app.keeper.store.current("police") or tmp_path, key=ListKey(bytes(32)))
