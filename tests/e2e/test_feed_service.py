"""`hostsweep feed daemon`: lists synced by a service of its own, taken up by a daemon that never writes
there."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from e2e_host import COMMAND, Host, picture, wait_for

FEEDS_USER = 48123  # a number without a name


@dataclass
class Services:
    """Both services on a host; `feeds` is the feeds' directory."""

    host: Host
    config: Path
    feeds: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *verb: str) -> subprocess.Popen[bytes]:
        with (self.host.base / "log").open("ab") as log:
            command = [COMMAND, "-c", str(self.config), "--state-dir", str(self.host.state)]
            process = subprocess.Popen([*command, "--log-format", "json", *verb], stderr=log)
        self.running.append(process)
        return process

    def log(self) -> str:
        return (self.host.base / "log").read_text()

    def written(self) -> set[tuple[str, int, int]]:
        """All that is in the feeds' directory, with owners and times."""
        found = [self.feeds, *self.feeds.rglob("*")]
        return {(str(p), p.lstat().st_uid, p.lstat().st_mtime_ns) for p in found}


def _wait(condition: Callable[[], object]) -> None:
    wait_for(condition, 60)  # several processes have to start, one after the other


@pytest.fixture
def services() -> Iterator[Services]:
    # Not below pytest's own folder, which is closed to other users.
    base = Path(tempfile.mkdtemp(prefix="hostsweep-feeds-"))
    base.chmod(0o755)
    host = Host(base)
    host.tree.mkdir()
    config, feeds = base / "config.yaml", base / "feeds"
    feeds.mkdir(mode=0o700)
    if os.geteuid() == 0:  # as a service would: root becomes the user whose the directory is
        os.chown(feeds, FEEDS_USER, FEEDS_USER)
    made = Services(host, config, feeds)
    config.write_text(
        f"volumes: [{{name: web, path: {host.tree}}}]\n"
        f"feeds: [{{name: police, url: 'file://{base}/list.txt', every: 1s}}]\n"
        f"sync: {{by: service}}\nfeeds_directory: {feeds}\n"
        "schedule: {scan_every: 1d}\nhashing: {workers: 1}\nhttp: {listen: '127.0.0.1:0'}\n"
    )
    host.list_of("ab" * 16 + "\n")
    yield made
    for process in made.running:
        process.kill()
        process.wait()
    shutil.rmtree(base)


@pytest.mark.long
def test_a_list_of_the_service_reaches_known_files_by_a_daemon_that_does_not_sync(services: Services) -> None:
    host = services.host
    victim = host.save("a/bad.jpg", picture(1))
    host.until_old()
    syncer = services.start("feed", "daemon")
    _wait(lambda: '"feed_synced"' in services.log())
    daemon = services.start("daemon")
    _wait(lambda: '"scan_finished"' in services.log())
    host.list_of(hashlib.sha256(victim.read_bytes()).hexdigest() + "  x\n", "new")
    (host.base / "new").rename(host.base / "list.txt")
    _wait(lambda: not victim.exists())
    assert services.log().count('"scan_finished"') == 1  # known, not read again

    second = host.run("feed", "daemon", config=services.config)
    assert second.code == 2 and "another syncing service is running" in second.err
    syncer.send_signal(signal.SIGHUP)
    _wait(lambda: '"reloaded"' in services.log())
    syncer.send_signal(signal.SIGTERM)
    assert syncer.wait(20) == 0
    before = services.written()
    # What the daemon, or a command that only looks, finds damaged it leaves to the service, if it is not
    # its user.
    assert host.run("feed", "list", config=services.config).code == 0
    assert daemon.poll() is None
    assert services.written() == before


def test_the_service_refuses_a_configuration_by_which_the_daemon_syncs(services: Services) -> None:
    services.config.write_text("feeds: [{name: police, url: 'file:///list.txt'}]\n")
    done = services.host.run("feed", "daemon", config=services.config)
    assert done.code == 2 and "sync.by" in done.err


@pytest.mark.root
def test_root_syncs_as_the_user_whose_the_lists_are(services: Services) -> None:
    host, feeds = services.host, services.feeds
    done = host.run("feed", "sync", config=services.config)
    assert done.code == 0, done.err
    closed = host.base / "closed.txt"
    closed.write_text("cd" * 16 + "\n")
    closed.chmod(0o600)  # root's: opened before root becomes another
    assert host.run("feed", "import", str(closed), "--name", "police", config=services.config).code == 0
    assert {uid for _, uid, _ in services.written()} == {FEEDS_USER}
    (feeds / "police/state.json").write_text("damaged")
    before = services.written()
    assert "police" in host.run("feed", "list", config=services.config).out
    assert services.written() == before
    shutil.rmtree(feeds)
    refused = host.run("feed", "sync", config=services.config)
    assert refused.code == 2 and "not there yet" in refused.err
