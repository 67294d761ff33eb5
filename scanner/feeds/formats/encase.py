"""Hash sets of EnCase up to version 6 (`.hash`): binary, MD5 only.

After sleuthkit's encase.cpp: a header of 1152 bytes that begins with ``HASH\\r\\n\\xff\\0`` and has the set's
name at 1032 in UTF-16; then records of 18 bytes, an MD5 and two bytes of which nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from scanner.feeds.formats.base import FormatOptions
from scanner.feeds.formats.batches import Batches
from scanner.model.errors import FeedFormatError
from scanner.model.feeds import ImportCounts, Packed

MAGIC = b"HASH\r\n\xff\x00"
_HEADER, _RECORD, _MD5 = 1152, 18, 16  # bytes
_AT_ONCE = 50_000  # records


class EncaseFormat:
    """Hash sets of EnCase 4 to 6: MD5, without ids and categories."""

    only_benign = ""
    summary = "hash sets of EnCase up to version 6 (.hash)"
    kinds = ("md5",)
    recognised_by = "its first eight bytes"

    @property
    def name(self) -> str:
        return "encase"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return None

    def proposes(self, head: bytes) -> str | None:
        return "it begins as an EnCase hash set does" if head.startswith(MAGIC) else None

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Packed]:
        header = stream.read(_HEADER)
        if len(header) != _HEADER or not header.startswith(MAGIC):
            raise FeedFormatError(
                f"expected a header of {_HEADER} bytes that begins as EnCase's does",
                where="byte 1",
                remedy="Sets of EnCase 7 and later are folders of another form: export them as CSV",
            )
        batches, done = Batches("md5", counts), _HEADER
        while records := stream.read(_RECORD * _AT_ONCE):
            if len(records) % _RECORD:
                raise FeedFormatError(
                    "the set is cut short: its last record is not whole",
                    where=f"byte {done + len(records)}",
                    remedy="Fetch the list again",
                )
            done += len(records)
            packed = batches.pack(records[n : n + _MD5] for n in range(0, len(records), _RECORD))
            if packed is not None:
                yield packed
