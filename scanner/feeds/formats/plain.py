"""Plain text: one digest a line, as md5sum and its family print them or bare.

Forms of a line (coreutils' digest.c): ``<hex>``, ``<hex>  name``, ``<hex> *name``, each with a leading
backslash where the name holds escapes; ``SHA256 (name) = <hex>`` of BSD and ``--tag``, without the
blanks from OpenSSL. Names are not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from scanner.feeds.checks import UNSUPPORTED_KINDS, admit, count, digest, kind_name
from scanner.feeds.formats.base import FormatOptions
from scanner.model.errors import FeedFormatError, FeedRefusedError
from scanner.model.feeds import LISTED, Entry, ImportCounts
from scanner.model.hashes import EXACT_KINDS, KINDS

# Bytes of a line that are held: a name of PATH_MAX is 4 KiB, escaped 8 KiB. Of a longer line the
# beginning and the end are kept, since a digest stands in one of them.
_MAX_LINE = 64 * 1024
_TAIL = 1024

_BY_LENGTH = {32: "md5", 40: "sha1"}
_AMBIGUOUS = 64  # digits: SHA-256 or PDQ

_DIGEST = re.compile(rb"\\?([0-9A-Fa-f]+)(?:[ \t]+(.*))?", re.DOTALL)
_SUM = re.compile(rb"\\?[0-9A-Fa-f]{64} [ *][^ ]")  # as sha256sum prints it
_TAG = re.compile(rb"\\?([A-Za-z][A-Za-z0-9-]{1,11}) ?\(.*\) ?= ([0-9A-Fa-f]+)", re.DOTALL)


class PlainFormat:
    """One digest a line, kind told by length; 64 digits need a declaration, or a line like sha256sum's."""

    @property
    def name(self) -> str:
        return "plain"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return None

    def proposes(self, head: bytes) -> str | None:
        for number, line in enumerate(head.split(b"\n"), 1):
            line = line.strip()
            if not line or line.startswith(b"#"):
                continue
            if _TAG.fullmatch(line):
                return f"line {number} is a tagged checksum"
            found = _DIGEST.fullmatch(line)
            if found and len(found[1]) in (*_BY_LENGTH, _AMBIGUOUS):
                return f"line {number} begins with {len(found[1])} hexadecimal digits"
            return None
        return None

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Entry]:
        by_length = _kinds_by_length(options.hash)
        for number, line in _lines(stream):
            if not line or line.startswith(b"#"):
                continue
            pair = _read(line, number, by_length, counts)
            if pair is not None:
                entry = admit((pair,), "", LISTED, counts)
                if entry is not None:
                    yield entry


def _kinds_by_length(declared: str | None) -> dict[int, str]:
    """Hash kind by number of digits.

    Raises:
        FeedRefusedError: the declared kind is none of ours.
    """
    by_length = dict(_BY_LENGTH)
    if declared is not None:
        if declared not in KINDS:
            raise FeedRefusedError(
                f"there is no hash kind '{declared}'", where="hash", remedy=f"Known kinds: {', '.join(KINDS)}"
            )
        by_length[2 * KINDS[declared].size] = declared
    return by_length


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers, stripped; long ones shortened in the middle.

    Raises:
        FeedFormatError: a NUL or a carriage return inside a line: its lines end otherwise, and all
            but the first digest would be lost unseen.
    """
    number = 0
    while line := stream.readline(_MAX_LINE):
        number += 1
        if len(line) == _MAX_LINE and not line.endswith(b"\n"):
            line = _shortened(line, stream, number)
        line = line.strip(b" \t\r\n")
        _check_ends(line, number)
        yield number, line


def _shortened(head: bytes, stream: BinaryIO, number: int) -> bytes:
    tail = b""
    while piece := stream.readline(_MAX_LINE):
        _check_ends(piece.rstrip(b"\r\n"), number)
        tail = (tail + piece)[-_TAIL:]
        if piece.endswith(b"\n"):
            break
    return head + tail


def _check_ends(line: bytes, number: int) -> None:
    if b"\0" in line:
        raise FeedFormatError(
            "a NUL byte in a line of text",
            where=f"line {number}",
            remedy="The list is UTF-16 (declare encoding: utf-16-le), or was made with -z; lines must end in"
            " a line feed",
        )
    if b"\r" in line:
        raise FeedFormatError(
            "a carriage return inside a line",
            where=f"line {number}",
            remedy="Lines must end in a line feed (LF or CR LF)",
        )


def _read(
    line: bytes, number: int, by_length: dict[int, str], counts: ImportCounts
) -> tuple[str, bytes] | None:
    found = _DIGEST.fullmatch(line)
    if found is None:
        return _read_tag(line, number, counts)
    digits = found[1]
    kind = by_length.get(len(digits))
    if kind is None:
        if len(digits) != _AMBIGUOUS:
            raise _unexpected(f"{len(digits)} hexadecimal digits", number, by_length)
        if not _SUM.match(line):
            raise FeedRefusedError(
                "64 hexadecimal digits are SHA-256 or PDQ, and nothing here says which",
                where=f"line {number}",
                remedy="Declare it in the feed's configuration: hash: sha256, or hash: pdq",
            )
        kind = "sha256"
    return kind, bytes.fromhex(digits.decode("ascii"))


def _read_tag(line: bytes, number: int, counts: ImportCounts) -> tuple[str, bytes] | None:
    found = _TAG.fullmatch(line)
    if found is None:
        raise _unexpected("something else", number, _BY_LENGTH)
    kind = kind_name(found[1].decode("ascii"))
    if kind in EXACT_KINDS:
        return kind, digest(kind, found[2].decode("ascii"), f"line {number}")
    if kind not in UNSUPPORTED_KINDS:
        raise FeedFormatError("a tagged checksum of an unknown kind", where=f"line {number}")
    count(counts.unsupported, kind)
    return None


def _unexpected(found: str, number: int, by_length: dict[int, str]) -> FeedFormatError:
    lengths = ", ".join(str(n) for n in sorted({*by_length, _AMBIGUOUS}))
    return FeedFormatError(
        f"expected a digest of {lengths} hexadecimal digits at the start of the line, found {found}",
        where=f"line {number}",
        remedy="A plain list has one digest a line, `#` comments, and a file name after it at most;"
        " declare another format: if it isn't one",
    )
