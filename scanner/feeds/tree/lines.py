"""An entry as one line of text, and the checksum of a set of such lines.

A line is ``<key> <JSON>``: 32 hexadecimal digits that name the record, a blank, and the record as JSON in
ASCII with sorted keys and without blanks, so that equal records are equal bytes. In a file each line has a
sign before it: ``+`` for a record that is there, ``-`` for one that is there no more.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from scanner.feeds.checks import MAX_TEXT, admit, category_text, count, digest, unsupported_name
from scanner.model.errors import FeedFormatError
from scanner.model.feeds import LISTED, About, Entry, ImportCounts
from scanner.model.hashes import KINDS

MAX_LINE = 64 << 10  # bytes; real ones have some 200
_KEY_DIGITS = 32
_LINE = re.compile(rb"([0-9a-f]{32}) (\{.*\})")
_FIELDS = frozenset({"hashes", "id", "category", "severity", "labels", "added", "removed", "source"})
_MAX_LABELS = 100

_SUM_BYTES = 256
_MODULUS = 1 << (8 * _SUM_BYTES)


def line_of(entry: Entry) -> bytes:
    """The line of an entry, without a sign and a line feed. Records without a key of their own are named by
    their content, so that any change of one is a removal and an addition."""
    told: dict[str, Any] = {"hashes": {kind: value.hex() for kind, value in entry.hashes}}
    if entry.id:
        told["id"] = entry.id
    if entry.category != LISTED:
        told["category"] = entry.category
    if entry.about is not None:
        told |= _about(entry.about)
    text = json.dumps(told, sort_keys=True, separators=(",", ":")).encode("ascii")
    name = b"key " + entry.key.encode("utf-8", "backslashreplace") if entry.key else b"record " + text
    return hashlib.sha256(name).hexdigest()[:_KEY_DIGITS].encode("ascii") + b" " + text


def _about(about: About) -> dict[str, Any]:
    told = {
        "severity": about.severity,
        "labels": list(about.labels),
        "added": about.added_ns,
        "removed": about.removed_ns,
        "source": about.source,
    }
    return {key: value for key, value in told.items() if value}


def key_of(line: bytes) -> bytes:
    """The name of a line's record.

    Raises:
        FeedFormatError: it is no such line.
    """
    found = _LINE.fullmatch(line)
    if found is None:
        raise FeedFormatError("expected a key of 32 hexadecimal digits, a blank and a JSON object")
    return found[1]


def entry_of(line: bytes, changed: int, counts: ImportCounts) -> Entry | None:
    """The entry of a line; None where no hash of it can be used.

    Args:
        changed: the serial number the line belongs to: later ones count.

    Raises:
        FeedFormatError: it is not as `line_of` writes it.
    """
    key = key_of(line)
    try:
        told = json.loads(line[_KEY_DIGITS + 1 :])
    except (ValueError, RecursionError) as e:
        raise FeedFormatError("the record is no JSON") from e
    if not told.keys() <= _FIELDS or not isinstance(told.get("hashes"), dict) or not told["hashes"]:
        raise FeedFormatError("the record has other fields than a record has")
    hashes = []
    for kind, text in told["hashes"].items():
        if kind not in KINDS:
            count(counts.unsupported, unsupported_name(kind))
        elif isinstance(text, str):
            hashes.append((kind, digest(kind, text, "hashes")))
        else:
            raise FeedFormatError("a hash is no text")
    about = _read_about(told)
    category = category_text(_text(told, "category")) if "category" in told else LISTED
    return admit(
        hashes, _text(told, "id"), category, counts, key=key.decode("ascii"), changed_ns=changed, about=about
    )


def _read_about(told: Mapping[str, Any]) -> About | None:
    if not told.keys() & {"severity", "labels", "added", "removed", "source"}:
        return None
    labels = told.get("labels", [])
    if not isinstance(labels, list) or len(labels) > _MAX_LABELS:
        raise FeedFormatError("the labels are no short list")
    return About(
        _text(told, "severity"),
        tuple(_text({"labels": label}, "labels") for label in labels),
        _time(told, "added"),
        _time(told, "removed"),
        _text(told, "source"),
    )


def _text(told: Mapping[str, Any], field: str) -> str:
    value = told.get(field, "")
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise FeedFormatError(f"'{field}' is no text of at most {MAX_TEXT} characters")
    return value


def _time(told: Mapping[str, Any], field: str) -> int:
    value = told.get(field, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise FeedFormatError(f"'{field}' is no time in nanoseconds")
    return value


class LineSum:
    """A checksum of a set of lines, which can be carried on by what comes and goes.

    The sum of SHAKE-256 of the lines, 2048 bits each, modulo 2^2048 (AdHash: Bellare and Micciancio, "A New
    Paradigm for Collision-Free Hashing", 1997; at this size Wagner's generalised birthday attack is out of
    reach). Equal sets have equal sums, in whatever order and steps they came about.
    """

    __slots__ = ("_sum",)

    def __init__(self, carried: str = "") -> None:
        """Args:
            carried: `carry` of an earlier one, "" for an empty set.

        Raises:
            ValueError: it is none.
        """
        self._sum = int(carried, 16) if carried else 0
        if not 0 <= self._sum < _MODULUS:
            raise ValueError("no sum")

    def add(self, line: bytes) -> None:
        """One more line, without sign and line feed."""
        self._sum = (self._sum + self._of(line)) % _MODULUS

    def remove(self, line: bytes) -> None:
        """One line fewer."""
        self._sum = (self._sum - self._of(line)) % _MODULUS

    def apply(self, signed: Iterable[bytes]) -> None:
        """Lines of a file, with their signs.

        Raises:
            FeedFormatError: a line has no sign.
        """
        for line in signed:
            if line[:1] == b"+":
                self.add(line[1:])
            elif line[:1] == b"-":
                self.remove(line[1:])
            else:
                raise FeedFormatError("a line without a sign")

    @staticmethod
    def _of(line: bytes) -> int:
        return int.from_bytes(hashlib.shake_256(line).digest(_SUM_BYTES), "big")

    @property
    def carry(self) -> str:
        """To go on from later."""
        return f"{self._sum:x}"

    @property
    def checksum(self) -> str:
        """As a notification tells it: SHA-256 of the sum, in hexadecimal."""
        return hashlib.sha256(self._sum.to_bytes(_SUM_BYTES, "big")).hexdigest()
