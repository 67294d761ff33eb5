"""`hostsweep feed serve`, and hosts that ask it instead of having a list: by whole hash and by a few bits."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from e2e_host import COMMAND, Host, picture, wait_for

SECRET = "secret-of-a-small-host"


@dataclass
class Big:
    """A provider that has a list and answers for others."""

    base: Path
    process: subprocess.Popen[bytes] | None = None

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [COMMAND, "-c", str(self.base / "config.yaml"), "--state-dir", str(self.base / "state")]
        return subprocess.run([*command, *words], capture_output=True, text=True, timeout=120)

    def list_of(self, *digests: str) -> None:
        (self.base / "new").write_text("".join(f"{digest}\n" for digest in digests))
        (self.base / "new").rename(self.base / "list.txt")
        done = self.run("feed", "sync")
        assert done.returncode == 0, done.stderr

    def serve(self) -> int:
        """Start to answer; returns the port."""
        command = [COMMAND, "-c", str(self.base / "config.yaml"), "--state-dir", str(self.base / "state")]
        with (self.base / "log").open("wb") as log:
            self.process = subprocess.Popen([*command, "--log-format", "json", "feed", "serve"], stderr=log)
        wait_for(lambda: self.told("checks_ready"), 60)
        (ready,) = self.told("checks_ready")
        port: int = ready["port"]
        return port

    def told(self, event: str) -> list[dict[str, Any]]:
        lines = (self.base / "log").read_text().splitlines()
        return [told for line in lines if (told := json.loads(line))["event"] == event]

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture
def big(tmp_path: Path) -> Iterator[Big]:
    base = tmp_path / "big"
    base.mkdir()
    (base / "clients").write_text(f"small {SECRET} 1000\n")
    (base / "clients").chmod(0o600)
    (base / "config.yaml").write_text(
        json.dumps(
            {
                "feeds": [{"name": "police", "url": f"file://{base}/list.txt", "max_shrink": 1.0}],
                "serve": {"listen": "127.0.0.1:0", "clients_file": str(base / "clients")},
            }
        )
    )
    made = Big(base)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


def asking(host: Host, port: int, shared_key: Path) -> list[str]:
    """The configuration of a host that has no list, and asks in both ways."""
    login = host.base / "login"
    login.write_text(f"small:{SECRET}\n")
    login.chmod(0o600)
    asked = {
        "url": f"http://127.0.0.1:{port}/",
        "basic_file": str(login),
        "options": {"kind": "sha1", "per_second": "1000"},
    }
    config = {
        "volumes": [{"name": "web", "path": str(host.tree)}],
        "feeds": [
            {"name": "whole", "exchange": "hashcheck", **asked},
            {"name": "bits", "exchange": "prefix", "shared_key_file": str(shared_key), **asked},
        ],
    }
    (host.base / "asking.yaml").write_text(json.dumps(config))
    return ["-c", str(host.base / "asking.yaml"), "--state-dir", str(host.state)]


@pytest.mark.long
def test_a_host_without_a_list_asks_about_its_files_and_finds_what_is_listed(host: Host, big: Big) -> None:
    listed, other = host.save("a.png", picture(1)), host.save("b.png", picture(2))
    sha1 = [hashlib.sha1(path.read_bytes()).hexdigest() for path in (listed, other)]
    big.list_of("0" * 39 + "1")
    words = asking(host, big.serve(), big.base / "state/feeds/lists.key")

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([COMMAND, *words, *more], capture_output=True, text=True, timeout=120)
        assert "Traceback" not in done.stderr
        return done

    def synced() -> list[tuple[str, int]]:
        told = map(json.loads, run("feed", "sync", "--json").stdout.splitlines())
        return [(each["result"], each["entries"]) for each in told]

    # Files come first: nothing was known, so nothing could be asked.
    assert synced() == [("not_modified", 0)] * 2
    assert run("scan", str(host.tree)).returncode == 0
    assert synced() == [("updated", 2)] * 2
    assert synced() == [("not_modified", 2)] * 2  # what has an answer is not asked again
    # The service learns of one of them; answers are believed for a month, so the host has to forget them.
    big.list_of("0" * 39 + "1", sha1[0])
    wait_for(lambda: big.told("lists_taken_up"), 60)
    config = host.base / "asking.yaml"
    config.write_text(config.read_text().replace('"per_second": "1000"', '"per_second": "999"'))
    assert synced() == [("updated", 2)] * 2
    found = run("scan", str(host.tree), "--json")
    assert found.returncode == 1, found.stderr
    (hit,) = [event for event in map(json.loads, found.stdout.splitlines()) if event["event"] == "hit"]
    assert hit["path"] == str(listed)
    told = json.loads(run("check", str(listed), "--json").stdout)
    assert {match["feed"] for match in told["matches"]} == {"whole", "bits"}
    assert big.stop() == 0
    # Nothing of what was asked is written down on either side.
    for log in (big.base / "log").read_text(), found.stderr:
        assert not any(digest in log for digest in sha1)


def test_what_is_needed_to_answer_is_told(big: Big) -> None:
    done = big.run("feed", "serve")
    assert done.returncode == 2
    assert "no list" in done.stderr and "feed sync" in done.stderr
    (big.base / "clients").chmod(0o644)
    done = big.run("feed", "serve")
    assert done.returncode == 2
    assert str(big.base / "clients") in done.stderr and SECRET not in done.stderr
