"""The units as shipped, under a real systemd: they do their work within their limits, and come back."""

from __future__ import annotations

import hashlib
import json
import os
import re
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
FEEDS = "hostsweep-feeds.service"
SECURER = "hostsweep-securer.service"
SOCKET = "hostsweep-securer.socket"
ALL = (UNIT, FEEDS, SOCKET, SECURER)
CUSTOMER = 4711
LISTS = "/etc/hostsweep/lists"
VAULT = "/var/lib/hostsweep-vault"
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


def base_config() -> dict[str, object]:
    """As shipped for the units, with a list that is there, and quick."""
    config: dict[str, object] = yaml.safe_load((CHECKOUT / "config/split.yaml").read_text())
    feed = {"name": "police", "url": f"file://{LISTS}/list.txt", "hash": "sha256", "every": "1s"}
    config["feeds"] = [feed]
    # Only the exact hash: pictures of 16 points that resemble each other are not what is tried here.
    config["hashing"] = {"workers": 1, "perceptual": []}
    config["quarantine"]["reserve"] = "1MiB"  # type: ignore[index]
    return config


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
        part = self.machine.path(f"{LISTS}/part")
        part.write_text("".join(lines))
        part.chmod(0o644)
        part.rename(self.machine.path(f"{LISTS}/list.txt"))

    def configure(self, text: str = "") -> None:
        path = "/etc/hostsweep/config.yaml"
        self.machine.path(path).write_text(text or yaml.safe_dump(self.config))
        self.machine.run("chown", "root:hostsweep", path)
        self.machine.run("chmod", "0640", path)

    def drop_in(self, text: str, unit: str = UNIT) -> None:
        path = self.machine.path(f"/etc/systemd/system/{unit}.d/test.conf")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        self.machine.run("systemctl", "daemon-reload")

    def start(self, *units: str) -> None:
        self.configure()
        started = self.machine.try_("systemctl", "start", *(units or (SOCKET, FEEDS, UNIT)))
        assert started.returncode == 0, started.stderr + self.log()

    def pid(self, unit: str = UNIT) -> int:
        return int(self.machine.show(unit, "MainPID"))

    def rights(self, unit: str) -> dict[str, str]:
        """/proc/PID/status of a unit's main process."""
        status = self.machine.run("cat", f"/proc/{self.pid(unit)}/status")
        return dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)

    def uid(self, user: str) -> str:
        return self.machine.run("id", "--user", user).strip()

    def state(self, unit: str = UNIT) -> str:
        return self.machine.show(unit, "ActiveState")

    def ask(self, page: str, port: int = 9797) -> str:
        return self.machine.try_("python3", "-c", ASK, f"http://127.0.0.1:{port}{page}").stdout

    def log(self) -> str:
        return "".join(self.machine.log(unit, self.began) for unit in (UNIT, FEEDS, SECURER))

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
    for directory in ("/srv/www", "/etc/hostsweep", LISTS):
        machine.path(directory).mkdir(exist_ok=True)
    machine.run("systemd-tmpfiles", "--create", "hostsweep.conf")
    made.list_(b"a content that no test ever puts on the disk")
    yield made
    machine.try_("systemctl", "stop", *ALL)
    machine.try_("systemctl", "reset-failed", *ALL)
    state = ("/var/lib/hostsweep", "/var/lib/hostsweep-feeds", VAULT)
    for directory in ("/srv/www", "/etc/hostsweep", *state):
        machine.remove(directory)
    for unit in ALL:
        machine.remove(f"/etc/systemd/system/{unit}.d")
    machine.run("systemctl", "daemon-reload")


def test_units_are_skipped_not_failed_before_they_are_configured(service: Service) -> None:
    for unit in (UNIT, FEEDS, SOCKET):
        service.machine.run("systemctl", "start", unit)
        assert service.state(unit) == "inactive"
        assert service.machine.show(unit, "ConditionResult") == "no"


def test_files_closed_by_customers_are_secured_by_three_services_none_of_which_could_alone(
    service: Service,
) -> None:
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
    service.until("secured", lambda: not any(d.joinpath("listed.png").exists() for d in (closed, sticky)))
    service.until_scanned()

    assert (closed / "other.png").stat().st_atime_ns == before.st_atime_ns
    owners = {"/var/lib/hostsweep": "hostsweep", "/var/lib/hostsweep-feeds": "hostsweep-feeds", VAULT: "root"}
    for directory, user in owners.items():
        place = service.machine.path(directory)
        assert place.stat().st_mode & 0o777 == 0o700
        found = [place, *(p for p in place.rglob("*") if not p.is_symlink())]
        assert not [p for p in found if p.stat().st_mode & 0o077]
        assert {p.stat().st_uid for p in found} == {int(service.uid(user))}
    metrics = service.ask("/metrics")
    assert 'hostsweep_hits_total{action="quarantined",feed="police",kind="sha256"} 2.0' in metrics
    for layer in ("no_new_privs", "limits", "landlock", "seccomp"):
        assert f'hostsweep_worker_sandbox{{layer="{layer}"}} 1.0' in metrics

    # What a false positive's owner gets back, on root's word and not on the daemon's, is what he had.
    listed = service.machine.run("hostsweep", "quarantine", "list", "--json")
    item = next(i for i in map(json.loads, listed.splitlines()) if "closed" in json.dumps(i))
    service.machine.run("hostsweep", "quarantine", "restore", item["id"])
    restored = (closed / "listed.png").stat()
    assert (restored.st_uid, restored.st_mode & 0o7777) == (CUSTOMER, 0o4700)
    service.machine.run("hostsweep", "quarantine", "verify")


READ = 1 << 2  # CAP_DAC_READ_SEARCH
# CAP_CHOWN 0, CAP_DAC_OVERRIDE 1, CAP_FOWNER 3, CAP_FSETID 4, CAP_SETFCAP 31
SECURING = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 31


def test_each_service_has_its_own_rights_and_no_others(service: Service) -> None:
    service.list_(picture(service.volume / "listed.png", 0))
    service.start()
    service.until("secured", lambda: not (service.volume / "listed.png").exists())
    expected = {UNIT: ("hostsweep", READ), FEEDS: ("hostsweep-feeds", 0), SECURER: ("root", SECURING)}
    for unit, (user, rights) in expected.items():
        fields = service.rights(unit)
        assert fields["Uid"].split() == [service.uid(user)] * 4, unit
        for each in ("CapEff", "CapPrm", "CapBnd"):
            assert int(fields[each], 16) == rights, (unit, each)
        assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2"), unit
    assert service.machine.show(UNIT, "OOMPolicy") == "continue"


TRY = """
import os, socket, sys
def attempt(name, act):
    try:
        act()
    except OSError as e:
        return print(name, e.strerror)
    print(name, "done")
pid = sys.argv[1]
root = f"/proc/{pid}/root"
for place in sys.argv[2:]:
    attempt(place, lambda: os.close(os.open(root + place + "/x", os.O_CREAT | os.O_WRONLY)))
"""


def test_daemon_writes_only_its_state_and_the_securer_only_volumes_and_vault(service: Service) -> None:
    service.list_(picture(service.volume / "listed.png", 0))
    service.start()
    service.until("secured", lambda: not (service.volume / "listed.png").exists())
    places = ("/etc", "/usr", "/home", "/root", "/srv/www", "/var/lib/hostsweep-feeds", "/var/lib/hostsweep")
    writable = {UNIT: {"/var/lib/hostsweep"}, SECURER: {"/srv/www"}, FEEDS: {"/var/lib/hostsweep-feeds"}}
    for unit, expected in writable.items():
        # As the service sees the disk: through its root, with its mounts; by a root shell.
        said = service.machine.run("python3", "-c", TRY, str(service.pid(unit)), *places)
        done = {line.split()[0] for line in said.splitlines() if line.endswith(" done")}
        assert done == expected, (unit, said)
    for unit, hidden in ((UNIT, VAULT), (FEEDS, VAULT), (FEEDS, "/srv"), (FEEDS, "/var/lib/hostsweep")):
        mode = service.machine.run("stat", "--format=%a", f"/proc/{service.pid(unit)}/root{hidden}").strip()
        assert mode == "0", (unit, hidden)


def test_only_the_feeds_service_has_a_network(service: Service) -> None:
    service.list_(picture(service.volume / "listed.png", 0))
    service.start()
    service.until("secured", lambda: not (service.volume / "listed.png").exists())

    def links(unit: str) -> set[str]:
        listed = service.machine.run("cat", f"/proc/{service.pid(unit)}/net/dev").splitlines()[2:]
        return {line.split(":")[0].strip() for line in listed}

    def space(unit: str) -> str:
        return service.machine.run("readlink", f"/proc/{service.pid(unit)}/ns/net").strip()

    assert links(SECURER) == {"lo"}
    assert space(SECURER) != space(FEEDS) == space(UNIT)
    # What the kernel enforces where control groups have their filters; here it is what the unit asks for.
    assert set(service.machine.show(UNIT, "IPAddressAllow").split()) == {"127.0.0.0/8", "::1/128"}
    assert set(service.machine.show(UNIT, "IPAddressDeny").split()) == {"::/0", "0.0.0.0/0"}


def test_list_of_a_server_is_fetched_with_a_secret_and_reaches_the_daemon(service: Service) -> None:
    victim = service.volume / "listed.png"
    content = picture(victim, 0)
    serve = service.machine.path("/root/serve.py")
    serve.write_text(SERVER.format(body=hashlib.sha256(content).hexdigest() + "  x\n"))
    (service.machine.path("/etc/hostsweep") / "token").write_text("hidden\n")
    service.machine.run("chmod", "0400", "/etc/hostsweep/token")
    # Not by LoadCredential=: systemd can't mount credentials in the namespaces that this machine is made of.
    service.machine.run("chown", "hostsweep-feeds", "/etc/hostsweep/token")
    service.config["feeds"] = [
        {
            "name": "police",
            "url": "http://127.0.0.1:8088/list",
            "every": "1s",
            "bearer_file": "/etc/hostsweep/token",
        }
    ]
    service.machine.run("systemd-run", "--unit=publisher", "python3", "/root/serve.py")
    try:
        service.start()
        service.until("secured", lambda: not victim.exists())
        assert 'hostsweep_feed_entries{feed="police",kind="sha256"} 1.0' in service.ask("/metrics")
        # By root's hand, as the service's user: what is written stays the service's.
        assert "1 entries" in service.machine.run("hostsweep", "feed", "sync", "police")
        store = service.machine.path("/var/lib/hostsweep-feeds")
        assert {p.stat().st_uid for p in store.rglob("*")} == {int(service.uid("hostsweep-feeds"))}
    finally:
        service.machine.try_("systemctl", "stop", "publisher")


SERVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        allowed = self.headers["Authorization"] == "Bearer hidden"
        self.send_response(200 if allowed else 401)
        self.end_headers()
        self.wfile.write({body!r}.encode() if allowed else b"")
http.server.HTTPServer(("127.0.0.1", 8088), Handler).serve_forever()
"""


def test_killed_feeds_service_and_securer_come_back(service: Service) -> None:
    victims = [service.volume / f"{n}.png" for n in range(2)]
    contents = [picture(victim, n) for n, victim in enumerate(victims)]
    service.list_(contents[0])
    service.start()
    service.until("secured", lambda: not victims[0].exists())
    for unit in (SECURER, FEEDS):
        service.machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", unit)
    service.until("feeds again", lambda: service.machine.show(FEEDS, "NRestarts") == "1")
    service.list_(contents[1])
    service.until("the second secured", lambda: not victims[1].exists(), 60.0)
    service.machine.run("hostsweep", "quarantine", "verify")


def test_volume_below_home_is_secured_once_the_securer_may_write_there(service: Service) -> None:
    volume = service.machine.path("/home/web")
    volume.mkdir(exist_ok=True)
    service.list_(picture(volume / "listed.png", 0))
    service.config["volumes"] = [{"name": "homes", "path": "/home/web"}]
    service.drop_in("[Service]\nReadWritePaths=/home/web\n", SECURER)
    service.start()
    service.until("secured", lambda: not (volume / "listed.png").exists())


def test_without_a_securer_hits_are_reported_and_the_daemon_stays_up(service: Service) -> None:
    path = service.volume / "listed.png"
    service.list_(picture(path, 0))
    path.chmod(0)
    service.config["feeds"][0]["on_match"] = {"exact": "report", "perceptual": "report"}  # type: ignore[index]
    service.start(FEEDS, UNIT)
    service.until("a hit or an end", lambda: re.search("scan_finished|task_failed", service.log()))
    service.until("reported", lambda: 'hits_total{action="reported"' in service.ask("/metrics"))
    assert "task_failed" not in service.log()
    assert path.exists()
    assert service.state() == "active"
    assert service.state(SECURER) == "inactive"


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
    held = service.machine.path(f"{VAULT}/items")
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
    service.until(
        "a worker at work", lambda: service.machine.try_("pgrep", "--full", "scanner.hashing.worker").stdout
    )
    began = time.monotonic()
    service.machine.run("systemctl", "stop", UNIT)
    assert time.monotonic() - began < 10.0
    assert service.machine.show(UNIT, "Result") == "success"
    assert "daemon_stopped" in service.log()
    assert service.machine.try_("pgrep", "--full", "scanner.hashing.worker").stdout == ""


def _stop_locked_worker(service: Service) -> bool:
    """Stop a worker that has begun to work: one that has a filter of system calls more than the daemon."""

    def filters(pid: str) -> int:
        status = service.machine.try_("cat", f"/proc/{pid}/status").stdout
        return int(status.partition("Seccomp_filters:")[2].split("\n")[0] or 0)

    least = filters(str(service.pid())) + 1
    for pid in service.machine.try_("pgrep", "--full", "scanner.hashing.worker").stdout.split():
        if filters(pid) >= least and service.machine.try_("kill", "-STOP", pid).returncode == 0:
            return True
    return False


def test_hanging_worker_is_ended_and_replaced(service: Service) -> None:
    for number in range(16):  # two seconds of work for one worker; each file may take six
        picture(service.volume / f"{number}.png", number)
        with (service.volume / f"{number}.png").open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, 20 << 20)
    service.config["hashing"]["time_limit"] = "1s"  # type: ignore[index]
    service.start()
    service.until("a worker to stop", lambda: _stop_locked_worker(service))
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
