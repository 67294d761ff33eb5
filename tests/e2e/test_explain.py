"""`hostsweep explain` and the coverage in `hostsweep status`: what they say is what scans do and did."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from e2e_host import Host, picture


class Explained:
    """A host with one configured volume, and what the command says of its paths."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.config = host.base / "config.yaml"
        self.configure()

    def configure(self, volume: str = "", rest: str = "") -> None:
        self.config.write_text(
            f"volumes: [{{name: web, path: {self.host.tree}{volume}}}]\n"
            f"feeds: [{{name: police, url: 'file://{self.host.base}/police.csv', categories: [1]}}]\n{rest}"
        )

    def listed(self, *paths: Path) -> None:
        rows = [f"{hashlib.sha256(p.read_bytes()).hexdigest()},1,e{i}" for i, p in enumerate(paths)]
        (self.host.base / "police.csv").write_text(
            "\n".join(["sha256,category,id", f"{'ab' * 32},1,x", *rows, ""])
        )
        synced = self.host.run("feed", "sync", config=self.config)
        assert synced.code == 0, synced.err

    def scan(self, *args: str) -> int:
        return self.host.scan(*args, config=self.config).code

    def __call__(self, path: Path | str, code: int = 0) -> dict[str, Any]:
        done = self.host.run("explain", str(path), "--json", config=self.config)
        assert done.code == code, (done.out, done.err)
        return json.loads(done.out)

    def one(self, path: Path | str, code: int = 0) -> dict[str, Any]:
        (volume,) = self(path, code)["volumes"]
        return volume

    def said(self, path: Path | str, code: int = 0) -> tuple[str, str | None]:
        volume = self.one(path, code)
        return volume["answer"], volume["reason"]

    def coverage(self) -> dict[str, Any]:
        done = self.host.run("status", "--json", config=self.config)
        assert done.code == 0, done.err
        return json.loads(done.out)["volumes"][0]["coverage"]


@pytest.fixture
def explain(host: Host) -> Explained:
    return Explained(host)


def test_the_life_of_a_file_from_new_over_clean_and_changed_to_gone(explain: Explained) -> None:
    host = explain.host
    kept = host.save("alice/a.png", picture(1))
    (host.tree / "alice" / "notes.txt").write_text("no picture")
    explain.listed()
    assert explain.said(kept) == ("due", "new")
    host.until_old()
    assert explain.scan() == 0
    assert explain.said(kept) == ("clean", None)
    assert explain.said(kept.with_name("notes.txt")) == ("not_media", None)
    assert explain.said(host.tree / "alice") == ("directory", None)
    known = explain.one(kept)["known"]
    assert known["unchanged"] and known["matched"] and known["listed_by"] == []
    assert "sha256" in known["kinds"] and "pdq" in known["kinds"]
    assert explain.one(kept)["coverage"]["next_scan"] is not None

    picture(2).save(kept)
    assert explain.said(kept) == ("due", "changed")
    kept.unlink()
    assert explain.said(kept) == ("gone", None)
    assert explain.said(kept.with_name("never.png"), 1) == ("absent", None)


@pytest.mark.long
def test_what_new_lists_and_new_kinds_mean_for_a_file_that_did_not_change(explain: Explained) -> None:
    kept = explain.host.save("a.png", picture(1))
    explain.listed()
    explain.host.until_old()
    explain.scan()
    assert explain.coverage()["share"] == 1.0
    explain.listed(explain.host.save("b.png", picture(2)))
    assert explain.said(kept) == ("unmatched", None)
    coverage = explain.coverage()
    assert (coverage["state"], coverage["share"], coverage["uncovered"]) == (
        "unmatched",
        0.0,
        {"unmatched": 1},
    )
    assert coverage["oldest_gap"] is not None
    explain.scan()
    explain.configure(rest="hashing: {perceptual: [pdq, phash]}\n")
    assert explain.said(kept) == ("due", "other_kinds")
    assert explain.coverage()["uncovered"] == {"other_kinds": 2}


@pytest.mark.long
def test_a_hit_is_told_with_its_case_also_when_it_is_secured_and_gone(explain: Explained) -> None:
    listed = explain.host.save("bob/b.png", picture(2))
    explain.listed(listed)
    explain.host.until_old()
    assert explain.scan() == 1
    found = explain(listed)
    assert found["volumes"][0]["answer"] == "hit"
    assert [case["action"] for case in found["cases"]] == ["reported"]
    assert explain.scan("--quarantine") == 1
    assert not listed.exists()
    found = explain(listed)
    assert found["volumes"][0]["answer"] == "gone"
    (case,) = found["cases"]
    assert case["action"] == "quarantined" and case["quarantine_id"]
    resolved = ("hits", "resolve", case["id"], "--as", "false-positive", "--note", "a test")
    assert explain.host.run(*resolved, config=explain.config).code == 0
    explain.host.until_old()
    assert explain.scan() == 0
    assert explain.said(listed) == ("exception", None)


@pytest.mark.long
def test_what_is_left_out_says_by_what(explain: Explained, tmp_path: Path) -> None:
    host = explain.host
    explain.configure(", exclude: ['*.iso', '**/cache/**']")
    cached = host.save("x/cache/deep/a.png", picture(1))
    (host.tree / "x" / "b.iso").touch()
    explain.listed()
    excluded = explain.one(cached, 1)
    assert (excluded["answer"], excluded["reason"]) == ("left_out", "excluded")
    assert (excluded["exclude"], excluded["at"]) == ("**/cache/**", str(host.tree / "x" / "cache"))
    assert explain.one(host.tree / "x" / "b.iso", 1)["exclude"] == "*.iso"
    for folder in ("cur", "new", "tmp"):
        (host.tree / "Maildir" / folder).mkdir(parents=True)
    assert explain.said(host.tree / "Maildir" / "cur" / "1", 1) == ("left_out", "mail_store")
    os.mkfifo(host.tree / "pipe")
    assert explain.said(host.tree / "pipe", 1) == ("no_file", "fifo")

    elsewhere = explain(tmp_path / "elsewhere", 1)
    assert elsewhere["volumes"] == []
    assert [v["path"] for v in elsewhere["configured_volumes"]] == [str(host.tree)]
    assert "web" in host.run("explain", str(tmp_path / "elsewhere"), config=explain.config).out


def test_a_link_is_told_with_what_it_leads_to(explain: Explained) -> None:
    host = explain.host
    kept = host.save("real/a.png", picture(1))
    (host.tree / "link").symlink_to("real")
    explain.listed()
    found = explain(host.tree / "link" / "a.png")
    (volume,) = found["volumes"]
    assert (volume["answer"], volume["reason"], volume["at"]) == (
        "no_file",
        "symlink",
        str(host.tree / "link"),
    )
    assert found["leads_to"]["path"] == str(kept)
    assert found["leads_to"]["volumes"][0]["answer"] == "due"
    # Links above the volume are no matter: the root is known by where it leads.
    (host.base / "srv").symlink_to(host.base)
    assert explain.said(host.base / "srv" / "www" / "real" / "a.png") == ("due", "new")


def test_a_name_that_is_no_utf8_works_and_is_told_whole(explain: Explained) -> None:
    raw = os.fsencode(explain.host.tree) + b"/\xff\x1b[31m.txt"
    os.close(os.open(raw, os.O_CREAT))
    explain.listed()
    found = explain(os.fsdecode(raw))
    assert base64.b64decode(found["path_base64"]) == raw
    assert found["volumes"][0]["answer"] == "due"
    assert "\x1b[31m" not in explain.host.run("explain", os.fsdecode(raw), config=explain.config).out


def test_failures_and_limits_are_told_with_their_age_and_never_as_covered(explain: Explained) -> None:
    host = explain.host
    explain.configure(rest="hashing: {max_file_size: 1MiB}\n")
    host.save("a.png", picture(1))
    broken = host.tree / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 no picture")
    large = host.tree / "large.png"
    large.write_bytes(bytes(2 << 20))
    explain.listed()
    coverage = explain.coverage()
    assert (coverage["state"], coverage["share"], coverage["whole"]) == ("never", 0.0, False)
    host.until_old()
    assert explain.scan() == 3
    assert explain.said(broken, 1) == ("failed", "undecodable")
    assert explain.said(large, 1) == ("limit", "too_large")
    first = explain.one(large, 1)["gap"]
    coverage = explain.coverage()
    assert (coverage["state"], coverage["whole"]) == ("incomplete", False)
    assert (coverage["files"], coverage["covered"]) == (3, 1)
    assert coverage["uncovered"] == {"undecodable": 1, "too_large": 1}
    assert explain.scan() == 3
    again = explain.one(large, 1)["gap"]
    assert again["since"] == first["since"] and again["last"] > first["last"]
    large.unlink()
    broken.unlink()
    assert explain.scan() == 0
    coverage = explain.coverage()
    assert (coverage["state"], coverage["share"], coverage["oldest_gap"]) == ("whole", 1.0, None)
    assert "100 %" in host.run("status", config=explain.config).out


def test_a_path_scanned_by_hand_is_explained_without_a_configuration(host: Host) -> None:
    kept = host.save("a.png", picture(1))
    host.until_old()
    assert host.scan("--feed", host.list_of("ab" * 16)).code == 0
    done = host.run("explain", str(kept), "--json")
    assert done.code == 0, done.err
    (volume,) = json.loads(done.out)["volumes"]
    assert (volume["volume"], volume["configured"], volume["answer"]) == ("www", False, "clean")
    assert volume["coverage"]["next_scan"] is None
