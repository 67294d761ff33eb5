"""NIST's NSRL as text (RDS version 2, `NSRLFile.txt`): known software.

Two headers are in use (RDS 2.x, "NSRL data formats")::

    "SHA-1","MD5","CRC32","FileName","FileSize","ProductCode","OpSystemCode","SpecialCode"
    "SHA-1","FileName","FileSize","ProductCode","OpSystemCode","MD4","MD5","CRC32","SpecialCode"

Names are in no certain encoding and may hold quotes, so a row is read from its two ends, as bytes. Of the
special codes only "" is software that is known and nothing else: "M" is malicious, "S" special.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

from scanner.feeds.batches import unhexed_apart
from scanner.feeds.checks import count, pass_over
from scanner.feeds.formats.base import FormatOptions
from scanner.feeds.formats.batches import Batches
from scanner.model.errors import FeedFormatError, FeedRefusedError
from scanner.model.feeds import ImportCounts, Packed

ONLY_BENIGN = "it lists known software, whatever that is; a picture in it is one of many installations"

_SHA1, _MD5, _CRC = rb'"?([0-9A-Fa-f]{40})"?', rb'"?([0-9A-Fa-f]{32})"?', rb'"?[0-9A-Fa-f]{1,8}"?'
_CODE = rb'"?([A-Za-z]?)"?'
_HEADERS = {
    "sha-1,md5,crc32,filename,filesize,productcode,opsystemcode,specialcode": re.compile(
        _SHA1 + b"," + _MD5 + b"," + _CRC + b",.*," + _CODE, re.DOTALL
    ),
    "sha-1,filename,filesize,productcode,opsystemcode,md4,md5,crc32,specialcode": re.compile(
        _SHA1 + b",.*," + _MD5 + b"," + _CRC + b"," + _CODE, re.DOTALL
    ),
}
_MAX_LINE = 64 * 1024  # bytes; names have at most some hundred
_AT_ONCE = 50_000  # rows
_COLUMN = {"sha1": 1, "md5": 2}


class NsrlTextFormat:
    """Known software of NIST as text (RDS version 2); a benign list."""

    only_benign = ONLY_BENIGN
    summary = "NIST's NSRL as text, RDS version 2: known software"
    kinds = ("sha1", "md5")
    recognised_by = "its header"

    @property
    def name(self) -> str:
        return "nsrl-text"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return None

    def proposes(self, head: bytes) -> str | None:
        return None if _rows_of(head.split(b"\n", 1)[0]) is None else "its first line is the header of NSRL's"

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Packed]:
        kind = chosen_kind(options, tuple(_COLUMN))
        row = _rows_of(stream.readline(_MAX_LINE))
        if row is None:
            raise FeedFormatError("expected the header of NSRLFile.txt", where="line 1")
        batches, lines = Batches(kind, counts, distinct=True), _lines(stream)
        while batch := list(islice(lines, _AT_ONCE)):
            texts = list(_hashes(row, batch, _COLUMN[kind], counts))
            values = unhexed_apart(texts, len(texts[0]) // 2) if texts else None
            packed = batches.pack(values or ())
            if packed is not None:
                yield packed


def chosen_kind(options: FormatOptions, offered: tuple[str, ...]) -> str:
    """The one kind that is taken: a veto needs one hash of a file only, and lists of software are large.

    Raises:
        FeedRefusedError: the feed declares one that the list does not have.
    """
    if options.hash is None:
        return offered[0]
    if options.hash not in offered:
        raise FeedRefusedError(
            f"this list has no {options.hash}", where="hash", remedy=f"Declare one of {', '.join(offered)}"
        )
    return options.hash


def _rows_of(header: bytes) -> re.Pattern[bytes] | None:
    names = header.decode("latin-1").replace('"', "").replace(" ", "").strip().lower()
    return _HEADERS.get(names)


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    number = 1
    while line := stream.readline(_MAX_LINE):
        number += 1
        if not line.endswith(b"\n"):
            what = "the list is cut short: its last line does not end"
            if len(line) == _MAX_LINE:
                what = f"a line longer than {_MAX_LINE} bytes"
            raise FeedFormatError(what, where=f"line {number}", remedy="Fetch the list again")
        yield number, line.strip()


def _hashes(
    row: re.Pattern[bytes], batch: list[tuple[int, bytes]], column: int, counts: ImportCounts
) -> Iterator[bytes]:
    for number, line in batch:
        found = row.fullmatch(line)
        if found is None:
            if line:
                pass_over(FeedFormatError("not a row as the header says", where=f"line {number}"), counts)
        elif found[3]:
            count(counts.refused, "special_code")
        else:
            yield found[column]
