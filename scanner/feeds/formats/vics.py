"""VICS, the JSON of Project VIC and CAID, data models 1.1 to 2.0, read as a stream of events.

Shapes (ICMEC/ProjectVic and VICSDATAMODEL data models): an envelope with `value`, which holds Media
objects (a hash set), or Case objects with their Media below (an export of cases). The keys come in any
order and case. The same envelope is published for illegal and for known-good sets: which it is, only the
configuration says; nothing here looks for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import ijson

from scanner.feeds.checks import shown
from scanner.feeds.formats.base import FormatOptions
from scanner.feeds.formats.vics_media import WANTED, Media
from scanner.model.errors import FeedFormatError
from scanner.model.feeds import Entry, ImportCounts

_CHUNK = 64 * 1024  # bytes given to the JSON parser at once: it answers with all their events in memory
# Bytes without a single JSON event: one value this long is no list, and the parser would hold it whole.
_MAX_VALUE = 16 * 1024 * 1024

_MODEL_NAMES = (b"projectvic", b"vicsdatamodel")
_VALUE_LIST = re.compile(rb'"value"\s*:\s*\[')  # other formats have a `value` that is text
_Handler = Callable[[str, Any], Entry | None]
_BEGINS = frozenset({"start_map", "start_array"})
_ENDS = frozenset({"end_map", "end_array"})


class VicsFormat:
    """Media of Project VIC and CAID; 1 and 2 act by default, as published hash sets carry them."""

    @property
    def name(self) -> str:
        return "vics"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return frozenset({"1", "2"})

    def proposes(self, head: bytes) -> str | None:
        text = head.lstrip().lower()
        if not text.startswith(b"{"):
            return None
        if any(name in text for name in _MODEL_NAMES):
            return "it is JSON and names a Project VIC data model"
        if _VALUE_LIST.search(text) and (b'"md5"' in text or b'"media"' in text):
            return "it is JSON with a `value` list of Media"
        return None

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Entry]:
        guarded = _Guarded(stream)
        reader = _Reader(counts)
        try:
            for event, value in ijson.basic_parse(guarded, buf_size=_CHUNK, use_float=True):
                guarded.silent = 0
                entry = reader.take(event, value)
                if entry is not None:
                    yield entry
        except (ijson.JSONError, UnicodeDecodeError) as e:  # their own texts quote the list
            raise FeedFormatError(
                "here the JSON is cut short or broken",
                where=reader.path,
                remedy="Fetch the list again; if it stays so, tell the publisher",
            ) from e
        except FeedFormatError as e:
            raise FeedFormatError(e.what, where=e.where or reader.path, remedy=e.remedy) from e
        if not reader.found_value:
            raise FeedFormatError(
                "expected a list `value` of Media, found none", where="the outermost object"
            )


class _Guarded:
    """A stream that ends when the parser swallows too much without an answer."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.silent = 0

    def read(self, size: int = -1) -> bytes:
        if self.silent > _MAX_VALUE:
            raise FeedFormatError(f"a single value of more than {_MAX_VALUE} bytes")
        piece = self._stream.read(size)
        self.silent += len(piece)
        return piece


class _Reader:
    """Follows the events down to the Media; `take` is the handler of the place it has come to.

    A Media below a Case is as deep as it goes. Everything else is passed over, and nothing of it kept.
    """

    def __init__(self, counts: ImportCounts) -> None:
        self._counts = counts
        self.take: _Handler = self._beginning
        self.found_value = False
        self._key = ""
        self._lists: list[str] = []  # names of the open lists that are followed
        self._at: list[int] = []  # the number of the element each of them has come to
        self._objects: list[Media] = []  # an element of `value`, and one of its own Media
        self._alternative: dict[str, Any] = {}
        self._skipped = 0  # levels open below a value that is passed over
        self._after: _Handler = self.take

    @property
    def path(self) -> str:
        """The JSON path the events have come to."""
        place = ".".join(
            f"{name}[{n}]" if n >= 0 else name for name, n in zip(self._lists, self._at, strict=True)
        )
        key = shown(self._key)
        return f"{place}.{key}" if place and key else place or key or "the beginning"

    def _beginning(self, event: str, value: Any) -> Entry | None:
        if event != "start_map":
            raise FeedFormatError("expected a JSON object")
        self.take = self._envelope
        return None

    def _envelope(self, event: str, value: Any) -> Entry | None:
        if event == "map_key":
            self._key = value
        elif event != "end_map":
            if self._key.casefold() == "value":
                if event != "start_array":
                    raise FeedFormatError("expected a list")
                self.found_value = True
                self._enter("value", self._list)
            else:
                self._skip(event)
        return None

    def _list(self, event: str, value: Any) -> Entry | None:
        """In `value`, or in the `Media` of a Case."""
        if event == "end_array":
            self._leave(self._object if self._objects else self._envelope)
            return None
        self._at[-1] += 1
        if event != "start_map":
            raise FeedFormatError("expected an object")
        self._objects.append(Media())
        self.take = self._object
        return None

    def _object(self, event: str, value: Any) -> Entry | None:
        if event == "map_key":
            self._key = value
        elif event == "end_map":
            self._key = ""
            entry = self._objects[-1].entry(self._counts)
            self._objects.pop()
            self.take = self._list
            return entry
        elif event in _BEGINS:
            self._below(event, self._key.casefold())
        else:
            self._objects[-1].take(self._key.casefold(), value)
        return None

    def _below(self, event: str, key: str) -> None:
        if key == "media" and len(self._objects) == 1:
            if event != "start_array":
                raise FeedFormatError("expected a list")
            self._objects[-1].is_case()
            self._enter("Media", self._list)
        elif key == "alternativehashes" and event == "start_array":
            self._enter("AlternativeHashes", self._alternatives)
        elif key in WANTED:
            raise FeedFormatError("expected a plain value, found an object or a list")
        else:
            self._skip(event)

    def _alternatives(self, event: str, value: Any) -> Entry | None:
        if event == "end_array":
            self._leave(self._object)
            return None
        self._at[-1] += 1
        if event != "start_map":
            raise FeedFormatError("expected an object")
        self._alternative = {}
        self.take = self._alternative_hash
        return None

    def _alternative_hash(self, event: str, value: Any) -> Entry | None:
        if event == "map_key":
            self._key = value
        elif event == "end_map":
            self._key = ""
            self._objects[-1].alternative(
                self._alternative.get("hashname"), self._alternative.get("hashvalue")
            )
            self.take = self._alternatives
        elif event in _BEGINS:
            self._skip(event)
        elif self._key.casefold() in ("hashname", "hashvalue"):
            self._alternative[self._key.casefold()] = value
        return None

    def _enter(self, name: str, handler: _Handler) -> None:
        self._lists.append(name)
        self._at.append(-1)
        self._key = ""
        self.take = handler

    def _leave(self, handler: _Handler) -> None:
        self._lists.pop()
        self._at.pop()
        self._key = ""
        self.take = handler

    def _skip(self, event: str) -> None:
        """Pass over the value that begins with this event, with all below it."""
        if event in _BEGINS:
            self._skipped, self._after, self.take = 1, self.take, self._skipping

    def _skipping(self, event: str, value: Any) -> Entry | None:
        if event in _BEGINS:
            self._skipped += 1
        elif event in _ENDS:
            self._skipped -= 1
            if not self._skipped:
                self.take = self._after
        return None
