"""VICS as a stream of JSON events: the way for any order and nesting, in little memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import ijson

from scanner.feeds.checks import pass_over, shown
from scanner.feeds.formats.vics_media import NOT_PLAIN, WANTED, Media
from scanner.feeds.json_events import BEGINS, CHUNK, ENDS, Guarded, located
from scanner.feeds.layers import Readable
from scanner.model.errors import ConfigError, FeedFormatError
from scanner.model.feeds import Entry, ImportCounts

# The one in pure Python takes fifteen times as long, which looks like a hang.
_BACKEND = "yajl2_c"

_Handler = Callable[[str, Any], Entry | None]


def entries(source: Readable, counts: ImportCounts, *, first: int = 0) -> Iterator[Entry]:
    """The entries of an envelope.

    Args:
        first: the number of the record that `value` begins with: those before it were read already.

    Raises:
        FeedFormatError: it is cut short, no JSON, or of another shape.
        ConfigError: the JSON parser is not installed as it should be.
    """
    guarded = Guarded(source)
    reader = _Reader(counts, first)
    with located(lambda: reader.path):
        for event, value in _parser().basic_parse(guarded, buf_size=CHUNK, use_float=True):
            guarded.silent = 0
            entry = reader.take(event, value)
            if entry is not None:
                yield entry
    if not reader.found_value:
        raise FeedFormatError("expected a list `value` of Media, found none", where="the outermost object")


def _parser() -> Any:
    try:
        return ijson.get_backend(_BACKEND)
    except ImportError as e:
        raise ConfigError(
            "the JSON parser ijson has no C part here, and would take hours without it",
            where="ijson",
            remedy="Install ijson from a wheel, or with yajl's headers present",
        ) from e


class _Reader:
    """Follows the events down to the Media; `take` is the handler of the place it has come to.

    A Media below a Case is as deep as it goes. Everything else is passed over, and nothing of it kept.
    """

    def __init__(self, counts: ImportCounts, first: int) -> None:
        self._first = first
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
                self._at[-1] += self._first
                self._first = 0
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
            pass_over(FeedFormatError("expected an object", where=self.path), self._counts)
            self._skip(event)
            return None
        self._objects.append(Media())
        self.take = self._object
        return None

    def _object(self, event: str, value: Any) -> Entry | None:
        if event == "map_key":
            self._key = value
        elif event == "end_map":
            self._key = ""
            self.take = self._list
            return self._finished(self._objects.pop())
        elif event in BEGINS:
            self._below(event, self._key.casefold())
        else:
            self._try(self._objects[-1].take, self._key.casefold(), value)
        return None

    def _finished(self, media: Media) -> Entry | None:
        try:
            if media.problem is not None:
                raise media.problem
            return media.entry(self._counts)
        except FeedFormatError as e:
            pass_over(FeedFormatError(e.what, where=e.where or self.path), self._counts)
            return None

    def _try(self, take: Callable[[Any, Any], None], name: Any, value: Any) -> None:
        """Give a value to the object that is open; what is wrong with it is that object's problem alone."""
        try:
            take(name, value)
        except FeedFormatError as e:
            self._wrong(e.what)

    def _wrong(self, what: str) -> None:
        media = self._objects[-1]
        media.problem = media.problem or FeedFormatError(what, where=self.path)

    def _below(self, event: str, key: str) -> None:
        if key == "media" and len(self._objects) == 1:
            if event != "start_array":
                raise FeedFormatError("expected a list")
            self._objects[-1].is_case()
            self._enter("Media", self._list)
        elif key == "alternativehashes" and event == "start_array":
            self._enter("AlternativeHashes", self._alternatives)
        else:
            if key in WANTED:
                self._wrong(NOT_PLAIN)
            self._skip(event)

    def _alternatives(self, event: str, value: Any) -> Entry | None:
        if event == "end_array":
            self._leave(self._object)
            return None
        self._at[-1] += 1
        if event != "start_map":
            self._wrong("expected an object")
            self._skip(event)
            return None
        self._alternative = {}
        self.take = self._alternative_hash
        return None

    def _alternative_hash(self, event: str, value: Any) -> Entry | None:
        if event == "map_key":
            self._key = value
        elif event == "end_map":
            self._key = ""
            name, value = self._alternative.get("hashname"), self._alternative.get("hashvalue")
            self._try(self._objects[-1].alternative, name, value)
            self.take = self._alternatives
        elif event in BEGINS:
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
        if event in BEGINS:
            self._skipped, self._after, self.take = 1, self.take, self._skipping

    def _skipping(self, event: str, value: Any) -> Entry | None:
        if event in BEGINS:
            self._skipped += 1
        elif event in ENDS:
            self._skipped -= 1
            if not self._skipped:
                self.take = self._after
        return None
