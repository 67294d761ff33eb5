"""Lists of known files: imported by a process without rights, never taken for illegal, and a veto."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from fuzz_targets import _foreign as made

from scanner.app import App
from scanner.app.importing import opened_list
from scanner.app.state import StateDirectory
from scanner.cli.main import main
from scanner.config import Config, FeedConfig, load
from scanner.model.errors import ConfigError, FeedFormatError, FeedRefusedError


def app_of(tmp_path: Path, *feeds: FeedConfig) -> App:
    app = App(Config(feeds=feeds), StateDirectory(tmp_path / "state", tmp_path / "state" / "quarantine"))
    app.state.prepare()
    return app


def rds3(entries: int) -> bytes:
    kinds = ("sha256", "sha1", "md5")
    return made.rds3([tuple(hashlib.new(k, b"%d" % n).hexdigest() for k in kinds) for n in range(entries)])


async def test_a_database_is_read_in_the_folder_of_its_process_and_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "list"
    app = app_of(tmp_path, FeedConfig(name="known", url=f"file://{source}", polarity="benign"))
    source.write_bytes(gzip.compress(rds3(3000)))
    assert (await app.sync_feed("known")).entries == 3000
    assert app.keeper.store.state("known").format == "nsrl"
    source.write_bytes(rds3(2900))
    with opened_list(source) as descriptor:  # by hand, from wherever it is
        change = await app.syncing.by_hand.import_file(app.keeper.feed("known"), source, descriptor)
    assert change.entries == 2900
    source.write_bytes(rds3(2900)[:-4096])
    with pytest.raises(FeedFormatError, match="cut short"):
        await app.sync_feed("known")
    assert app.keeper.open().feeds[0].snapshot.counts == {"sha256": 2900}
    assert list(app.state.feeds_work.iterdir()) == []
    with pytest.raises(FeedRefusedError, match="polarity: benign"):  # named to a scan it would be illegal
        source.write_bytes(rds3(3))
        await app.keeper.adhoc.open(str(source), [])


@pytest.mark.parametrize(
    ("feed", "told"),
    [
        ("{format: nsrl}", r"config\.yaml:2: feeds\[0\]\.format: .*known software.*polarity: benign"),
        ("{format: nsrl-text, polarity: illegal}", "never one of illegal material"),
        ("{format: vix}", "expected one of plain, csv, .*, found 'vix'"),
        ("{url: 'https://h.example/daily.mdb'}", r"feeds\[0\]\.url: .*sections of Windows programs"),
    ],
)
def test_a_format_that_does_not_fit_is_refused_by_the_configuration_check(
    tmp_path: Path, feed: str, told: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        f"feeds:\n  - {{name: a, url: 'https://h.example/l', {feed[1:]}\n".replace(
            "url: 'https://h.example/l', url", "url"
        )
    )
    app = App(load(path), StateDirectory(tmp_path / "state", tmp_path / "state" / "quarantine"))
    for check in (app.check, app.check_feeds):
        with pytest.raises(ConfigError, match=told):
            check()


def test_what_only_a_files_name_tells_is_refused_by_hand_too(tmp_path: Path) -> None:
    (tmp_path / "a.imp").write_text(f"{hashlib.md5(b'a').hexdigest()}:12:Name-1\n")
    command = ["--state-dir", str(tmp_path / "s"), "feed", "import", str(tmp_path / "a.imp"), "--name", "x"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code != 0
    assert "import tables" in (done.output + str(done.exception))


THEIRS = '''
class Exchange:
    """A protocol of somebody else's."""
    name, format = "theirs", "plain"
class Format:
    """A list of somebody else's."""
    name, default_categories = "their-list", frozenset({"X"})
'''


def test_formats_and_protocols_are_listed_those_of_packages_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "theirs-1.dist-info"
    info.mkdir()
    (tmp_path / "their_package.py").write_text(THEIRS)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[hostsweep.feed_exchanges]\ntheirs = their_package:Exchange\n"
        "[hostsweep.feed_formats]\ntheir-list = their_package:Format\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    shown = CliRunner().invoke(main, ["feed", "list", "--formats"]).output
    told = CliRunner().invoke(main, ["feed", "list", "--formats", "--json"]).output
    found = {each["name"]: each for each in map(json.loads, told.splitlines())}
    ours = ("plain", "csv", "vics", "clamav", "encase", "kdb", "nsrl", "nsrl-text", "c4all")
    for name in (*ours, "their-list", "theirs"):
        assert f"\n{name} " in shown
    benign = {name for name, each in found.items() if each.get("only_benign")}
    assert benign == {"nsrl", "nsrl-text"}
    assert found["vics"]["default_categories"] == ["1", "2"]
    assert found["their-list"]["summary"] == "A list of somebody else's."
    assert (found["theirs"]["type"], found["theirs"]["format"]) == ("exchange", "plain")
