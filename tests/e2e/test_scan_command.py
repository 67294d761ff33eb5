"""`hostsweep scan` on a tree as users have them: lists of every format, exit codes, what JSON says."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import IO

import pytest
from e2e_host import COMMAND, Host, picture


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def vics(version: str, md5: str) -> str:
    if version == "1.3":
        head = {"odata.metadata": "http://github.com/ICMEC/ProjectVic/DataModels/1.3.xml#Media"}
    else:
        base = "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/Default/$metadata#Media"
        head = {"@odata.context": base}
    media = [
        {"MediaID": 1, "Category": 0, "MD5": "0F" * 16},
        {"MediaID": 77, "Category": 1, "MD5": md5.upper(), "MediaSize": "10", "PhotoDNA": None},
    ]
    return json.dumps({**head, "value": media})


@pytest.mark.parametrize("form", ["plain", "csv", "vics-1.3", "vics-2.0"])
def test_a_listed_picture_is_found_whatever_the_format_of_the_list(host: Host, form: str) -> None:
    listed = host.save("alice/a b.jpg", picture(1))
    host.save("bob/b.png", picture(2))
    md5 = hashlib.md5(listed.read_bytes()).hexdigest()
    text = {
        "plain": f"# list\r\n{sha256(listed).upper()}  name.jpg\r\n",
        "csv": f"ID,MD5,Category\nx1,{md5},1\n",
        "vics-1.3": vics("1.3", md5),
        "vics-2.0": "\ufeff" + vics("2.0", md5),
    }[form]
    outcome = host.scan("--feed", host.list_of(text))
    assert outcome.code == 1, outcome.err
    (hit,) = outcome.hits
    assert hit["path"] == str(listed)
    assert hit["action"] == "reported" and hit["quarantine_id"] is None
    assert hit["size"] == listed.stat().st_size and hit["media_type"] == "image/jpeg"
    assert hit["digests"]["md5"] == md5 and hit["digests"]["sha256"] == sha256(listed)
    assert hit["match"]["kind"] == ("sha256" if form == "plain" else "md5")
    assert hit["match"]["entry"] == {"plain": "#1", "csv": "x1"}.get(form, "77")
    assert outcome.summary["files"] == 2 and outcome.summary["complete"] is True
    assert listed.exists()


def test_a_picture_saved_again_smaller_or_renamed_is_found_by_its_perceptual_hash(host: Host) -> None:
    original = host.base / "original.png"
    picture(3, 800, 600).save(original)
    checked = json.loads(host.run("check", str(original), "--json").out)
    pdq = checked["perceptual"][0]["value"]
    host.save("alice/again.jpg", picture(3, 800, 600), quality=30)
    host.save("alice/small.webp", picture(3, 800, 600).resize((400, 300)))
    os.rename(host.save("alice/hidden.jpg", picture(3, 800, 600)), host.tree / "alice" / "notes.txt")
    host.save("alice/other.jpg", picture(4, 800, 600))
    outcome = host.scan("--feed", host.list_of(f"pdq,id\n{pdq},p1\n", "list.csv"))
    assert {Path(h["path"]).name for h in outcome.hits} == {"again.jpg", "small.webp", "notes.txt"}
    assert all(h["match"]["kind"] == "pdq" and h["match"]["distance"] <= 31 for h in outcome.hits)


def test_category_zero_and_benign_digests_are_no_hits(host: Host) -> None:
    listed = host.save("a.jpg", picture(1))
    (host.tree / "empty.jpg").touch()
    rows = f"sha256,category\n{sha256(listed)},0\n{hashlib.sha256(b'').hexdigest()},1\n{'ab' * 32},1\n"
    outcome = host.scan("--feed", host.list_of(rows, "list.csv"))
    assert outcome.code == 0 and not outcome.hits


def test_nothing_found_and_everything_scanned_is_0_and_a_broken_picture_makes_it_3(host: Host) -> None:
    good = host.save("good.jpg", picture(1))
    (host.tree / "page.html").write_text("<html>")
    feed = host.list_of("ab" * 16 + "\n")
    assert host.scan("--feed", feed).code == 0
    (host.tree / "broken.jpg").write_bytes(good.read_bytes()[:900])
    outcome = host.scan("--feed", feed)
    assert outcome.code == 3
    assert outcome.summary["failed"] == {"undecodable": 1} and outcome.summary["complete"] is False
    assert [e["kind"] for e in outcome.events if e["event"] == "error"] == ["undecodable"]


def test_an_unchanged_tree_is_not_read_again_and_a_forged_mtime_hides_nothing(host: Host) -> None:
    for n in range(6):
        host.save(f"c{n % 2}/p{n}.jpg", picture(n))
    feed = host.list_of("ab" * 16 + "\n")
    host.until_old()
    assert host.scan("--feed", feed).summary["hashed"] == 6
    again = host.scan("--feed", feed).summary
    assert (again["hashed"], again["unchanged"]) == (0, 6)
    victim = host.tree / "c0" / "p0.jpg"
    before = victim.stat()
    victim.write_bytes(
        host.save("tmp.jpg", picture(50)).read_bytes()[: before.st_size].ljust(before.st_size, b"\0")
    )
    (host.tree / "tmp.jpg").unlink()
    os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert host.scan("--feed", feed).summary["hashed"] == 1


def test_a_new_list_meets_known_files_without_reading_them(host: Host) -> None:
    listed = host.save("a.jpg", picture(1))
    host.save("b.jpg", picture(2))
    host.until_old()
    assert host.scan("--feed", host.list_of("ab" * 16 + "\n")).code == 0
    outcome = host.scan("--feed", host.list_of(sha256(listed) + "  x\n", "new.txt"))
    assert outcome.code == 1 and outcome.summary["hashed"] == 0 and outcome.summary["matched"] == 1


def test_a_reported_file_is_reported_again_and_keeps_its_case(host: Host) -> None:
    feed = host.list_of(sha256(host.save("a.jpg", picture(1))) + "  x\n")
    first, second = host.scan("--feed", feed), host.scan("--feed", feed)
    assert first.code == second.code == 1
    assert first.hits[0]["id"] == second.hits[0]["id"]


def test_secured_restored_and_left_alone_when_it_was_a_false_positive(host: Host) -> None:
    listed = host.save("alice/ä\n.jpg", picture(1))
    content, before = listed.read_bytes(), listed.stat()
    feed = host.list_of(sha256(listed) + "  x\n")
    outcome = host.scan("--feed", feed, "--quarantine")
    assert outcome.hits[0]["action"] == "quarantined" and not listed.exists()
    assert host.run("quarantine", "verify").code == 0
    resolved = host.run(
        "hits", "resolve", outcome.hits[0]["id"], "--as", "false-positive", "--note", "stock photo"
    )
    assert resolved.code == 0, resolved.err
    after = listed.stat()
    assert listed.read_bytes() == content
    assert (after.st_mode, after.st_uid, after.st_mtime_ns) == (
        before.st_mode,
        before.st_uid,
        before.st_mtime_ns,
    )
    again = host.scan("--feed", feed, "--quarantine")
    assert again.code == 0 and listed.exists()


def test_hard_links_are_all_secured_and_each_can_come_back(host: Host) -> None:
    one = host.save("a/one.jpg", picture(1))
    (host.tree / "b").mkdir()
    os.link(one, host.tree / "b" / "two.jpg")
    outcome = host.scan("--feed", host.list_of(sha256(one) + "  x\n"), "--quarantine")
    assert outcome.summary["secured"] == 2 and not list(host.tree.rglob("*.jpg"))


def test_the_brake_stops_a_list_that_hits_too_much_and_says_so(host: Host) -> None:
    files = [host.save(f"p{n}.jpg", picture(n)) for n in range(8)]
    config = host.base / "config.yaml"
    config.write_text("brake: {max_hits: 3}\n")
    feed = host.list_of("".join(sha256(f) + "  x\n" for f in files))
    outcome = host.scan("--feed", feed, "--quarantine", config=config)
    assert outcome.code == 2 and outcome.summary["brake_engaged"] is True
    assert outcome.summary["secured"] == 3 and sum(f.exists() for f in files) == 5
    assert host.run("brake", "show").code == 0
    assert host.scan("--feed", feed, "--quarantine", config=config).summary["secured"] == 0
    assert host.run("brake", "release").code == 0
    assert host.scan("--feed", feed, "--quarantine", config=config).summary["secured"] == 3


def test_mail_is_left_out_unless_a_ground_is_stated(host: Host) -> None:
    for part in ("cur", "new", "tmp"):
        (host.tree / "mail" / "Maildir" / part).mkdir(parents=True)
    listed = host.save("mail/Maildir/cur/attachment", picture(1), format="JPEG")
    feed = host.list_of(sha256(listed) + "  x\n")
    outcome = host.scan("--feed", feed)
    assert outcome.code == 0 and outcome.summary["skipped"]["mail_store"] == 1
    config = host.base / "config.yaml"
    config.write_text(
        f"volumes: [{{name: web, path: {host.tree}, mail_stores: {{scan: true, ground: 'court order 7'}}}}]\n"
    )
    assert host.scan("--feed", feed, config=config).code == 1


def test_hostile_names_reach_nobody_s_terminal_and_json_keeps_their_bytes(host: Host) -> None:
    listed = host.save("x.jpg", picture(1))
    name = b"\xff\x1b[2Jevil\n.jpg"
    feed = host.list_of(sha256(listed) + "  x\n")
    os.rename(listed, os.path.join(os.fsencode(host.tree), name))
    hit = host.scan("--feed", feed).hits[0]
    assert base64.b64decode(hit["path_base64"]).endswith(name)
    text = host.run("scan", str(host.tree), "--feed", feed)
    assert "\x1b[2J" not in text.out + text.err and "\\x1b[2J" in text.out


def test_what_is_no_regular_file_is_counted_apart_and_never_opened(host: Host) -> None:
    host.save("a.jpg", picture(1))
    os.mkfifo(host.tree / "pipe.jpg")
    (host.tree / "link.jpg").symlink_to("a.jpg")
    summary = host.scan("--feed", host.list_of("ab" * 16 + "\n")).summary
    assert summary["files"] == host.find_count() == 1
    assert summary["other"] == {"fifo": 1, "symlink": 1}


def _many(host: Host) -> tuple[subprocess.Popen[bytes], int]:
    """A scan of 300 pictures, of which every tenth is listed; its process, and how many will hit."""
    pictures = [picture(n) for n in range(8)]
    files = [host.save(f"d{n // 10:02}/p{n}.jpg", pictures[n % 8], comment=str(n)) for n in range(300)]
    host.until_old()
    feed = host.list_of("".join(sha256(f) + "  x\n" for f in files[::10]))
    command = [COMMAND, "--state-dir", str(host.state), "scan", str(host.tree), "--feed", feed, "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL), len(files[::10])


def _until_hits(lines: IO[bytes], wanted: int) -> None:
    while wanted:
        line = lines.readline()
        assert line, "the scan ended before its hits"
        wanted -= b'"hit"' in line


def test_an_interrupted_scan_keeps_what_it_did_and_the_next_goes_on(host: Host) -> None:
    process, hits = _many(host)
    assert process.stdout is not None
    _until_hits(process.stdout, 8)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    first = json.loads(out.splitlines()[-1])
    assert process.returncode == 130 and first["complete"] is False
    assert first["files"] == first["clean"] + first["matched"] + sum(first["skipped"].values())
    second = host.scan("--feed", str(host.base / "list.txt")).summary
    assert second["files"] == 300 and second["matched"] == hits and second["unchanged"] > 0
    assert second["hashed"] < 300 - second["unchanged"]


def test_workers_killed_in_the_middle_lose_and_double_no_file(host: Host) -> None:
    process, hits = _many(host)
    assert process.stdout is not None
    killed = 0
    for _ in range(3):
        _until_hits(process.stdout, 1)
        for worker in _workers_of(process.pid):
            os.kill(worker, signal.SIGKILL)
            killed += 1
            break
    out, _ = process.communicate(timeout=60)
    summary = json.loads(out.splitlines()[-1])
    assert killed, "no worker was there to be killed"
    ended = summary["matched"] + summary["clean"] + summary["unchanged"] + summary["errors"]
    assert summary["files"] == 300 == ended + sum(summary["skipped"].values())
    assert summary["errors"] <= killed and summary["matched"] >= hits - killed


def _workers_of(pid: int) -> set[int]:
    found = set()
    for entry in os.listdir("/proc"):
        try:
            command = Path(f"/proc/{entry}/cmdline").read_bytes()
            parent = Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1]
        except (OSError, IndexError):
            continue
        if b"scanner.hashing.worker" in command and parent == str(pid):
            found.add(int(entry))
    return found


def test_the_metrics_file_shows_what_the_endpoint_would(host: Host) -> None:
    feed = host.list_of(sha256(host.save("a.jpg", picture(1))) + "  x\n")
    target = host.base / "hostsweep.prom"
    host.scan("--feed", feed, "--metrics-file", str(target))
    text = target.read_text()
    assert 'hostsweep_files_total{outcome="matched",volume="www"} 1.0' in text
    assert 'hostsweep_hits_total{action="reported",feed="list",kind="sha256"} 1.0' in text


def test_a_single_file_can_be_scanned(host: Host) -> None:
    listed = host.save("a.jpg", picture(1))
    outcome = host.run("scan", str(listed), "--json", "--feed", host.list_of(sha256(listed) + "  x\n"))
    assert outcome.code == 1 and outcome.summary["files"] == 1


def test_a_sparse_giant_is_skipped_and_the_scan_says_so(host: Host) -> None:
    with (host.tree / "giant.jpg").open("wb") as f:
        f.truncate(100 << 30)
    outcome = host.scan("--feed", host.list_of("ab" * 16 + "\n"))
    assert outcome.code == 3
    assert outcome.summary["skipped"] == {"sparse": 1} and outcome.summary["complete"] is False


def test_a_volume_without_room_for_staging_fails_its_hits_and_no_other_volume(host: Host) -> None:
    stuck, free = host.save("one/a.jpg", picture(1)), host.save("two/b.jpg", picture(2))
    (host.tree / "one" / ".hostsweep-staging").write_text("a customer put a file here")
    feed = host.list_of(sha256(stuck) + "  x\n" + sha256(free) + "  x\n")
    paths = [str(host.tree / "one"), str(host.tree / "two")]
    outcome = host.run("scan", *paths, "--json", "--quarantine", "--feed", feed)
    assert outcome.code == 1, outcome.err
    assert {Path(h["path"]).name: h["action"] for h in outcome.hits} == {
        "a.jpg": "failed",
        "b.jpg": "quarantined",
    }
    assert stuck.exists() and not free.exists()
    unsecured = host.run("hits", "list", "--unsecured", "--json").events
    assert [u["path"] for u in unsecured] == [str(stuck)] and unsecured[0]["reason"].startswith("no_staging")
