"""`hostsweep catalog`, through the installed command."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

HOSTSWEEP = Path(sys.executable).with_name("hostsweep")


def run(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HOSTSWEEP, "--state-dir", state, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of an installation that has scanned a picture, a text and a file of an odd name."""
    root = tmp_path_factory.mktemp("catalog")
    www = root / "www"
    www.mkdir()
    Image.effect_noise((64, 64), 60).save(www / "a.png")
    (www / "text.txt").write_text("text")
    Image.effect_noise((64, 64), 60).save(str(www).encode() + b"/\xff\n.png", "PNG")
    (root / "list.txt").write_text(hashlib.sha1(b"listed").hexdigest() + "\n")
    done = run(root / "state", "scan", str(www), "--feed", str(root / "list.txt"), "--no-progress")
    assert done.returncode == 0, done.stderr
    return root / "state"


def test_stats_tell_files_states_and_room(state: Path) -> None:
    told = json.loads(run(state, "catalog", "stats", "--json").stdout)
    (volume,) = told["volumes"]
    assert (volume["files"], volume["with_digests"]) == (3, 2)
    assert volume["states"] == {"clean": 2, "not_media": 1, "undecodable": 0, "listed": 0}
    assert told["size"] > 0
    assert "bytes a file" in run(state, "catalog", "stats").stdout


def test_export_has_every_file_with_all_that_is_known(state: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in run(state, "catalog", "export").stdout.splitlines()]
    by_path = {line["path"]: line for line in lines}
    picture = (state.parent / "www" / "a.png").read_bytes()
    assert by_path.keys() == {"a.png", "text.txt", "\\xff\\x0a.png"}
    assert by_path["a.png"]["sha256"] == hashlib.sha256(picture).hexdigest()
    assert {view["kind"] for view in by_path["a.png"]["perceptual"]} == {"pdq"}
    assert base64.b64decode(by_path["\\xff\\x0a.png"]["path_base64"]) == b"\xff\n.png"
    out = tmp_path / "files.csv"
    assert run(state, "catalog", "export", "--format", "csv", "--to", str(out)).returncode == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with out.open(newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert rows["a.png"]["md5"] == hashlib.md5(picture).hexdigest()
    assert rows["text.txt"]["state"] == "not_media"
    again = run(state, "catalog", "export", "--to", str(out))
    assert (again.returncode, "exists" in again.stderr) == (2, True)
    assert run(state, "catalog", "export", "--volume", "other").returncode == 2


def test_an_export_that_does_not_become_whole_leaves_no_file(state: Path, tmp_path: Path) -> None:
    out = tmp_path / "files.json"
    assert run(state, "catalog", "export", "--volume", "other", "--to", str(out)).returncode == 2
    assert run(tmp_path / "nothing", "catalog", "export", "--to", str(out)).returncode == 1
    assert not out.exists()


def test_parquet_is_read_by_others_or_said_to_need_a_library(state: Path, tmp_path: Path) -> None:
    out = tmp_path / "files.parquet"
    done = run(state, "catalog", "export", "--format", "parquet", "--to", str(out))
    parquet = pytest.importorskip("pyarrow.parquet")
    assert done.returncode == 0, done.stderr
    rows = {row["path"]: row for row in parquet.read_table(out).to_pylist()}
    assert rows.keys() == {b"a.png", b"text.txt", b"\xff\n.png"}
    picture = (state.parent / "www" / "a.png").read_bytes()
    assert rows[b"a.png"]["sha1"] == hashlib.sha1(picture).digest()
    assert {view["kind"] for view in rows[b"a.png"]["perceptual"]} == {"pdq"}
    assert rows[b"text.txt"]["md5"] is None


def test_without_the_library_parquet_is_refused_before_anything_is_written(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ImportError\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    out = tmp_path / "files.parquet"
    done = run(state, "catalog", "export", "--format", "parquet", "--to", str(out))
    assert done.returncode == 2
    assert "hostsweep[parquet]" in done.stderr
    assert not out.exists()


def test_a_forgotten_volume_is_read_again(tmp_path: Path) -> None:
    www, state = tmp_path / "www", tmp_path / "state"
    www.mkdir()
    Image.effect_noise((64, 64), 60).save(www / "a.png")
    (tmp_path / "list.txt").write_text(hashlib.sha1(b"listed").hexdigest() + "\n")

    def scan() -> dict[str, object]:
        done = run(state, "scan", str(www), "--feed", str(tmp_path / "list.txt"), "--no-progress", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    time.sleep(2.1)  # what is younger is read again anyway
    scan()
    (volume,) = json.loads(run(state, "catalog", "stats", "--json").stdout)["volumes"]
    assert scan()["unchanged"] == 1
    none = run(state, "catalog", "forget", "other")
    assert (none.returncode, "catalog stats" in none.stderr) == (2, True)
    done = run(state, "catalog", "forget", volume["volume"])
    assert (done.returncode, "1 files forgotten" in done.stdout) == (0, True), done.stderr
    assert json.loads(run(state, "catalog", "stats", "--json").stdout)["volumes"] == []
    assert (again := scan())["unchanged"] == 0 and again["hashed"] == 1
