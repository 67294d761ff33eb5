"""STIX 2.0 and 2.1: the indicators of bundles and of TAXII's envelopes.

Only an indicator asserts something of a file; a `file` object is an observation, which lists of bad files and
of good ones hold alike. Which member of an indicator is its category, the feed's `columns:` say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from scanner.feeds.checks import MAX_TEXT, admit, category_text, count, pass_over
from scanner.feeds.formats.base import FormatOptions
from scanner.feeds.formats.stix_pattern import NotAListError, reduce
from scanner.feeds.shallow import ANY, Record, Shallow
from scanner.feeds.times import rfc3339_ns
from scanner.model.errors import FeedFormatError
from scanner.model.feeds import LISTED, About, Entry, ImportCounts, Item, Removal

_OBJECT = ("objects", ANY)
_ENVELOPE = frozenset({"type", "id", "more", "next", "title", "http_status"})
_MEMBERS = frozenset(
    {"type", "id", "created", "modified", "created_by_ref", "revoked", "pattern", "pattern_type"}
    | {"valid_from", "valid_until", "confidence", "indicator_types", "labels"}
)
_ID = re.compile(r"indicator--[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

# "Once an object is revoked, no new versions of it may be created" (STIX 2.1, 3.6): no later one counts.
FINAL_NS = (1 << 63) - 1
# What an indicator says of itself in this type is that it means no harm; it is not for us to act on.
_BENIGN = "benign"

_KNOWN_CREATORS = 100_000  # indicators of which it is remembered who made them: some 20 MB
_KNOWN_TIMES = 1000
_MAX_LABELS = 32
_SHOWN_LABEL = 200  # characters


class StixFormat:
    """Every indicator acts by default, except those of the type `benign`."""

    @property
    def name(self) -> str:
        return "stix"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return None

    def proposes(self, head: bytes) -> str | None:
        text = head.lstrip()
        if not text.startswith(b"{"):
            return None
        if re.search(rb'"type"\s*:\s*"bundle"', text):
            return "it is JSON and says that it is a STIX bundle"
        if b'"objects"' in text and (b'"spec_version"' in text or b'"indicator--' in text):
            return "it is JSON with STIX objects"
        return None

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Item]:
        category = next((ours for ours, field in options.columns.items() if field == "category"), None)
        members = _MEMBERS | ({category} if category is not None else set())
        reader = _Reader(category, options.now_ns, counts)
        shallow = Shallow({(): _ENVELOPE, _OBJECT: members})
        objects = 0
        for path, records in shallow.read(stream):
            if path == _OBJECT:
                item = reader.item(records[-1], f"objects[{objects}]")
                objects += 1
                if item is not None:
                    yield item
            elif _OBJECT[:-1] not in shallow.lists and not _is_envelope(records[-1]):
                raise FeedFormatError("expected a list `objects`, found none", where="the outermost object")


def _is_envelope(outermost: Record) -> bool:
    """Whether a document without objects is an empty list: TAXII sends ``{}``, and no error looks like it."""
    return outermost.get("type") == "bundle" or not (outermost.keys() & {"title", "http_status", "type"})


class _Reader:
    """Makes items of indicators, of one document."""

    def __init__(self, category: str | None, now_ns: int, counts: ImportCounts) -> None:
        self._category = category
        self._now_ns = now_ns
        self._counts = counts
        self._creators: dict[str, str] = {}
        self._times: dict[str, int] = {}  # that were read last: the same ones come again and again

    def item(self, record: Record, where: str) -> Item | None:
        """What an object says; None where it says nothing, which is counted."""
        kind = record.get("type")
        if kind == "file":
            count(self._counts.unsupported, "observed_file")
        elif kind == "indicator" or not isinstance(kind, str):
            try:
                return self._indicator(record)
            except FeedFormatError as e:
                pass_over(FeedFormatError(e.what, where=where, remedy=e.remedy), self._counts)
        return None

    def _indicator(self, record: Record) -> Item | None:
        own_id = _text(record, "id")
        if not _ID.fullmatch(own_id):
            raise FeedFormatError("expected the id of an indicator")
        own_id = own_id.lower()
        changed = self._time(record, "modified") or self._time(record, "created")
        if not changed:
            raise FeedFormatError("expected the time `modified`")
        creator = _text(record, "created_by_ref")
        if not self._by_its_creator(own_id, creator):
            count(self._counts.unsupported, "other_creator")
            return None
        # A version that somebody else made is another record: it can't change or take back this one.
        key = f"{own_id} {creator}"
        if _revoked(record):
            self._counts.removals += 1
            return Removal(key, FINAL_NS)
        # Whatever else this version is, it takes the place of the one before.
        return self._entry(record, own_id, key, creator, changed) or Removal(key, changed)

    def _by_its_creator(self, own_id: str, creator: str) -> bool:
        known = self._creators.get(own_id)
        if known is None:
            if len(self._creators) < _KNOWN_CREATORS:
                self._creators[own_id] = creator
            return True
        return known == creator

    def _entry(self, record: Record, own_id: str, key: str, creator: str, changed: int) -> Entry | None:
        if record.get("pattern_type", "stix") != "stix":
            count(self._counts.unsupported, "pattern_type")
            return None
        if self._now_ns and self._time(record, "valid_from") > self._now_ns:
            count(self._counts.unsupported, "not_yet_valid")
            return None
        try:
            reduced = reduce(_required(record, "pattern"))
        except NotAListError as e:
            count(self._counts.unsupported, e.args[0])
            return None
        for name in reduced.left_out:
            count(self._counts.unsupported, name)
        return admit(
            reduced.hashes, own_id, self._category_of(record), self._counts,
            key=key, changed_ns=changed, about=self._about(record, creator),
        )  # fmt: skip

    def _category_of(self, record: Record) -> str:
        if self._category is None:
            return "" if _BENIGN in _words(record, "indicator_types") else LISTED
        value = record.get(self._category)
        if isinstance(value, list):
            value = ",".join(_words(record, self._category))
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, str | int | float | None):
            raise FeedFormatError("expected a category as a number or text, found something else")
        text = "" if value is None else str(value)
        if len(text) > MAX_TEXT:
            raise FeedFormatError(f"a category of {len(text)} characters, at most {MAX_TEXT} can be right")
        return category_text(text)

    def _about(self, record: Record, creator: str) -> About:
        labels = [word[:_SHOWN_LABEL] for word in _words(record, "indicator_types")]
        labels += [word[:_SHOWN_LABEL] for word in _words(record, "labels")]
        confidence = record.get("confidence")
        if isinstance(confidence, int) and not isinstance(confidence, bool) and 0 <= confidence <= 100:
            labels.append(f"confidence:{confidence}")
        added, removed = self._time(record, "created"), self._time(record, "valid_until")
        return About("", tuple(labels[:_MAX_LABELS]), added, removed, creator)

    def _time(self, record: Record, member: str) -> int:
        """A time in nanoseconds; 0 where it is absent.

        Raises:
            FeedFormatError: it is none.
        """
        value = record.get(member)
        if value is None:
            return 0
        known = self._times.get(value) if isinstance(value, str) else None
        if known is not None:
            return known
        ns = rfc3339_ns(value) if isinstance(value, str) else None
        if ns is None:
            raise FeedFormatError(f"expected a time as `{member}`")
        if len(self._times) >= _KNOWN_TIMES:
            self._times.clear()
        self._times[value] = ns
        return ns


def _revoked(record: Record) -> bool:
    value = record.get("revoked", False)
    if not isinstance(value, bool):
        raise FeedFormatError("expected true or false as `revoked`")
    return value


def _required(record: Record, member: str) -> str:
    value = record.get(member)
    if not isinstance(value, str):
        raise FeedFormatError(f"expected text as `{member}`")
    return value


def _text(record: Record, member: str) -> str:
    value = record.get(member, "")
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise FeedFormatError(f"expected a short text as `{member}`")
    return value


def _words(record: Record, member: str) -> list[str]:
    value: Any = record.get(member)
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []
