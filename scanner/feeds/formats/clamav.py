"""Signatures of whole files as ClamAV has them: `.hdb` and `.hsb`, and `.fp` and `.sfp`, which look the same.

After docs.clamav.net, "File hash signatures": ``hash:size:name`` with MD5, SHA-1 or SHA-256 by length; a size
of ``*`` needs a least engine version of 73 or more behind the name; a greatest one may follow. Sizes and
versions say when an engine looks, not what is listed: they are checked and not kept. `.fp` and `.sfp` are the
files that ClamAV lets pass: nothing in them says so, the feed's polarity does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from scanner.feeds.checks import MAX_TEXT, admit, pass_over
from scanner.feeds.formats.base import FormatOptions
from scanner.model.errors import FeedFormatError, FeedRefusedError
from scanner.model.feeds import LISTED, Entry, ImportCounts

_KINDS = {32: "md5", 40: "sha1", 64: "sha256"}
_HASH = rb"([0-9A-Fa-f]{64}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{32})"
_SIZE = rb"(\*|[0-9]{1,19})"
_NAME = rb"([^:\r\n]+)"
_VERSIONS = rb"(?::([0-9]{1,6})(?::[0-9]{1,6})?)?"
_SIGNATURE = re.compile(_HASH + b":" + _SIZE + b":" + _NAME + _VERSIONS)
_SECTION = re.compile(_SIZE + b":" + _HASH + b":" + _NAME + _VERSIONS)
_ANY_SIZE_FROM = 73  # the engine version that learnt `*`
_MAX_LINE = 64 * 1024  # bytes; real ones have some 100
_CONTAINER = b"ClamAV-VDB:"

# Files of ClamAV that hold no digests of whole files, by the end of their names: `.imp` looks like `.hdb`.
_OTHERS = {
    ".mdb": "digests of sections of Windows programs",
    ".msb": "digests of sections of Windows programs",
    ".imp": "digests of import tables of Windows programs",
    ".ign": "names of signatures to be ignored",
    ".ign2": "names of signatures to be ignored",
    ".cvd": "a container",
    ".cld": "a container",
}


def unusable(file_name: str) -> str | None:
    """Why a file of this name can't be a list of digests of files; None if it may be one."""
    found = next((what for end, what in _OTHERS.items() if file_name.lower().endswith(end)), None)
    return f"a ClamAV file of this name holds {found}, no digests of files" if found else None


class ClamavFormat:
    """Signatures of ClamAV by the digest of a whole file: `hash:size:name` a line."""

    only_benign = ""
    summary = "ClamAV's .hdb, .hsb, .fp and .sfp: hash:size:name; .fp and .sfp are benign lists"
    kinds = ("md5", "sha1", "sha256")
    recognised_by = "hash:size:name in its first line"

    @property
    def name(self) -> str:
        return "clamav"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return None

    def proposes(self, head: bytes) -> str | None:
        if head.startswith(_CONTAINER):
            return "it is a ClamAV container"
        for number, line in enumerate(head.split(b"\n"), 1):
            line = line.strip()
            if not line or line.startswith(b"#"):
                continue
            if _SIGNATURE.fullmatch(line):
                return f"line {number} is hash:size:name"
            return f"line {number} is size:hash:name" if _SECTION.fullmatch(line) else None
        return None

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Entry]:
        number = 0
        while line := stream.readline(_MAX_LINE):
            number += 1
            whole = line.endswith(b"\n")
            if not whole and len(line) == _MAX_LINE:
                raise FeedFormatError(f"a line longer than {_MAX_LINE} bytes", where=f"line {number}")
            line = line.strip()
            if not line or line.startswith(b"#"):
                continue
            try:
                entry = _entry(line, number, counts)
            except FeedFormatError as e:
                if not whole:  # the last line, and cut off: more may be missing
                    raise
                pass_over(e, counts)
                continue
            if entry is not None:
                yield entry


def _entry(line: bytes, number: int, counts: ImportCounts) -> Entry | None:
    where = f"line {number}"
    found = _SIGNATURE.fullmatch(line)
    if found is None:
        _refuse_others(line, where)
        raise FeedFormatError("expected hash:size:name", where=where)
    digits, size, name, least = found.groups()
    if size == b"*" and int(least or 0) < _ANY_SIZE_FROM:
        raise FeedFormatError(
            f"a signature for any size needs a least engine version of {_ANY_SIZE_FROM}", where=where
        )
    if len(name) > MAX_TEXT:
        raise FeedFormatError(f"a name of {len(name)} bytes, at most {MAX_TEXT} can be right", where=where)
    value = bytes.fromhex(digits.decode("ascii"))
    text = name.decode("utf-8", "backslashreplace")[:MAX_TEXT]
    return admit(((_KINDS[len(digits)], value),), text, LISTED, counts)


def _refuse_others(line: bytes, where: str) -> None:
    if _SECTION.fullmatch(line):
        raise FeedRefusedError(
            "size:hash:name: these are digests of sections of Windows programs (.mdb, .msb), not of files",
            where=where,
            remedy="Take the .hdb or .hsb of the same publisher",
        )
    if line.startswith(_CONTAINER):
        raise FeedRefusedError(
            "this is a ClamAV container (.cvd, .cld)",
            where=where,
            remedy="Unpack it with `sigtool --unpack` and take the .hdb, .hsb or .fp in it",
        )
