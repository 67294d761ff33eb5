"""MISP: the attributes of events that are hashes of files, as JSON.

Shapes (misp-core-format): an event file ``{"Event": …}`` of a feed's directory; a list of them, bare or below
`response`, as MISP exports; and ``{"response": {"Attribute": […]}}`` of its search for attributes. Attributes
stand below the event, or below its objects; one that is deleted, or not meant for detection (`to_ids`), is
none of the list. Samples that travel along (`data`) are never unpacked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from scanner.feeds.checks import pass_over
from scanner.feeds.formats.base import FormatOptions
from scanner.feeds.formats.misp_attribute import Attribute, Event, attribute_of, flag, mapped_category
from scanner.feeds.shallow import ANY, Path, Record, Shallow
from scanner.model.errors import FeedFormatError, FeedRefusedError
from scanner.model.feeds import ImportCounts, Item

_ATTRIBUTE = frozenset(
    {"uuid", "type", "value", "to_ids", "deleted", "timestamp", "comment", "category", "object_relation"}
)
_EVENT = frozenset({"uuid", "timestamp", "threat_level_id", "info"})
_OBJECT = frozenset({"uuid", "deleted", "name"})
_TAG = frozenset({"name"})
_TOPS: tuple[Path, ...] = (("Event",), (ANY, "Event"), ("response", ANY, "Event"))
_FOUND = ("response", "Attribute", ANY)  # of a search for attributes

# An event file is one page, so a value can't have more: a sample that travels along may be as large.
_MAX_VALUE = 64 << 20
# Hashes of one event, held until it has come to its end: some 300 bytes each. A page can't have more.
_MAX_HELD = 300_000
_CATEGORIES = frozenset({"category", "type", "comment", "object_relation", "threat_level_id", "Tag"})
_MAX_TAGS = 32  # of one attribute, or of an event


def _places() -> dict[Path, frozenset[str]]:
    places: dict[Path, frozenset[str]] = {_FOUND: _ATTRIBUTE, (*_FOUND, "Tag", ANY): _TAG}
    for event in _TOPS:
        places[event] = _EVENT
        places[(*event, "Tag", ANY)] = _TAG
        places[(*event, "Object", ANY)] = _OBJECT
        for holder in (event, (*event, "Object", ANY)):
            places[(*holder, "Attribute", ANY)] = _ATTRIBUTE
            places[(*holder, "Attribute", ANY, "Tag", ANY)] = _TAG
    return places


class MispEventFormat:
    """Every attribute acts by default; which member of it is its category, the feed's `columns:` say."""

    @property
    def name(self) -> str:
        return "misp-event"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return None

    def proposes(self, head: bytes) -> str | None:
        text = head.lstrip()
        if text[:1] not in (b"{", b"["):
            return None
        if re.match(rb'(\[\s*)?\{\s*("response"\s*:\s*(\[\s*)?\{?\s*)?"Event"\s*:', text):
            return "it is JSON with an Event of MISP"
        if re.match(rb'\{\s*"response"\s*:\s*\{\s*"Attribute"\s*:', text):
            return "it is JSON with Attributes of MISP"
        return None

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Item]:
        reader = _Reader(mapped_category(options.columns, _CATEGORIES), counts)
        shallow = Shallow(_places(), max_value=_MAX_VALUE)
        for path, records in shallow.read(stream):
            yield from reader.take(path, records)
        if not reader.found and _FOUND[:-1] not in shallow.lists:
            raise FeedFormatError("expected an Event, or Attributes", where="the outermost object")


class _Reader:
    """Follows one document; holds attributes until what they need of their object and event is known."""

    def __init__(self, category: str | None, counts: ImportCounts) -> None:
        self._category = category
        self._counts = counts
        self._held: list[Attribute] = []
        self._of_object: list[Attribute] = []
        self._tags: list[str] = []  # of the attribute that is open
        self._event_tags: list[str] = []
        self._events = self._objects = self._attributes = 0  # that came to their end
        self.found = False

    def take(self, path: Path, records: list[Record]) -> Iterator[Item]:
        """What comes of an object of the document that came to its end."""
        self.found = True
        what = path[-1] if path[-1] != ANY else path[-2]
        if what == "Tag":
            tags = self._tags if "Attribute" in path else self._event_tags
            if len(tags) < _MAX_TAGS and isinstance(name := records[-1].get("name"), str):
                tags.append(name)
        elif what == "Attribute":
            self._attribute(records[-1], "Object" in path)
            if path == _FOUND:
                yield from self._told(Event())
        elif what == "Object":
            self._object(records[-1])
        else:
            yield from self._event(records[-1])

    def _attribute(self, record: Record, in_object: bool) -> None:
        held = self._of_object if in_object else self._held
        try:
            attribute = attribute_of(record, self._tags, self._category, self._counts)
        except FeedFormatError as e:
            place = f"Event {self._events + 1}, " + (f"Object[{self._objects}]." if in_object else "")
            pass_over(FeedFormatError(e.what, where=f"{place}Attribute[{self._attributes}]"), self._counts)
            attribute = None
        if attribute is not None:
            held.append(attribute)
        if len(self._held) + len(self._of_object) > _MAX_HELD:
            raise FeedRefusedError(
                f"an event of more than {_MAX_HELD:,} attributes",
                remedy="Have it published as several events",
            )
        self._attributes += 1
        self._tags = []

    def _object(self, record: Record) -> None:
        try:
            deleted = flag(record, "deleted")
        except FeedFormatError as e:
            raise FeedFormatError(e.what, where=f"Event {self._events + 1}, Object[{self._objects}]") from e
        self._held += [one.taken_back() for one in self._of_object] if deleted else self._of_object
        self._of_object = []
        self._objects += 1
        self._attributes = 0

    def _event(self, record: Record) -> Iterator[Item]:
        try:
            yield from self._told(Event.of(record, self._event_tags, self._category))
        except FeedFormatError as e:
            raise FeedFormatError(e.what, where=f"Event {self._events + 1}") from e
        self._event_tags = []
        self._events += 1
        self._objects = self._attributes = 0

    def _told(self, event: Event) -> Iterator[Item]:
        held, self._held = self._held, []
        for attribute in held:
            yield attribute.item(event, self._counts)
