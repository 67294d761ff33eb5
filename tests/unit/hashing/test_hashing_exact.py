"""One read of a shared descriptor gives all exact digests, and the bytes for decoding."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from scanner.hashing import exact
from scanner.model.hashes import EXACT_KINDS

PIECE = bytes(range(256)) * 16


def read(path: Path, kinds: tuple[str, ...] = EXACT_KINDS, **options: int) -> exact.Content:
    data = path.read_bytes()
    fd = os.open(path, os.O_RDONLY)
    try:
        header = os.pread(fd, 8192, 0)
        settings = {"size_hint": len(data), "budget": 1 << 30, **options}
        content = exact.read_and_hash(
            exact.Reader(), fd, kinds, header, len(header) < 8192, device=os.fstat(fd).st_dev, **settings
        )
        assert os.lseek(fd, 0, os.SEEK_CUR) == 0  # the opener's offset is not moved
        return content
    finally:
        os.close(fd)


@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 8193, 1 << 20, (1 << 20) + 1, 3_500_000])
@pytest.mark.parametrize("lie", [-1, 0, 10**12])
def test_digests_are_right_at_every_size_even_when_the_size_is_a_lie(
    tmp_path: Path, size: int, lie: int
) -> None:
    data = (PIECE * (size // len(PIECE) + 1))[:size]
    path = tmp_path / "file"
    path.write_bytes(data)
    content = read(path, size_hint=size if lie < 0 else lie)
    assert content.size == size
    assert content.data == data
    assert content.digests == {kind: hashlib.new(kind, data).digest() for kind in EXACT_KINDS}


def test_only_the_wanted_kinds_are_computed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    assert set(read(tmp_path / "file", ("sha1",)).digests) == {"sha1"}


def test_reading_stops_at_the_budget_whatever_the_size_says(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(PIECE * 600)
    with pytest.raises(exact.ReadBudgetExceeded):
        read(tmp_path / "file", budget=1 << 20, size_hint=0)


def test_content_too_large_to_keep_is_read_through_the_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(PIECE * 600)
    content = read(path, keep=1 << 20)
    assert content.data is None
    fd = os.open(path, os.O_RDONLY)
    with exact.open_for_decoding(exact.Reader(), fd, content) as stream:
        assert stream.read() == PIECE * 600
        assert stream.seek(-10, os.SEEK_END) == len(PIECE) * 600 - 10
        assert stream.read(100) == PIECE[-10:]
        assert stream.seek(5) == 5
        assert stream.read(3) == PIECE[5:8]
    assert os.lseek(fd, 0, os.SEEK_CUR) == 0
    os.close(fd)
