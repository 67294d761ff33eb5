"""A list that lost most of its entries is not believed: it would blind us, by mistake or on purpose."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from scanner.app import App
from scanner.app.state import StateDirectory
from scanner.cli.main import main
from scanner.config import Config, FeedConfig
from scanner.model.errors import BusyError, FeedRefusedError


def write(path: Path, entries: int, hashes: tuple[str, ...] = ("md5", "sha256")) -> None:
    lines = [",".join(hashes)]
    for n in range(entries):
        lines.append(",".join(hashlib.new(kind, b"%d" % n).hexdigest() for kind in hashes))
    path.write_text("\n".join(lines) + "\n")


def app_of(tmp_path: Path, max_shrink: float = 0.9) -> App:
    feed = FeedConfig(name="police", url=f"file://{tmp_path}/list.csv", format="csv", max_shrink=max_shrink)
    app = App(Config(feeds=(feed,)), StateDirectory(tmp_path / "state", tmp_path / "state" / "quarantine"))
    app.state.prepare()
    return app


async def test_a_list_that_lost_more_than_it_may_is_refused_and_the_last_good_one_stays(
    tmp_path: Path,
) -> None:
    app, source = app_of(tmp_path), tmp_path / "list.csv"
    write(source, 200)
    assert (await app.sync_feed("police")).entries == 200
    good = app.keeper.store.current("police")
    write(source, 19)
    with pytest.raises(FeedRefusedError, match=r"19 entries where the one in use has 200.*--accept"):
        await app.sync_feed("police")
    source.write_text("md5,sha256\n")
    with pytest.raises(FeedRefusedError):  # an empty one is refused whatever is accepted
        await app.sync_feed("police", accept=True)
    assert app.keeper.store.current("police") == good
    assert app.keeper.open().feeds[0].snapshot.counts["sha256"] == 200
    write(source, 19)
    with capture_logs() as logs:
        assert (await app.sync_feed("police", accept=True)).entries == 19
    assert [e["event"] for e in logs].count("feed_shrink_accepted") == 2  # entries and hashes
    write(source, 1)
    with pytest.raises(FeedRefusedError):  # it was for once
        await app.sync_feed("police")


async def test_what_may_be_lost_is_configured_and_hashes_count_as_well(tmp_path: Path) -> None:
    app, source = app_of(tmp_path, max_shrink=0.4), tmp_path / "list.csv"
    write(source, 20)
    await app.sync_feed("police")
    write(source, 12)
    assert (await app.sync_feed("police")).entries == 12
    write(source, 12, ("md5",))  # as many entries, half of the hashes
    with pytest.raises(FeedRefusedError, match="12 hashes where the one in use has 24"):
        await app.sync_feed("police")


def test_accepting_is_a_decision_about_one_list(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--state-dir", str(tmp_path), "feed", "sync", "--accept"])
    assert done.exit_code == 2


async def test_a_sync_waits_for_the_one_that_is_under_way_as_long_as_it_is_told(tmp_path: Path) -> None:
    write(tmp_path / "list.csv", 3)
    app = app_of(tmp_path)
    other = app.keeper.store.lock("police")
    with pytest.raises(BusyError):
        await app.sync_feed("police")
    waiting = asyncio.create_task(app.sync_feed("police", wait=60))
    await asyncio.sleep(0)
    other.release()
    assert (await waiting).entries == 3
