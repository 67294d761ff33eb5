"""The records of a JSON document that is an object with one list of them, or that list alone.

Read as a stream: of the document no more than one record is in memory, and a record is bounded in bytes and
in depth. Whatever else the object holds is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import ijson

from scanner.feeds.checks import MAX_TEXT
from scanner.model.errors import FeedFormatError

_CHUNK = 64 * 1024  # bytes given to the JSON parser at once
# Bytes without a finished record: a ThreatExchange indicator with some hundred opinions has 100 KiB.
_MAX_RECORD = 4 * 1024 * 1024
_MAX_DEPTH = 32  # of the document; real ones have seven levels


def records(stream: BinaryIO, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each record with the JSON path of it.

    Args:
        key: name of the list in the outermost object.

    Raises:
        FeedFormatError: the JSON is broken, cut short, too deep, or has no such list of objects.
    """
    guarded = _Guarded(stream)
    reader = _Reader(key)
    try:
        for event, value in ijson.basic_parse(guarded, buf_size=_CHUNK, use_float=True):
            if reader.take(event, value):
                guarded.silent = 0
                yield reader.path, reader.record
    except (ijson.JSONError, UnicodeDecodeError) as e:  # their own texts quote the list
        raise FeedFormatError(
            "here the JSON is cut short or broken",
            where=reader.path,
            remedy="Fetch the list again; if it stays so, tell the publisher",
        ) from e
    except FeedFormatError as e:
        raise FeedFormatError(e.what, where=e.where or reader.path, remedy=e.remedy) from e
    if not reader.found:
        raise FeedFormatError(f"expected a list `{key}`, found none", where="the outermost object")


class _Guarded:
    """A stream that ends when the parser swallows too much without a finished record."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.silent = 0

    def read(self, size: int = -1) -> bytes:
        if self.silent > _MAX_RECORD:
            raise FeedFormatError(f"more than {_MAX_RECORD} bytes without the end of a record")
        piece = self._stream.read(size)
        self.silent += len(piece)
        return piece


class _Reader:
    """Follows the events of a document and builds one record at a time.

    Attributes:
        found: the list was there.
        record: the one that is finished.
    """

    def __init__(self, key: str) -> None:
        self._name = key
        self._key = ""  # of the outermost object, which was last seen
        self._depth = 0
        self._inside = 0  # depth of the list of records while in it, else 0
        self._open: list[Any] = []  # containers of the record that is being built
        self._keys: list[str] = []
        self._at = -1
        self.found = False
        self.record: dict[str, Any] = {}

    @property
    def path(self) -> str:
        """The JSON path the events have come to."""
        return f"{self._name}[{self._at}]" if self.found and self._at >= 0 else "the beginning"

    def take(self, event: str, value: Any) -> bool:
        """Whether a record is finished now."""
        begins, ends = event in ("start_map", "start_array"), event in ("end_map", "end_array")
        self._depth += begins - ends
        if self._depth > _MAX_DEPTH:
            raise FeedFormatError(f"the JSON is nested deeper than {_MAX_DEPTH} levels")
        if self._inside:
            return self._in_list(event, value, begins, ends)
        self._outside(event, value, begins)
        return False

    def _outside(self, event: str, value: Any, begins: bool) -> None:
        outermost = self._depth == 1
        if outermost and event == "map_key":
            self._key = value
        elif outermost and event == "start_array":
            self._enter()
        elif not self._depth and not begins and event not in ("end_map", "end_array"):
            raise FeedFormatError("expected a JSON object or list")
        elif self._key == self._name and self._depth == 1 + begins:
            if event == "start_array":
                self._enter()
            elif event not in ("end_map", "end_array"):
                raise FeedFormatError("expected a list", where=self._name)

    def _enter(self) -> None:
        if self.found:
            raise FeedFormatError("the list is there twice", where=self._name)
        self.found, self._inside = True, self._depth

    def _in_list(self, event: str, value: Any, begins: bool, ends: bool) -> bool:
        if ends and self._depth < self._inside:
            self._inside, self._key = 0, ""
            return False
        if not self._open:
            self._at += 1
            if event != "start_map":
                raise FeedFormatError("expected an object")
        if event == "map_key":
            self._keys[-1] = value
        elif ends:
            self.record = self._open.pop()
            self._keys.pop()
            return not self._open
        else:
            self._put(({} if event == "start_map" else []) if begins else value, begins)
        return False

    def _put(self, value: Any, begins: bool) -> None:
        if self._open:
            holder = self._open[-1]
            if isinstance(holder, dict):
                holder[self._keys[-1]] = value
            else:
                holder.append(value)
        if begins:
            self._open.append(value)
            self._keys.append("")


def text_of(record: dict[str, Any], key: str, where: str) -> str:
    """A member that is text, or a number that may be written as one; "" where it is null or absent.

    Raises:
        FeedFormatError: it is something else, or too long.
    """
    value = record.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise FeedFormatError(f"`{key}`: expected text, found something else", where=where)
    text = str(value).strip()
    if len(text) > MAX_TEXT:
        raise FeedFormatError(
            f"`{key}`: a text of {len(text)} characters, at most {MAX_TEXT} can be right", where=where
        )
    return text


def is_true(value: Any) -> bool:
    """A yes, also where it came as text or a number."""
    return value in (True, "true", "True", "1")


def objects_of(value: Any) -> list[dict[str, Any]]:
    """The objects of a list, or of the list `data` of an object; anything else is none."""
    if isinstance(value, dict):
        value = value.get("data")
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
