"""Lists as gzip or zstd files: the content is read, limited after unpacking, and whole or refused."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest
from backports import zstd

from scanner.feeds import FormatOptions, import_list
from scanner.model.errors import FeedFormatError, FeedRefusedError

LINES = b"".join(b"%032x\n" % n for n in range(2, 3000))
PACKERS = pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])


def read(path: Path, content: bytes, **options: int) -> tuple[list[object], str]:
    path.write_bytes(content)
    entries: list[object] = []
    result = import_list(path, "auto", FormatOptions(), entries.append, **options)
    return entries, result.sha256


@PACKERS
def test_a_packed_list_is_read_also_in_several_members(tmp_path: Path, pack) -> None:
    plain, _ = read(tmp_path / "list", LINES)
    assert plain
    for content in (pack(LINES), pack(LINES[:3300]) + pack(LINES[3300:])):
        entries, digest = read(tmp_path / "list", content)
        assert entries == plain
        assert digest == hashlib.sha256(content).hexdigest()  # of the list as it is published


@PACKERS
@pytest.mark.parametrize("keep", [-1, 900, 30])
def test_a_packed_list_that_is_cut_short_fails_whole(tmp_path: Path, pack, keep: int) -> None:
    with pytest.raises(FeedFormatError, match=r"(gzip|zstd) data is damaged or cut short"):
        read(tmp_path / "list", pack(LINES)[:keep])


@PACKERS
def test_a_bomb_ends_at_the_limit(tmp_path: Path, pack) -> None:
    with pytest.raises(FeedRefusedError, match="unpacked, the list has more than 1000000 bytes"):
        read(tmp_path / "list", pack(LINES * 50), max_bytes=1_000_000)


def test_a_frame_that_wants_gigabytes_of_memory_is_refused(tmp_path: Path) -> None:
    """The header of a zstd frame names the window that unpacking needs: up to 3.75 TiB."""
    frame = b"\x28\xb5\x2f\xfd" + b"\x00" + bytes([(41 - 10) << 3]) + b"\x01\x00\x00"
    with pytest.raises(FeedFormatError, match="zstd"):
        read(tmp_path / "list", frame + bytes(100))
