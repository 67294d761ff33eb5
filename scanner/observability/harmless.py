"""Log records without harm: what strangers chose is escaped, what must not be told is left out."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from pathlib import PurePath
from typing import Any

from scanner.model.hashes import KINDS
from scanner.model.names import display

# Keys whose values are hashes or parts of a list: they are never logged, whoever tries.
_UNTOLD_KEYS = frozenset({"digest", "digests", "hash", "hashes", *KINDS})
_UNTOLD = "(not logged)"
_DEEPEST = 4  # of nested values; a log record is flat
_INDENT = "    | "  # before each line of a traceback, so that none looks like a record of its own

EventDict = MutableMapping[str, Any]


def harmless(_logger: object, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: every value becomes harmless text, a number, or a list or mapping of those."""
    for key, value in event.items():
        if key in _UNTOLD_KEYS:
            event[key] = _UNTOLD
        elif key == "exception" and isinstance(value, str):
            event[key] = "\n".join(_INDENT + display(line) for line in value.split("\n"))
        else:
            event[key] = told(value)
    return event


def told(value: object, depth: int = 0) -> object:
    """A value as it may be logged."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return display(bytes(value))
    if isinstance(value, PurePath):
        return display(os.fsencode(value))
    if isinstance(value, str | BaseException):
        return display(str(value))
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {
            display(k if isinstance(k, bytes) else str(k)): _UNTOLD
            if k in _UNTOLD_KEYS
            else told(v, depth + 1)
            for k, v in value.items()
        }
    if depth < _DEEPEST and isinstance(value, list | tuple | set | frozenset):
        return [told(v, depth + 1) for v in value]
    return display(repr(value))
