"""Files that hostsweep makes or writes: nobody can put something in their place that is written through."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from scanner.app import App
from scanner.app.state import StateDirectory
from scanner.cli.main import main
from scanner.config import Config
from scanner.http.sites import bound_socket
from scanner.model.errors import StorageError, VaultError

COMMAND = str(Path(sys.executable).parent / "hostsweep")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file that somebody would like to have overwritten by root."""
    path = tmp_path / "victim"
    path.write_text("precious")
    return path


@dataclass(frozen=True)
class Scanned:
    """A scan that secured one file, run with a mask of 0 and a link in place of its metrics file."""

    base: Path
    done: subprocess.CompletedProcess[str]

    @property
    def app(self) -> App:
        return App(Config(), StateDirectory(self.base / "state", self.base / "state" / "quarantine"))


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    base = tmp_path_factory.mktemp("scanned")
    (base / "www").mkdir()
    (base / "www" / "bad.gif").write_bytes(b"GIF89a bad")
    (base / "list.txt").write_text(hashlib.sha256(b"GIF89a bad").hexdigest() + "  x\n")
    (base / "victim").write_text("precious")
    (base / "m.prom").symlink_to(base / "victim")
    done = subprocess.run(
        [COMMAND, "--state-dir", base / "state", "scan", base / "www", "--feed", base / "list.txt",
         "--quarantine", "--metrics-file", base / "m.prom"],
        capture_output=True, text=True, check=False, timeout=60, umask=0,
    )  # fmt: skip
    return Scanned(base, done)


def test_a_link_in_place_of_the_metrics_file_is_not_followed(scanned: Scanned) -> None:
    assert scanned.done.returncode == 2
    assert "the metrics can't be written" in scanned.done.stderr and "Traceback" not in scanned.done.stderr
    assert (scanned.base / "victim").read_text() == "precious"


def test_whatever_the_caller_s_mask_is_nothing_in_the_state_directory_is_for_others(scanned: Scanned) -> None:
    made = [scanned.base / "state", *(scanned.base / "state").rglob("*")]
    assert len(made) > 5
    assert not [p for p in made if p.lstat().st_mode & 0o077 and not p.is_symlink()]


def test_a_link_in_place_of_an_exported_file_is_not_followed(
    scanned: Scanned, tmp_path: Path, victim: Path
) -> None:
    (item,) = scanned.app.vault.items()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o1777)
    for name, target in (("to-victim", victim), ("to-nothing", tmp_path / "dangling")):
        (tmp_path / "open" / name).symlink_to(target)
        with pytest.raises(VaultError, match="nothing was exported"):
            scanned.app.vault.export(item.id, tmp_path / "open" / name)
    assert victim.read_text() == "precious" and not (tmp_path / "dangling").exists()
    old = os.umask(0)
    try:
        scanned.app.vault.export(item.id, tmp_path / "open" / "new")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "open" / "new").stat().st_mode) == 0o600


def test_a_link_or_pipe_in_place_of_the_daemon_s_lock_is_told_and_left_alone(
    tmp_path: Path, victim: Path
) -> None:
    app = App(Config(), StateDirectory(tmp_path / "state", tmp_path / "state" / "quarantine"))
    app.state.prepare()
    app.state.daemon_lock.symlink_to(victim)
    with pytest.raises(StorageError, match="lock can't be taken"), app.single_daemon():
        pass
    assert victim.read_text() == "precious"
    app.state.daemon_lock.unlink()
    os.mkfifo(app.state.daemon_lock)
    with pytest.raises(StorageError, match="lock can't be taken"), app.single_daemon():
        pass


def test_the_mask_holds_for_files_that_libraries_make(monkeypatch: pytest.MonkeyPatch) -> None:
    masks: list[int] = []
    monkeypatch.setattr(os, "umask", masks.append)
    monkeypatch.setattr(main, "main", lambda standalone_mode: 0)
    from scanner.cli.main import run as entry

    with pytest.raises(SystemExit):
        entry()
    assert masks == [0o077]


def test_a_socket_s_mode_does_not_depend_on_the_mask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        (tmp_path / "run").mkdir(0o700)
        with bound_socket(tmp_path / "run" / "s"):
            assert stat.S_IMODE((tmp_path / "run" / "s").lstat().st_mode) == 0o660
    finally:
        os.umask(old)
