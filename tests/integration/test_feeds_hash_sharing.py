"""Hash-sharing services through the whole of syncing: configuration, confined processes, the index in use."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from simulators.ncmec import Ncmec, Record
from simulators.serving import Service, md5
from simulators.tat import Tat
from simulators.tat import record as tat_record

from scanner.app import App
from scanner.app.exchanging import check_exchanges
from scanner.app.state import StateDirectory
from scanner.cli.main import main
from scanner.config import Config, FeedConfig, load
from scanner.model.errors import ConfigError

HOUR = 3600
DOCS = Path(__file__).parents[2] / "docs/sources"


def app_of(tmp_path: Path, service: Service, exchange: str, secret: str, **options: str) -> App:
    (tmp_path / "secret").write_text(secret)
    feed = FeedConfig(
        name="shared", url=service.url, exchange=exchange, basic_file=tmp_path / "secret", options=options
    )
    app = App(Config(feeds=(feed,)), StateDirectory(tmp_path / "state", tmp_path / "state" / "quarantine"))
    app.state.prepare()
    return app


def found(app: App, number: object) -> int:
    """How many entries list a value."""
    lists = app.keeper.open()
    try:
        return len(lists.feeds[0].snapshot.exact("md5", bytes.fromhex(md5(number))))
    finally:
        for feed in lists.feeds:
            feed.snapshot.close()


async def test_a_whole_list_comes_through_the_confined_processes(tmp_path: Path) -> None:
    now = int(time.time())
    async with Ncmec() as service:
        service.clock = now
        service.records = [Record(n % 2, f"i{n}", now - HOUR, {"md5": md5(n)}) for n in range(10)]
        service.records.append(Record(1, "v", now - HOUR, {"md5": md5(3)}, "B1", "video"))
        service.records.append(Record(9, "i1", now - HOUR, {"md5": md5("other")}))
        app = app_of(tmp_path, service, "ncmec", "member:secret\n", members="0,1")
        change = await app.sync_feed("shared")
        assert (change.result, change.entries) == ("updated", 11)
        assert [found(app, n) for n in (0, 3, "other")] == [1, 2, 0]
        assert app.keeper.store.state("shared").format == "ncmec"
        service.clock += HOUR
        assert (await app.sync_feed("shared")).result == "not_modified"
        assert service.ranges()[-1][0] == now - 30 - 600  # it went on from where it had come to


async def test_changes_and_tombstones_come_into_the_list_in_use(tmp_path: Path) -> None:
    now = int(time.time())
    async with Ncmec() as service:
        service.clock = now
        same = Record(1, "a", now - HOUR, {"md5": md5("same")})
        kept = [Record(1, f"i{n}", now - HOUR, {"md5": md5(n)}) for n in range(5)]
        service.records = [same, replace(same, member=2), *kept]
        app = app_of(tmp_path, service, "ncmec", "member:secret")
        await app.sync_feed("shared")
        for left in (1, 0):
            service.clock += HOUR
            gone = replace(same, member=1 + left, time=service.clock - 60, deleted=True)
            new = Record(1, f"n{left}", service.clock - 60, {"md5": md5(f"new{left}")})
            service.records += [gone, new]
            assert (await app.sync_feed("shared")).result == "updated"
            assert (found(app, "same"), found(app, 0), found(app, f"new{left}")) == (left, 1, 1)


async def test_a_protocol_that_logs_in_gets_the_secret_in_its_process(tmp_path: Path) -> None:
    async with Tat() as service:
        service.tell(*(tat_record(n, 1000 + n, md5(n)) for n in range(1, 8)))
        app = app_of(tmp_path, service, "tat", "name:pass:word&x=1")
        assert (await app.sync_feed("shared")).entries == 7


async def test_wrong_options_are_refused_before_anything_is_asked(tmp_path: Path) -> None:
    async with Ncmec() as service:
        app = app_of(tmp_path, service, "ncmec", "member:secret", sinse="2020-01-01")
        with pytest.raises(ConfigError, match="feed shared: options: there is no option 'sinse'"):
            await app.sync_feed("shared")
        assert not service.requests


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        ("exchange: nzmec", r"feeds\[0\]\.exchange: feed shared: there is none; known: .*ncmec"),
        (
            "exchange: ncmec, options: {since: soon}",
            r"feeds\[0\]\.options: feed shared: since: expected a day",
        ),
        ("exchange: threatexchange", r"feeds\[0\]\.options: feed shared: privacy_group is missing"),
    ],
)
def test_config_check_names_the_feed_and_the_key(tmp_path: Path, feed: str, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"feeds:\n  - {{name: shared, url: https://hashes.example, {feed}}}\n")
    done = CliRunner().invoke(main, ["-c", str(path), "--state-dir", str(tmp_path / "s"), "config", "check"])
    assert isinstance(done.exception, ConfigError)
    assert re.search(message, str(done.exception))


@pytest.mark.parametrize("page", ["ncmec", "threatexchange", "stopncii", "tech-against-terrorism"])
def test_what_the_pages_of_the_sources_tell_to_write_is_taken(
    tmp_path: Path, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    text = (DOCS / f"{page}.md").read_text()
    (written,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "config.yaml").write_text(written)
    check_exchanges(load(tmp_path / "config.yaml"))
