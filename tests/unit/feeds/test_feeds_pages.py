"""A list that came in pages is read page by page, and one that is cut short is refused."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from scanner.feeds import FormatOptions, import_list
from scanner.feeds.pages import MAGIC, PageWriter
from scanner.model.errors import FeedError, FeedFormatError
from scanner.model.feeds import Item


class Sink:
    def __init__(self) -> None:
        self.data = b""

    async def write(self, data: bytes) -> None:
        self.data += data


def paged(*pages: bytes) -> bytes:
    async def write() -> bytes:
        sink = Sink()
        writer = PageWriter(sink)
        for page in pages:
            await writer.write(page)
        return sink.data

    return asyncio.run(write())


def line(n: int) -> bytes:
    return hashlib.md5(b"%d" % n).hexdigest().encode() + b"\n"


def test_pages_are_read_in_their_order_each_as_a_list_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(paged(b"# one\n" + line(1), b"", line(2).rstrip(), line(3)))
    got: list[Item] = []
    assert import_list(path, "auto", FormatOptions(), got.append).counts.hashes == {"md5": 3}


@pytest.mark.parametrize("cut", [len(MAGIC) + 2, -1, -40])
def test_pages_that_are_cut_short_are_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "list"
    path.write_bytes(paged(line(1), line(2))[:cut])
    with pytest.raises(FeedError):
        import_list(path, "plain", FormatOptions(), [].append)


def test_a_length_that_can_not_be_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(paged(line(1)) + b"\xff\xff\xff\xff")
    with pytest.raises(FeedFormatError, match="cut short or damaged"):
        import_list(path, "plain", FormatOptions(), [].append)
