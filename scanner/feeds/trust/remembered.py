"""What is remembered of the last list that was believed: in the feed's state, and in a file of its own.

The state says why the list in use is believed. The file, `trust.json`, holds what the next list is compared
with: it outlives a damaged state, and lists that came unsigned in between.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from scanner.feeds.trust.rules import MAX_SERIAL, Accepted
from scanner.feeds.versioned import versioned

VERSION = 1
MAX_FILE = 16 << 10  # bytes; it has some 500
_HEX = re.compile(r"[0-9A-Fa-f]*")
_MOST_NS = 1 << 63
_KEYS = ("kind", "key", "signed_ns", "serial", "digest", "signature")


def accepted_from(found: Mapping[str, Any]) -> Accepted:
    """From its form on disk, `asdict`.

    Raises:
        ValueError: it is damaged.
    """
    if found.keys() != set(_KEYS):
        raise ValueError("it has not the fields of what was believed")
    kind, key, signed_ns, serial, digest, signature = (found[name] for name in _KEYS)
    words = (key, digest, signature)
    if kind not in ("minisign", "openpgp") or not all(type(w) is str and _HEX.fullmatch(w) for w in words):
        raise ValueError("a field of what was believed is damaged")
    if type(signed_ns) is not int or not 0 <= signed_ns < _MOST_NS:
        raise ValueError("'signed_ns' is no time")
    if serial is not None and (type(serial) is not int or not 0 <= serial <= MAX_SERIAL):
        raise ValueError("'serial' is no number")
    return Accepted(kind, key, signed_ns, serial, digest, signature)


def to_file(accepted: Accepted | None, snapshot: str) -> bytes:
    """The content of trust.json; `snapshot` is the name of the list's index; None: forgotten by order."""
    trust = None if accepted is None else asdict(accepted)
    return json.dumps({"version": VERSION, "snapshot": snapshot, "trust": trust}).encode() + b"\n"


def from_file(data: bytes) -> tuple[Accepted | None, str]:
    """What was believed, and the name of the list's index; None where it was forgotten by order.

    Raises:
        ValueError: it is damaged.
    """
    found = versioned(data, VERSION)
    trust, snapshot = found.get("trust", ""), found.get("snapshot")
    if not isinstance(trust, dict | None) or not isinstance(snapshot, str):
        raise ValueError("it has not the fields it should have")
    return None if trust is None else accepted_from(trust), snapshot
