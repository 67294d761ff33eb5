"""What the formats of hash-sharing services have in common: records that change and go, one hash each."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable

from scanner.feeds.checks import admit, count, digest, unsupported_name
from scanner.model.errors import FeedFormatError
from scanner.model.feeds import About, Entry, ImportCounts, Removal
from scanner.model.hashes import KINDS

MAX_LABELS = 32  # of one entry; real ones have some five
MAX_LABEL = 100  # characters
_PHOTODNA = "photodna"


def value_of(kind: str, text: str, where: str, counts: ImportCounts) -> tuple[str, bytes] | None:
    """A hash; None where its kind can't be matched here, which is counted.

    PhotoDNA is 144 bytes, as hexadecimal digits or as base64, and kept where a hasher brings its kind.

    Raises:
        FeedFormatError: it is not what its kind is.
    """
    if kind not in KINDS:
        count(counts.unsupported, unsupported_name(kind))
        return None
    if kind == _PHOTODNA and len(text) != 2 * KINDS[kind].size:
        return kind, _base64(kind, text, where)
    return kind, digest(kind, text, where)


def _base64(kind: str, text: str, where: str) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != KINDS[kind].size:
        raise FeedFormatError(f"{kind} has {KINDS[kind].size} bytes in hexadecimal or base64", where=where)
    return value


def entry_or_removal(
    hashes: Iterable[tuple[str, bytes]],
    id: str,
    category: str,
    counts: ImportCounts,
    *,
    key: str,
    changed_ns: int,
    about: About,
) -> Entry | Removal:
    """The entry of a record. One that has nothing left that can be matched takes back what it said before.

    Raises:
        FeedRefusedError: as `checks.admit`.
    """
    entry = admit(hashes, id, category, counts, key=key, changed_ns=changed_ns, about=about)
    return entry or Removal(key, changed_ns)


def left_out(reason: str, key: str, changed_ns: int, counts: ImportCounts) -> Removal:
    """A record that the operator does not want takes back what it said before, and is counted."""
    count(counts.refused, reason)
    return Removal(key, changed_ns)


def removal(key: str, changed_ns: int, counts: ImportCounts) -> Removal:
    """A tombstone, counted."""
    counts.removals += 1
    return Removal(key, changed_ns)


def key_of_value(kind: str, text: str) -> str:
    """The key of a record that its publisher tells from others by its hash alone; the hash is not in it."""
    return hashlib.sha256(f"{kind}\n{text.lower()}".encode("utf-8", "replace")).hexdigest()[:32]


def labels_of(words: Iterable[str]) -> tuple[str, ...]:
    """Words of a publisher's: each once, in order, bounded."""
    return tuple(sorted({word[:MAX_LABEL] for word in words if word}))[:MAX_LABELS]
