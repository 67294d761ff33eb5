"""The lines of plain lists: one by one with what is wrong with them, or many that are alike at once."""

from __future__ import annotations

import re
from collections.abc import Mapping

from scanner.feeds.checks import UNSUPPORTED_KINDS, digest, kind_name
from scanner.feeds.written import decoded, is_base64_of
from scanner.model.errors import FeedFormatError, FeedRefusedError
from scanner.model.hashes import EXACT_KINDS, KINDS

AMBIGUOUS = 64  # digits: SHA-256, PDQ, or another hash of 256 bits

LENGTHS: Mapping[int, str] = {
    56: "sha224",
    96: "sha384",
    128: "sha512",
    **{2 * KINDS[kind].size: kind for kind in EXACT_KINDS if 2 * KINDS[kind].size != AMBIGUOUS},
}
"""Kinds that the number of digits tells."""

_DIGEST = re.compile(rb"\\?([0-9A-Fa-f]+)(?:[ \t]+(.*))?", re.DOTALL)
_SUM = re.compile(rb"\\?[0-9A-Fa-f]{64} [ *][^ ]")  # as sha256sum prints it
_TAG = re.compile(rb"\\?([A-Za-z][A-Za-z0-9-]{1,11}) ?\(.*\) ?= ([0-9A-Za-z+/]+={0,2})", re.DOTALL)
_HEADER = re.compile(rb"[A-Za-z]{2,8}[-_ ]?[0-9]{1,3}")

# All lines of a block, each one alike, by the number of digits; with names only in the case of 64, see above.
_ALIKE = {
    n: re.compile(rb"^\\?([0-9A-Fa-f]{%d})(?:[ \t][^\n]*|\r)?\n" % n, re.MULTILINE) for n in LENGTHS
} | {AMBIGUOUS: re.compile(rb"^\\?([0-9A-Fa-f]{64}) [ *][^ \r\n][^\n]*\n", re.MULTILINE)}
_DECLARED = re.compile(rb"^\\?([0-9A-Fa-f]{64})(?:[ \t][^\n]*|\r)?\n", re.MULTILINE)


def proposed(line: bytes, number: int) -> str | None:
    """Why a list whose first line is this could be a plain one."""
    tagged = _TAG.fullmatch(line)
    if tagged and _known(kind_name(tagged[1].decode("ascii"))):
        return f"line {number} is a tagged checksum"
    found = _DIGEST.fullmatch(line)
    if found and len(found[1]) in (*LENGTHS, AMBIGUOUS):
        return f"line {number} begins with {len(found[1])} hexadecimal digits"
    header = kind_of_header(line)
    return f"line {number} is the name of a kind of hash" if header else None


def kind_of_header(line: bytes) -> str:
    """The kind that a first line names all others to be, "" where it is none."""
    if not _HEADER.fullmatch(line):
        return ""
    kind = kind_name(line.decode("ascii"))
    return kind if kind in EXACT_KINDS or (kind in UNSUPPORTED_KINDS and kind in LENGTHS.values()) else ""


def _known(kind: str) -> bool:
    return kind in EXACT_KINDS or kind in UNSUPPORTED_KINDS


def uniform(block: bytes, by_length: Mapping[int, str]) -> tuple[str, bytes] | None:
    """Kind and values of a block whose lines are all alike; None where they aren't, or something is odd."""
    end = block.find(b"\n")
    first = _DIGEST.match(block[:end].rstrip(b"\r")) if end > 0 else None
    if first is None or not block.endswith(b"\n"):
        return None
    digits = len(first[1])
    kind = by_length.get(digits)
    if kind is None and digits == AMBIGUOUS in lengths(by_length):
        kind = "sha256"  # as the pattern makes sure
    elif kind not in KINDS:
        return None
    assert kind is not None
    size = KINDS[kind].size
    values = _bare(block, end, digits, size) if digits in by_length else None
    if values is None:
        values = _named(block, digits, size, declared=digits in by_length)
    return None if values is None else (kind, values)


def _bare(block: bytes, end: int, digits: int, size: int) -> bytes | None:
    """Lines of nothing but digits, all of one length: the line ends lie at equal distances."""
    width = end + 1
    lines, odd = divmod(len(block), width)
    if odd or end - digits not in (0, 1) or block[end::width] != b"\n" * lines:
        return None
    if end > digits and block[digits::width] != b"\r" * lines:
        return None
    try:
        values = bytes.fromhex(block.decode("ascii"))  # skips white space, so it is counted below
    except ValueError:
        return None
    return values if len(values) == lines * size else None


def _named(block: bytes, digits: int, size: int, *, declared: bool) -> bytes | None:
    """Lines of digits and a name, or of either."""
    pattern = _DECLARED if declared and digits == AMBIGUOUS else _ALIKE.get(digits)
    if pattern is None or b"\0" in block or block.count(b"\r") != block.count(b"\r\n"):
        return None
    found = pattern.findall(block)
    if len(found) != block.count(b"\n"):
        return None
    values = bytes.fromhex(b"".join(found).decode("ascii"))
    return values if len(values) == len(found) * size else None


class Lines:
    """Reads single lines.

    Args:
        by_length: hash kind by number of digits.
    """

    def __init__(self, by_length: Mapping[int, str]) -> None:
        self.by_length = by_length

    def read(self, line: bytes, number: int) -> tuple[str, bytes | None, int]:
        """The kind of a line that is no comment, its value, and how many digits it begins with.

        Returns:
            the value is None where the kind can't be matched; the digits are 0 where the line is tagged.

        Raises:
            FeedFormatError: it is no digest.
            FeedRefusedError: it can be two kinds, and nothing says which.
        """
        found = _DIGEST.fullmatch(line)
        if found is None:
            return self._tag(line, number)
        digits = len(found[1])
        kind = self.by_length.get(digits)
        if kind is None:
            if digits != AMBIGUOUS or AMBIGUOUS not in lengths(self.by_length):
                raise self._unexpected(f"{digits} hexadecimal digits", number)
            if not _SUM.match(line):
                raise FeedRefusedError(
                    "64 hexadecimal digits are SHA-256 or PDQ, and nothing here says which",
                    where=f"line {number}",
                    remedy="Declare it in the feed's configuration: hash: sha256, or hash: pdq",
                )
            kind = "sha256"
        value = bytes.fromhex(found[1].decode("ascii")) if kind in KINDS else None
        return kind, value, digits

    def _tag(self, line: bytes, number: int) -> tuple[str, bytes | None, int]:
        found = _TAG.fullmatch(line)
        if found is None:
            raise self._unexpected("something else", number)
        kind, text = kind_name(found[1].decode("ascii")), found[2].decode("ascii")
        if kind in EXACT_KINDS:
            if is_base64_of(kind, text):
                return kind, decoded(kind, text, "base64", f"line {number}"), 0
            return kind, digest(kind, text, f"line {number}"), 0
        if kind not in UNSUPPORTED_KINDS:
            raise FeedFormatError("a tagged checksum of an unknown kind", where=f"line {number}")
        return kind, None, 0

    def _unexpected(self, found: str, number: int) -> FeedFormatError:
        expected = ", ".join(str(n) for n in sorted(lengths(self.by_length)))
        return FeedFormatError(
            f"expected a digest of {expected} hexadecimal digits at the start of the line, found {found}",
            where=f"line {number}",
            remedy="A plain list has one digest a line, `#` comments, and a file name after it at most;"
            " declare another format: if it isn't one",
        )


def lengths(by_length: Mapping[int, str]) -> set[int]:
    """Lengths that a line may have; a list whose first line names its kind has only one."""
    return {*by_length, AMBIGUOUS} if len(by_length) > 1 else set(by_length)
