"""`hostsweep daemon`, run for real: schedules, signals, readiness, and what happens when it is killed."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e_host import COMMAND, Host, picture, wait_for


@dataclass
class Running:
    """A daemon, its address, and what it tells the service manager."""

    host: Host
    config: Path
    port: int
    manager: socket.socket
    process: subprocess.Popen[bytes] | None = None

    def write(self, every: str = "1s", brake: str = "", http: str = "") -> None:
        self.config.write_text(
            f"volumes: [{{name: web, path: {self.host.tree}}}]\n"
            f"feeds: [{{name: police, url: 'file://{self.host.base}/list.txt', every: {every}}}]\n"
            f"schedule: {{scan_every: {every}}}\n"
            f"http: {{listen: '127.0.0.1:{self.port}'{http}}}\n{brake}"
        )

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                COMMAND,
                "-c",
                str(self.config),
                "--state-dir",
                str(self.host.state),
                "--log-format",
                "json",
                "daemon",
            ],
            stderr=(self.host.base / "log").open("ab"),
            env={
                "NOTIFY_SOCKET": self.manager.getsockname(),
                "WATCHDOG_USEC": "1000000",
                "PATH": "/usr/bin:/bin",
            },
        )
        self.told("READY=1")

    def told(self, what: str) -> None:
        """Wait until the service manager is told something."""
        while what not in self.manager.recv(4096).decode():
            pass

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def ask(self, method: str, path: str, token: str) -> tuple[int, str]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", method=method, headers={"Authorization": f"Bearer {token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def metric(self, line: str) -> float:
        text = self.get("/metrics")[1]
        return float(next((v.rsplit(" ", 1)[1] for v in text.splitlines() if v.startswith(line)), "nan"))

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(10)

    def log(self) -> list[dict[str, object]]:
        return [
            json.loads(line) for line in (self.host.base / "log").read_text().splitlines() if line[:1] == "{"
        ]


@pytest.fixture
def daemon(host: Host) -> Iterator[Running]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(host.base / "notify"))
    manager.settimeout(20)
    running = Running(host, host.base / "config.yaml", port, manager)
    running.write()
    host.list_of("ab" * 16 + "\n")
    yield running
    if running.process is not None and running.process.poll() is None:
        running.process.kill()
        running.process.wait()
    manager.close()


def listed(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() + "  x\n"


def test_it_syncs_scans_secures_serves_and_stops_cleanly(daemon: Running) -> None:
    host = daemon.host
    victim, innocent = host.save("a/bad.jpg", picture(1)), host.save("a/good.jpg", picture(2))
    host.list_of(listed(victim))
    daemon.start()
    wait_for(lambda: not victim.exists())
    wait_for(lambda: daemon.metric("hostsweep_quarantine_items") == 1)
    assert innocent.exists()
    assert daemon.get("/healthz")[0] == 200
    wait_for(lambda: daemon.get("/readyz")[0] == 200)
    assert daemon.metric('hostsweep_hits_total{action="quarantined",feed="police",kind="sha256"}') == 1
    assert daemon.metric("hostsweep_exposure_seconds_count") == 1
    daemon.told("WATCHDOG=1")
    assert daemon.stop() == 0
    assert host.run("quarantine", "verify").code == 0


def test_a_new_entry_reaches_known_files_at_the_next_poll(daemon: Running) -> None:
    host = daemon.host
    victim = host.save("a/known.jpg", picture(1))
    host.until_old()
    daemon.start()
    wait_for(lambda: daemon.metric('hostsweep_files_total{outcome="unchanged",volume="web"}') > 0)
    hashed = daemon.metric('hostsweep_bytes_hashed_total{volume="web"}')
    host.list_of(listed(victim))
    wait_for(lambda: not victim.exists())
    assert daemon.metric('hostsweep_bytes_hashed_total{volume="web"}') == hashed


def test_a_second_daemon_on_the_same_state_is_refused_with_a_clear_message(daemon: Running) -> None:
    daemon.start()
    second = daemon.host.run("daemon", config=daemon.config)
    assert second.code == 2 and "another daemon is running" in second.err
    assert daemon.process is not None and str(daemon.process.pid) in second.err


def test_reload_takes_a_good_configuration_and_refuses_a_wrong_one(daemon: Running) -> None:
    daemon.start()
    assert daemon.process is not None
    daemon.config.write_text("volumes: nonsense\n")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.told("RELOADING=1")
    daemon.told("READY=1")
    assert "reload_refused" in [e["event"] for e in daemon.log()]
    assert daemon.get("/healthz")[0] == 200
    daemon.write(every="2s")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.told("READY=1")
    assert "reloaded" in [e["event"] for e in daemon.log()]


def test_killed_in_the_middle_it_recovers_at_the_next_start_and_loses_nothing(daemon: Running) -> None:
    host = daemon.host
    victims = [host.save(f"d{n}/v{n}.jpg", picture(n)) for n in range(40)]
    content = {hashlib.sha256(v.read_bytes()).hexdigest() for v in victims}
    host.list_of("".join(map(listed, victims)))
    daemon.start()
    wait_for(lambda: sum(v.exists() for v in victims) < 30)
    daemon.stop(signal.SIGKILL)
    assert any(v.exists() for v in victims), "everything was secured before the kill: it proved nothing"
    daemon.start()
    wait_for(lambda: not any(v.exists() for v in victims))
    wait_for(lambda: daemon.metric("hostsweep_quarantine_items") == 40)
    assert daemon.stop() == 0
    items = host.run("quarantine", "list", "--json").events
    assert {i["digests"]["sha256"] for i in items} == content and len(items) == 40
    assert host.run("quarantine", "verify").code == 0
    assert not list((host.tree / ".hostsweep-staging").iterdir())


def test_a_list_that_becomes_unusable_keeps_the_last_good_one(daemon: Running) -> None:
    host = daemon.host
    host.list_of("cd" * 16 + "\n")
    daemon.start()
    wait_for(lambda: daemon.metric('hostsweep_feed_entries{feed="police",kind="md5"}') == 1)
    host.list_of("this is no list\n")
    wait_for(lambda: daemon.metric('hostsweep_feed_sync_total{feed="police",result="failed"}') >= 1)
    assert daemon.metric('hostsweep_feed_entries{feed="police",kind="md5"}') == 1
    assert daemon.get("/readyz")[0] == 200


def test_with_the_token_a_sync_and_a_scan_start_at_once_and_strangers_learn_nothing(daemon: Running) -> None:
    host, token = daemon.host, "t0k3n" * 8
    (host.base / "token").write_text(token)
    (host.base / "token").chmod(0o600)
    daemon.write(every="3600s", http=f", token_file: {host.base}/token")
    host.save("a/good.jpg", picture(2))
    daemon.start()
    wait_for(lambda: daemon.metric('hostsweep_scan_last_complete_timestamp_seconds{volume="web"}') > 0)
    victim = host.save("a/bad.jpg", picture(1))
    digest = listed(victim).split()[0]
    host.list_of(listed(victim))
    assert daemon.ask("POST", "/v1/feeds/police/sync", "wrong" * 8)[0] == 401
    assert daemon.ask("POST", "/v1/feeds/police/sync", token)[0] == 202
    wait_for(lambda: daemon.metric('hostsweep_feed_entries{feed="police",kind="sha256"}') == 1)
    assert victim.exists()
    assert daemon.ask("POST", "/v1/volumes/web/scan", token)[0] == 202
    wait_for(lambda: not victim.exists())
    wait_for(lambda: daemon.metric("hostsweep_quarantine_items") == 1)
    code, text = daemon.ask("GET", "/v1/status", token)
    status = json.loads(text)
    assert code == 200 and status["volumes"][0]["path"] == str(host.tree)
    printed = json.loads(host.run("status", "--json", config=daemon.config).out)
    for told in (status, printed):
        del told["quarantine"]["free_bytes"]  # others write to this disk
    assert status == printed
    for path in ("/metrics", "/readyz", "/healthz"):
        for secret in (str(host.base), "bad.jpg", digest, "list.txt", "file://", token):
            assert secret not in daemon.get(path)[1]
    assert daemon.ask("GET", "/v1/status", "wrong" * 8)[0] == 401
    assert daemon.stop() == 0
    assert token not in (host.base / "log").read_text()


def test_a_token_that_changes_counts_from_the_next_reload_on(daemon: Running) -> None:
    host, old, new = daemon.host, "old00" * 8, "new11" * 8
    path = host.base / "token"
    path.write_text(old)
    path.chmod(0o600)
    daemon.write(every="3600s", http=f", token_file: {path}")
    daemon.start()
    assert daemon.process is not None
    path.write_text(new)
    path.chmod(0o604)  # open to others: the reload is refused, and the old one stays
    daemon.process.send_signal(signal.SIGHUP)
    daemon.told("READY=1")
    assert daemon.ask("GET", "/v1/status", old)[0] == 200
    path.chmod(0o600)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.told("READY=1")
    assert daemon.ask("GET", "/v1/status", old)[0] == 401
    assert daemon.ask("GET", "/v1/status", new)[0] == 200
