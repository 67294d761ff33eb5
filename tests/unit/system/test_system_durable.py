"""Files that are put in place durably: whole or not at all, and for their owner alone."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from scanner.system.durable import replace_file, write_new


def test_a_file_is_replaced_whatever_a_dead_process_has_left(tmp_path: Path) -> None:
    path, left = tmp_path / "state.json", tmp_path / "state.json.new"
    other = tmp_path / "other"
    other.write_bytes(b"other")
    left.symlink_to(other)  # nothing is written through it
    path.write_bytes(b"old")
    path.chmod(0o644)
    replace_file(path, b"new")
    assert path.read_bytes() == b"new" and other.read_bytes() == b"other"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and not left.is_symlink()


def test_a_new_file_takes_the_place_of_none(tmp_path: Path) -> None:
    write_new(tmp_path / "list.gz", b"list", 0o644)
    assert (tmp_path / "list.gz").read_bytes() == b"list"
    for name in ("list.gz", "link"):
        if name == "link":
            (tmp_path / name).symlink_to(tmp_path / "nowhere")
        with pytest.raises(FileExistsError):
            write_new(tmp_path / name, b"other")
    assert (tmp_path / "list.gz").read_bytes() == b"list" and not (tmp_path / "nowhere").exists()
