"""Our own directories in the middle of a volume: never scanned, never secured, never in reach."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from scanner.app import App
from scanner.app.reporters import MetricsReporter
from scanner.app.state import StateDirectory
from scanner.config import Config, Hashing, VolumeConfig
from scanner.daemon import Daemon
from scanner.model.errors import ConfigError
from scanner.model.outcomes import ScanCounts

BAD = b"GIF89a bad"


def app_in(volume: Path, vault: Path | None = None) -> App:
    """An app whose state lies in a closed directory of the volume that it scans."""
    closed = volume / "closed"
    closed.mkdir(mode=0o700, exist_ok=True)
    config = Config(
        volumes=(VolumeConfig(name="all", path=volume),), hashing=Hashing(workers=1, select="all")
    )
    state = closed / "state"
    return App(config, StateDirectory(state, vault or state / "quarantine"))


def scan(app: App, feed: Path) -> ScanCounts:
    outcome = asyncio.run(
        app.scan_paths(
            [Path(app.config.volumes[0].path)], [str(feed)], MetricsReporter(app.metrics, app.clock),
            threading.Event(), quarantine=True, full=True,
        )
    )  # fmt: skip
    return outcome.counts


def test_state_lists_vault_and_staging_in_a_volume_are_left_out_from_the_first_scan_on(
    tmp_path: Path,
) -> None:
    feed, volume = tmp_path / "list.txt", tmp_path / "volume"
    feed.write_text(hashlib.sha256(BAD).hexdigest() + "  x\n")
    for n in range(3):
        (volume / f"www{n}").mkdir(parents=True)
        (volume / f"www{n}" / "bad.gif").write_bytes(BAD)
    app = app_in(volume)
    app.check()
    first = scan(app, feed)
    assert first.secured == first.matched == 3 and first.errors == 0 and first.balanced
    assert first.directories == 5  # the root, www0 to www2, closed: neither state nor staging
    own = sum(1 for p in app.state.path.rglob("*") if p.is_file())
    assert {p.relative_to(app.state.path).parts[0] for p in app.state.path.rglob("*")} >= {
        "feeds",
        "quarantine",
    }
    # Copies of the secured content lie in the vault by now: a scan that looked there would secure them again.
    second = scan(app, feed)
    assert second.matched == 0 and second.directories == 5 and second.complete
    assert second.skipped["own"] >= own
    assert app.vault.usage()[0] == 3


async def test_a_daemon_whose_vault_customers_could_reach_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    app = app_in(tmp_path / "www", vault=tmp_path / "www" / "customer" / "vault")
    with pytest.raises(ConfigError, match="customers or the web server can reach it"), capture_logs():
        await Daemon(lambda: app).run()
    assert not (tmp_path / "www" / "customer").exists()
