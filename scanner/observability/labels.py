"""What may stand in a label: names from the configuration and words of our own, never a path or a hash.

Metrics are read by many people and kept for long. A path names a customer, a hash is part of a list that
must not be published, and a worker's answer is hostile input that could make up a new word each time.
"""

from __future__ import annotations

import re

OTHER = "other"

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
# 16 hexadecimal digits are the shortest hash (pHash, 64 bits); a UUID's longest run is 12.
_HASH = re.compile(r"[0-9A-Fa-f]{16}")
# Reasons and kinds are some dozens of words; more means that somebody makes them up.
_MOST_WORDS = 100
_OPEN_ENDED = frozenset({"kind", "layer", "outcome", "reason", "result", "stage"})


class Labels:
    """Makes values safe for labels; remembers the words it has seen, to bound their number."""

    def __init__(self) -> None:
        self._words: dict[str, set[str]] = {}

    def safe(self, name: str, value: str) -> str:
        """The value itself, or "other" where it could be a path, a hash, or one word too many."""
        if not _PLAIN.fullmatch(value) or _HASH.search(value):
            return OTHER
        if name in _OPEN_ENDED:
            words = self._words.setdefault(name, set())
            if value not in words and len(words) >= _MOST_WORDS:
                return OTHER
            words.add(value)
        return value
