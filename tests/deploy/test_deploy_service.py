"""The unit as shipped, under a real systemd: it starts, does its work within its limits, and comes back."""

from __future__ import annotations

import hashlib
import json
import os
import re
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from bare_debian import CHECKOUT
from booted import Machine, until
from PIL import Image

UNIT = "hostsweep.service"
CUSTOMER = 4711
DROP_IN = "/etc/systemd/system/hostsweep.service.d/test.conf"
ASK = """
import sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen(sys.argv[1], timeout=5)
except urllib.error.HTTPError as e:
    answer = e
print(answer.status, answer.read().decode())
"""


def picture(path: Path, number: int) -> bytes:
    """A picture that is like no other, harmless and made here."""
    image = Image.frombytes("L", (16, 16), hashlib.sha256(b"%d" % number).digest() * 8)
    image.save(path, "PNG")
    return path.read_bytes()


def documented(name: str) -> str:
    """A drop-in as docs/deployment.md gives it."""
    text = (CHECKOUT / "docs/deployment.md").read_text()
    found = textwrap.dedent(text[text.index(f"    # {name}\n") :].partition("\n\n")[0])
    assert "[Service]" in found
    return found


def base_config() -> dict[str, object]:
    return {
        "volumes": [{"name": "web", "path": "/srv/www"}],
        "feeds": [
            {"name": "police", "url": "file:///srv/lists/list.txt", "polarity": "illegal", "hash": "sha256"}
        ],
        # Only the exact hash: pictures of 16 points that resemble each other are not what is tried here.
        "hashing": {"workers": 1, "perceptual": []},
        "quarantine": {"reserve": "1MiB"},
        "http": {"listen": "127.0.0.1:9797"},
    }


@dataclass
class Service:
    """The service on the machine, with what a test needs to set up and ask."""

    machine: Machine
    began: str
    config: dict[str, object] = field(default_factory=base_config)
    listed: list[bytes] = field(default_factory=list)

    @property
    def volume(self) -> Path:
        return self.machine.path("/srv/www")

    def list_(self, content: bytes) -> None:
        """Put a file's hash on the list."""
        self.listed.append(content)
        lines = [hashlib.sha256(c).hexdigest() + "\n" for c in self.listed]
        self.machine.path("/srv/lists/list.txt").write_text("".join(lines))

    def configure(self, text: str = "") -> None:
        self.machine.path("/etc/hostsweep/config.yaml").write_text(text or yaml.safe_dump(self.config))

    def drop_in(self, text: str) -> None:
        self.machine.path(DROP_IN).parent.mkdir(exist_ok=True)
        self.machine.path(DROP_IN).write_text(text)
        self.machine.run("systemctl", "daemon-reload")

    def start(self) -> None:
        self.configure()
        started = self.machine.try_("systemctl", "start", UNIT)
        assert started.returncode == 0, started.stderr + self.log()

    def pid(self) -> int:
        return int(self.machine.show(UNIT, "MainPID"))

    def state(self) -> str:
        return self.machine.show(UNIT, "ActiveState")

    def ask(self, page: str, port: int = 9797) -> str:
        return self.machine.try_("python3", "-c", ASK, f"http://127.0.0.1:{port}{page}").stdout

    def log(self) -> str:
        return self.machine.log(UNIT, self.began)

    def until(self, what: str, look: Callable[[], object], seconds: float = 20.0) -> None:
        until(what, look, seconds, self.log)

    def until_ready(self, port: int = 9797) -> None:
        self.until("ready", lambda: self.ask("/readyz", port).startswith("200"))

    def until_scanned(self) -> None:
        # Scans are logged as they end; a pass over the known is no scan of the disk.
        self.until("a finished scan", lambda: '"scan_finished"' in self.log())


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    made = Service(machine, machine.now())
    for directory in ("/srv/www", "/srv/lists", "/etc/hostsweep"):
        machine.path(directory).mkdir(exist_ok=True)
    made.list_(b"a content that no test ever puts on the disk")
    yield made
    machine.try_("systemctl", "stop", UNIT)
    machine.try_("systemctl", "reset-failed", UNIT)
    for directory in (
        "/srv/www",
        "/srv/lists",
        "/etc/hostsweep",
        "/var/lib/hostsweep",
        os.path.dirname(DROP_IN),
    ):
        machine.remove(directory)
    machine.run("systemctl", "daemon-reload")


def test_unit_is_skipped_not_failed_before_it_is_configured(service: Service) -> None:
    service.machine.run("systemctl", "start", UNIT)
    assert service.state() == "inactive"
    assert service.machine.show(UNIT, "ConditionResult") == "no"


def test_files_closed_by_customers_are_secured_within_the_limits_of_the_unit(service: Service) -> None:
    closed, sticky = service.volume / "closed", service.volume / "sticky"
    for directory, mode in ((closed, 0o700), (sticky, 0o1777)):
        directory.mkdir()
        os.chown(directory, CUSTOMER, CUSTOMER)
        directory.chmod(mode)
    for number, path in enumerate((closed / "listed.png", sticky / "listed.png", closed / "other.png")):
        content = picture(path, number)
        os.chown(path, CUSTOMER, CUSTOMER)
        path.chmod(0o4700 if number == 0 else 0o600)
        if path.name == "listed.png":
            service.list_(content)
    before = (closed / "other.png").stat()
    service.start()
    assert service.machine.show(UNIT, "SubState") == "running"
    service.until_ready()
    service.until_scanned()

    assert not (closed / "listed.png").exists(), service.log()
    assert not (sticky / "listed.png").exists(), service.log()
    assert (closed / "other.png").stat().st_atime_ns == before.st_atime_ns
    vault = service.machine.path("/var/lib/hostsweep")
    assert vault.stat().st_mode & 0o777 == 0o700
    assert not [p for p in vault.rglob("*") if not p.is_symlink() and p.stat().st_mode & 0o077]
    metrics = service.ask("/metrics")
    assert 'hostsweep_hits_total{action="quarantined",feed="police",kind="sha256"} 2.0' in metrics
    assert 'hostsweep_files_total{outcome="clean",volume="web"} 1.0' in metrics
    for layer in ("user", "no_new_privs", "limits"):
        assert f'hostsweep_worker_sandbox{{layer="{layer}"}} 1.0' in metrics

    # What a false positive's owner gets back, from a root shell and not from the unit, is what he had.
    items = [
        json.loads(line)
        for line in service.machine.run("hostsweep", "quarantine", "list", "--json").splitlines()
    ]
    item = next(i for i in items if "closed" in json.dumps(i))
    service.machine.run("hostsweep", "quarantine", "restore", item["id"])
    restored = (closed / "listed.png").stat()
    assert (restored.st_uid, restored.st_mode & 0o7777) == (CUSTOMER, 0o4700)


def test_limits_of_the_unit_are_in_force_for_the_running_daemon(service: Service) -> None:
    service.start()
    pid = service.pid()
    status = service.machine.run("cat", f"/proc/{pid}/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    # dac_override 1, fowner 3, kill 5, setgid 6, setuid 7, setpcap 8
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0b1_1110_1010
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"
    # As the daemon sees the disk: through its root, with its mounts.
    for place in ("/etc/x", "/usr/x", "/srv/x", "/home/x", "/root/x"):
        refused = service.machine.try_("touch", f"/proc/{pid}/root{place}")
        assert "Read-only file system" in refused.stderr, (place, refused)
    for place in ("/srv/www/x", "/var/lib/hostsweep/x"):
        service.machine.run("touch", f"/proc/{pid}/root{place}")
    assert service.machine.show(UNIT, "OOMPolicy") == "continue"


def test_volume_below_home_is_secured_once_the_unit_may_write_there(service: Service) -> None:
    volume = service.machine.path("/home/web")
    volume.mkdir(exist_ok=True)
    service.list_(picture(volume / "listed.png", 0))
    service.config["volumes"] = [{"name": "homes", "path": "/home/web"}]
    service.drop_in("[Service]\nReadWritePaths=/home/web\n")
    service.start()
    service.until_scanned()
    assert not (volume / "listed.png").exists(), service.log()


def test_service_that_may_only_read_reports_hits_and_stays_up(service: Service) -> None:
    path = service.volume / "listed.png"
    service.list_(picture(path, 0))
    path.chmod(0)
    service.config["feeds"][0]["on_match"] = {"exact": "report", "perceptual": "report"}  # type: ignore[index]
    service.drop_in(documented("read-only.conf"))
    service.start()
    service.until("a hit or an end", lambda: re.search("scan_finished|task_failed", service.log()))
    assert "task_failed" not in service.log()
    assert path.exists()
    assert 'hits_total{action="reported",feed="police",kind="sha256"} 1.0' in service.ask("/metrics")


def test_reload_takes_up_a_changed_configuration(service: Service) -> None:
    service.start()
    pid = service.pid()
    service.config["http"] = {"listen": "127.0.0.1:9898"}
    service.configure()
    service.machine.run("systemctl", "reload", UNIT)
    service.until_ready(port=9898)
    assert service.ask("/healthz") == ""
    assert service.pid() == pid
    service.until("running again", lambda: service.machine.show(UNIT, "SubState") == "running")


def test_reload_with_a_broken_configuration_keeps_the_old_one(service: Service) -> None:
    service.start()
    service.until_ready()
    pid = service.pid()
    service.configure("volumes: [{name: web, pfad: /srv/www}]\n")
    service.machine.run("systemctl", "reload", UNIT)
    service.until("the refusal", lambda: "reload_refused" in service.log())
    service.until_ready()
    assert "volumes[0].pfad" in service.log()
    assert service.pid() == pid
    service.until("running again", lambda: service.machine.show(UNIT, "SubState") == "running")


def test_killed_daemon_is_started_again_and_finishes_what_it_began(service: Service) -> None:
    many = 400
    for number in range(many):
        service.list_(picture(service.volume / f"{number}.png", number))
    service.config["brake"] = {"max_hits": 1000, "share_after": 1000}
    service.drop_in("[Service]\nRestartSec=1s\n")
    service.start()
    staging = service.volume / ".hostsweep-staging"
    held = service.machine.path("/var/lib/hostsweep/quarantine/items")
    service.until("securing under way", lambda: _count(held) > 5)
    service.machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT)
    left = len(list(service.volume.glob("*.png")))
    assert 0 < left < many, "it was not killed in the middle"

    service.until("started again", lambda: service.machine.show(UNIT, "NRestarts") == "1")
    service.until_ready()
    service.until("the rest is secured", lambda: not list(service.volume.glob("*.png")), 30.0)
    service.until_scanned()
    assert list(staging.iterdir()) == []
    assert len(service.machine.run("hostsweep", "quarantine", "list", "--json").splitlines()) == many
    service.machine.run("hostsweep", "quarantine", "verify")


def _count(directory: Path) -> int:
    return len(list(directory.iterdir())) if directory.exists() else 0


def test_stop_in_the_middle_of_a_large_file_takes_seconds(service: Service) -> None:
    path = service.volume / "large.png"
    picture(path, 0)
    with path.open("ab") as file:  # reserved, not written: made at once, and many seconds to hash
        os.posix_fallocate(file.fileno(), 0, 6 << 30)
    service.start()
    service.until("a worker at work", lambda: service.machine.try_("pgrep", "--uid", "nobody").stdout)
    began = time.monotonic()
    service.machine.run("systemctl", "stop", UNIT)
    assert time.monotonic() - began < 10.0
    assert service.machine.show(UNIT, "Result") == "success"
    assert "daemon_stopped" in service.log()
    assert service.machine.try_("pgrep", "--uid", "nobody").stdout == ""


def test_hanging_worker_is_ended_and_replaced(service: Service) -> None:
    for number in range(16):  # two seconds of work for one worker; each file may take six
        picture(service.volume / f"{number}.png", number)
        with (service.volume / f"{number}.png").open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, 20 << 20)
    service.config["hashing"]["time_limit"] = "1s"  # type: ignore[index]
    service.start()
    stop = ("pkill", "--uid", "nobody", "--signal=STOP")
    service.until("a worker to stop", lambda: service.machine.try_(*stop).returncode == 0)
    service.until_scanned()
    assert 'hostsweep_worker_restarts_total{reason="timeout"} 1.0' in service.ask("/metrics")
    assert service.machine.show(UNIT, "NRestarts") == "0"


def test_hanging_daemon_is_started_again_by_the_watchdog(service: Service) -> None:
    service.drop_in("[Service]\nWatchdogSec=3s\nTimeoutAbortSec=2s\nRestartSec=1s\n")
    service.start()
    pid = service.pid()
    service.until("a life sign", lambda: service.machine.show(UNIT, "WatchdogTimestampMonotonic") != "0")
    service.machine.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", UNIT)
    service.until("started again", lambda: service.machine.show(UNIT, "NRestarts") == "1")
    service.until_ready()
    assert service.pid() != pid
    assert "Watchdog timeout" in service.log()


def test_second_daemon_on_the_same_state_directory_is_refused(service: Service) -> None:
    service.start()
    second = service.machine.try_("hostsweep", "daemon")
    assert second.returncode == 2
    assert f"process {service.pid()}" in second.stderr
    assert service.state() == "active"
