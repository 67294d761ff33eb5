"""A list on this machine that changes while it is read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from scanner.feeds import staging
from scanner.feeds.staging import copy_local, open_local
from scanner.model.errors import FeedTransportError


def copied(source: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object]) -> str:
    """The digest of a copy, with something done between its first and its second piece."""
    read, pieces = staging._read, 0

    def reading(fd: int) -> bytes:
        nonlocal pieces
        pieces += 1
        if pieces == 2:
            meanwhile()
        return read(fd)

    monkeypatch.setattr(staging, "_read", reading)
    found = copy_local(open_local(source), source.with_suffix(".copy"), 1 << 20, "")
    assert found is not None and pieces >= 2
    return found[2]


def test_a_list_in_whose_place_another_is_put_while_it_is_read_is_taken_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, newer = tmp_path / "list", tmp_path / "newer"
    source.write_text("aa\n")
    newer.write_text("bb\n")
    digest = copied(source, monkeypatch, lambda: os.rename(newer, source))
    assert digest == hashlib.sha256(b"aa\n").hexdigest()
    assert source.read_text() == "bb\n"


def test_a_list_that_is_written_while_it_is_read_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "list"
    source.write_text("aa\n")
    stamp = source.stat().st_mtime_ns

    def write() -> None:  # as long as before, and with its time put back
        source.write_text("bb\n")
        os.utime(source, ns=(stamp, stamp))

    with pytest.raises(FeedTransportError, match="changed while it was read"):
        copied(source, monkeypatch, write)
    assert not source.with_suffix(".copy").exists()
