"""The records of a JSON document that is an object with one list of them, or that list alone.

Read as a stream: of the document no more than one record is in memory, and a record is bounded in bytes and
in depth. Whatever else the object holds is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import ijson

from scanner.feeds.checks import MAX_TEXT
from scanner.feeds.json_events import BEGINS, CHUNK, ENDS, Guarded, located
from scanner.model.errors import FeedFormatError

# Bytes without a finished record: a ThreatExchange indicator with some hundred opinions has 100 KiB.
_MAX_RECORD = 4 * 1024 * 1024
_MAX_DEPTH = 32  # of a record, and of anything else; real ones have six levels

_Events = Iterator[tuple[str, Any]]


def records(stream: BinaryIO, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each record with the JSON path of it.

    Args:
        key: name of the list in the outermost object.

    Raises:
        FeedFormatError: the JSON is broken, cut short, too deep, or has no such list of objects.
    """
    guarded = Guarded(stream, _MAX_RECORD, "more than {} bytes without the end of a record")
    place = _Place(key)
    with located(lambda: place.path):
        events = iter(ijson.basic_parse(guarded, buf_size=CHUNK, use_float=True))
        for record in _document(events, place):
            guarded.silent = 0
            yield place.path, record
        for _ in events:  # there may be no more, and the parser says so
            pass
    if place.at is None:
        raise FeedFormatError(f"expected a list `{key}`, found none", where="the outermost object")


class _Place:
    """Where the events have come to.

    Attributes:
        name: of the list of records.
        at: the number of the record, -1 before the first; None: the list was not met yet.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.at: int | None = None

    @property
    def path(self) -> str:
        return "the beginning" if self.at is None else f"{self.name}[{max(self.at, 0)}]"


def _document(events: _Events, place: _Place) -> Iterator[dict[str, Any]]:
    """The records of the outermost value."""
    event, _ = next(events)
    if event == "start_array":
        yield from _list(events, place)
        return
    if event != "start_map":
        raise FeedFormatError("expected a JSON object or list")
    for event, key in events:
        if event == "end_map":
            return
        event, _ = next(events)  # of the value of that key
        if key != place.name:
            _pass_over(events, event)
        elif event != "start_array":
            raise FeedFormatError("expected a list", where=place.name)
        elif place.at is not None:
            raise FeedFormatError("the list is there twice", where=place.name)
        else:
            yield from _list(events, place)


def _list(events: _Events, place: _Place) -> Iterator[dict[str, Any]]:
    place.at = -1
    for event, _ in events:
        if event == "end_array":
            return
        place.at += 1
        if event != "start_map":
            raise FeedFormatError("expected an object")
        yield _record(events)


def _record(events: _Events) -> dict[str, Any]:
    """Build an object of which the beginning was met."""
    record: dict[str, Any] = {}
    containers: list[Any] = [record]
    keys = [""]
    for event, value in events:
        if event == "map_key":
            keys[-1] = value
            continue
        if event in ENDS:
            containers.pop()
            keys.pop()
            if not containers:
                break
            continue
        begins = event in BEGINS
        if begins:
            value = {} if event == "start_map" else []
        holder = containers[-1]
        if type(holder) is dict:
            holder[keys[-1]] = value
        else:
            holder.append(value)
        if begins:
            containers.append(value)
            keys.append("")
            _check_depth(len(containers))
    return record


def _pass_over(events: _Events, event: str) -> None:
    """Pass over a value of which the first event was met."""
    depth = int(event in BEGINS)
    while depth:
        event, _ = next(events)
        depth += (event in BEGINS) - (event in ENDS)
        _check_depth(depth)


def _check_depth(depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise FeedFormatError(f"the JSON is nested deeper than {_MAX_DEPTH} levels")


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
