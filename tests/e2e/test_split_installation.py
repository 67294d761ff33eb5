"""The installed command in a split installation: a daemon without power, a securer, and root's shell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_host import COMMAND, Outcome, picture, wait_for
from fakes_securer import CUSTOMER, DAEMON, SecurerHost

from scanner.ledger import Ledger

pytestmark = pytest.mark.root

# As the daemon's unit does: another user, and the right to read everything, which its children have too.
AS_DAEMON = ["setpriv", f"--reuid={DAEMON}", f"--regid={DAEMON}", "--clear-groups",
             "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search",
             "--bounding-set=-all,+dac_read_search", "--no-new-privs"]  # fmt: skip


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SecurerHost]:
    made = SecurerHost.build(tmp_path)
    yield made
    made.stop()


def run(host: SecurerHost, *args: str, before: list[str] | None = None) -> Outcome:
    done = subprocess.run(
        [*(before or []), COMMAND, "-c", str(host.config), *args],
        capture_output=True,
        timeout=120,
        check=False,
    )
    said = Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in said.err
    return said


def listed(host: SecurerHost) -> tuple[Path, str]:
    """A listed picture of a customer, in a directory that is closed to everybody else."""
    path = host.volume / "kunde" / "a.jpg"
    path.parent.mkdir()
    picture(1).save(path)
    path.chmod(0o600)
    for p in (path, path.parent):
        os.chown(p, CUSTOMER, CUSTOMER)
    path.parent.chmod(0o700)
    digest = subprocess.run(["sha256sum", path], capture_output=True, check=True, text=True).stdout
    (host.base / "list.txt").write_text(digest)
    return path, str(host.base / "list.txt")


def scan(host: SecurerHost, feed: str, before: list[str] | None = None) -> Outcome:
    return run(host, "scan", str(host.volume), "--json", "--quarantine", "--feed", feed, before=before)


def test_a_scan_without_power_secures_and_root_resolves(host: SecurerHost) -> None:
    path, feed = listed(host)
    before = path.stat()
    without = scan(host, feed, AS_DAEMON)  # nobody there to secure it
    assert (without.code, without.hits[0]["action"], path.exists()) == (1, "failed", True)
    assert without.hits[0]["reason"].startswith("securer: ")
    assert "the securer can't be reached" in without.hits[0]["reason"]
    host.start()
    found = scan(host, feed, AS_DAEMON)
    assert (found.code, found.hits[0]["action"], path.exists()) == (1, "quarantined", False)
    item = found.hits[0]["quarantine_id"]

    shown = run(host, "quarantine", "list", "--json")
    assert json.loads(shown.out)["id"] == item
    sound = json.loads(run(host, "quarantine", "verify", "--json").out)
    assert (sound["problems"], sound["ledger"]["ok"], sound["securer"]["ok"]) == ([], True, True)
    kept = run(host, "quarantine", "verify", "--securer-head", sound["securer"]["head"])
    assert kept.code == 0, kept.out
    assert run(host, "quarantine", "verify", "--securer-head", f"1:{'0' * 64}").code == 2
    assert run(host, "quarantine", "export", item, "--to", str(host.base / "out")).code == 0
    refused = run(host, "quarantine", "export", item, "--to", str(host.state / "x"), before=AS_DAEMON)
    assert (refused.code, "is for root alone" in refused.err, (host.state / "x").exists()) == (2, True, False)

    resolved = run(host, "hits", "resolve", found.hits[0]["id"], "--as", "false-positive", "--note", "test")
    assert resolved.code == 0, resolved.err
    after = path.stat()
    assert (after.st_uid, after.st_mode, after.st_mtime_ns) == (
        before.st_uid,
        before.st_mode,
        before.st_mtime_ns,
    )
    assert scan(host, feed, AS_DAEMON).hits == []  # remembered
    told = run(host, "explain", str(path), "--json")
    assert told.code == 0, told.err
    explained = json.loads(told.out)
    assert [case["state"] for case in explained["cases"]] == ["false-positive"]
    # Due: where it was put back less than two seconds before the scan, the next one looks at it once more.
    assert explained["volumes"][0]["answer"] in ("exception", "due") and explained["records"] is None
    # Root's shell left nothing of its own in the daemon's directory, and is on record as who acted.
    assert {p.stat().st_uid for p in host.state.rglob("*")} == {DAEMON}
    with Ledger.open(host.state / "ledger.sqlite", read_only=True) as ledger:
        by = {e.actor for e in ledger.events() if e.type == "case_resolved"}
    assert by == {"uid 0"}


def test_roots_shell_writes_through_no_link_that_the_daemon_put_there(host: SecurerHost) -> None:
    feed = listed(host)[1]
    host.start()
    assert scan(host, feed, AS_DAEMON).code == 1
    target = host.base / "roots-own"
    target.mkdir(mode=0o700)
    for name in ("catalog.sqlite", "work"):
        place = host.state / name
        place.rename(host.state / f"{name}.old")
        place.symlink_to(target / name)
    scan(host, feed)  # as root
    assert list(target.iterdir()) == []


def test_a_scan_killed_while_its_file_is_secured_is_told_what_became_of_it(host: SecurerHost) -> None:
    large = host.save("big/a.bin", os.urandom(1 << 20) * 32)
    host.configure("hashing: {select: all}\n")
    digest = subprocess.run(["sha256sum", large], capture_output=True, check=True, text=True).stdout
    (host.base / "list.txt").write_text(digest)
    host.start()
    command = [
        *AS_DAEMON,
        COMMAND,
        "-c",
        str(host.config),
        "scan",
        str(host.volume),
        "--quarantine",
        "--json",
    ]
    process = subprocess.Popen([*command, "--feed", str(host.base / "list.txt")], stdout=subprocess.DEVNULL)
    wait_for(host.being_copied, 60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert hits(host)[0]["action"] == "failed", "killed too late to show anything"
    wait_for(lambda: host.items() and not host.staged(), 60)
    assert scan(host, str(host.base / "list.txt"), AS_DAEMON).hits == []
    assert (hits(host)[0]["action"], hits(host)[0]["quarantine_id"]) == ("quarantined", host.items()[0].stem)


def hits(host: SecurerHost) -> list[dict[str, str]]:
    return [json.loads(line) for line in run(host, "hits", "list", "--json").out.splitlines()]


def test_the_daemon_lives_without_a_securer_and_uses_it_when_it_comes(host: SecurerHost) -> None:
    path, feed = listed(host)
    port = 20_000 + os.getpid() % 20_000
    host.configure(
        f"feeds: [{{name: police, url: 'file://{feed}'}}]\nschedule: {{scan_every: 1s}}\n"
        f"http: {{listen: '127.0.0.1:{port}'}}\n"
    )
    command = [*AS_DAEMON, COMMAND, "-c", str(host.config), "--log-format", "json", "daemon"]
    log = (host.base / "daemon.log").open("wb")
    process = subprocess.Popen(command, stderr=log, stdout=log)
    try:
        said = (host.base / "daemon.log").read_text
        wait_for(lambda: '"event": "hit"' in said(), 60)
        assert process.poll() is None
        (check,) = [c for c in not_ready(port) if c["name"] == "vault"]
        assert "can't be reached" in check["text"]
        assert path.exists()
        host.start()
        wait_for(lambda: not path.exists(), 60)
        wait_for(lambda: not not_ready(port), 60)
    finally:
        process.terminate()
        assert process.wait(60) == 0
    assert "Traceback" not in said()


def not_ready(port: int) -> list[dict[str, str]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            found = json.load(answer)
    except urllib.error.HTTPError as e:
        found = json.load(e)
    checks: list[dict[str, str]] = found["not_ready"]
    return checks
