"""VICS hash sets in chunks of many records: four times as fast as event by event, with the same result.

A piece of the list `value` that begins at a record and ends behind a `}` is, with brackets around it, a JSON
list of whole records if and only if it parses as one: a bracket, a brace or a comma inside a text or deeper
down leaves something open. So the last `},` of a piece is tried first, then the ones before it. Whatever is
not plain, and whatever follows the last such piece, is left to the events (`vics_events`).
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ijson

from scanner.feeds.batches import admit_rows, unhexed
from scanner.feeds.checks import category_text, pass_over
from scanner.feeds.formats.vics_events import entries
from scanner.feeds.formats.vics_media import NOT_PLAIN, WANTED, Media, number_or_text
from scanner.feeds.json_events import broken
from scanner.feeds.layers import Readable
from scanner.model.errors import FeedFormatError
from scanner.model.feeds import ImportCounts, Item
from scanner.model.hashes import KINDS

_TRIES = 8  # ends that are tried in a piece
_STARTS = 4  # places that are looked at for its beginning

_VALUE = re.compile(rb'"value"\s*:\s*\[', re.IGNORECASE)
_BEGIN = b'{"value":['
# What the two parsers see differently: halves of surrogate pairs, and what is no plain number. Of whole
# numbers beyond 64 bits, which only the events refuse, looking would cost more than it is worth.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_LONGEST_NUMBER = 18  # characters
_CASES = frozenset({"media", "caseid", "casenumber"})
_DIRECT = ("md5", "sha1", "sha256")
_FIELDS = WANTED | _CASES | {"alternativehashes"}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is read at once; other values only in tests, which try every place of a cut.

    Attributes:
        head: bytes in which the list has to begin.
        piece: bytes read at a time: some 2,000 records with PhotoDNA.
        most: bytes without the end of a record, above which the events take over.
    """

    head: int = 1 << 16
    piece: int = 1 << 20
    most: int = 4 << 20


class Chunks:
    """The records of a hash set from its beginning on, as far as they can be read in chunks.

    Attributes:
        records: read so far.
    """

    def __init__(self, stream: Readable, counts: ImportCounts, sizes: Sizes) -> None:
        self._sizes = sizes
        self._stream = stream
        self._counts = counts
        self._left = b""  # read, and not taken
        self.records = 0

    def items(self) -> Iterator[Item]:
        """The items of all chunks; the rest is `rest`."""
        self._left = self._stream.read(self._sizes.head)
        start = _start(self._left)
        if start is None:
            return
        before, self._left = self._left[:start], self._left[start:]
        taken = False
        while len(self._left) <= self._sizes.most and (piece := self._stream.read(self._sizes.piece)):
            self._left += piece
            for chunk in _ends(self._left):
                records = _parsed(chunk)
                if records is not None:
                    yield from self._items(records, chunk)
                    self._left, taken = self._left[len(chunk) + 1 :], True
                    break
            else:
                break
        if not taken:
            self._left = before + self._left

    def rest(self) -> Readable:
        """An envelope with the records that are left, and what follows the list; to be read once `items` is
        exhausted.

        Raises:
            FeedFormatError: after a comma there is no record.
        """
        if not self.records:
            return _Joined(self._left, self._stream)
        while not (left := self._left.lstrip(b" \t\r\n")) and (piece := self._stream.read(self._sizes.head)):
            self._left = piece
        if left.startswith(b"]"):
            raise broken(f"value[{self.records}]")
        return _Joined(_BEGIN + left, self._stream)

    def _items(self, records: list[Any], chunk: bytes) -> Iterator[Item]:
        first, self.records = self.records, self.records + len(records)
        fields = _fields(records) if b"\\u" not in chunk or not _SURROGATE.search(chunk) else None
        if fields is None:
            whole = io.BytesIO(_BEGIN + chunk + b"]}")
            yield from entries(whole, self._counts, first=first)
            return
        columns = _columns(records, fields)
        if columns is not None:
            cells = _column(records, fields, "photodna")
            photodna = len(cells) - sum(map(_absent, cells))
            if photodna:
                self._counts.unsupported["photodna"] = self._counts.unsupported.get("photodna", 0) + photodna
            yield from admit_rows(*columns, self._counts)
            return
        for number, record in enumerate(records, first):
            yield from self._one(record, fields, f"value[{number}]")

    def _one(self, record: Mapping[str, Any], fields: Mapping[str, str], where: str) -> Iterator[Item]:
        media, place = Media(), where
        names = {key: field for field, key in fields.items()}
        try:
            for key, value in record.items():
                field = names.get(key)
                if field == "alternativehashes":
                    for n, other in enumerate(value if isinstance(value, list) else ()):
                        place = f"{where}.{key}[{n}]"
                        _alternative(media, other)
                elif field is not None:
                    place = f"{where}.{key}"
                    if isinstance(value, dict | list):
                        raise FeedFormatError(NOT_PLAIN)
                    media.take(field, value)
            place = where
            entry = media.entry(self._counts)
        except FeedFormatError as e:
            pass_over(FeedFormatError(e.what, where=place), self._counts)
            return
        if entry is not None:
            yield entry


class _Joined:
    """Bytes, then a stream."""

    def __init__(self, before: bytes, stream: Readable) -> None:
        self._before = io.BytesIO(before)
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        return self._before.read(size) or self._stream.read(size)


def _start(head: bytes) -> int | None:
    """Where the list `value` of the outermost object begins, behind its bracket; None where it isn't seen."""
    for found, _ in zip(_VALUE.finditer(head), range(_STARTS), strict=False):
        depth, key, last = 0, "", ""
        try:
            for event, value in ijson.basic_parse(io.BytesIO(head[: found.end()]), use_float=True):
                depth += (event in ("start_map", "start_array")) - (event in ("end_map", "end_array"))
                key, last = (value if event == "map_key" else key), event
        except (ijson.JSONError, UnicodeDecodeError):
            pass  # of course it ends too early
        if (depth, key.casefold(), last) == (2, "value", "start_array"):
            return found.end()
    return None


def _ends(text: bytes) -> Iterator[bytes]:
    """What may be whole records, from the beginning of the text; the longest first."""
    end = len(text)
    for _ in range(_TRIES):
        end = text.rfind(b"},", 0, end)
        if end < 0:
            return
        yield text[: end + 1]
        end += 1


def _no_json(text: str) -> Any:
    raise ValueError("NaN and the like are no JSON")


def _parsed(chunk: bytes) -> list[Any] | None:
    """The records of a chunk; None where it is none, or has what only the events may judge."""
    try:
        text = f"[{chunk.decode('utf-8')}]"
        found = json.loads(text, parse_constant=_no_json, parse_float=_decimal)
    except (ValueError, RecursionError):
        return None
    assert isinstance(found, list)
    return found


def _decimal(text: str) -> float:
    if "e" in text or "E" in text or len(text) > _LONGEST_NUMBER:
        raise ValueError("a number that the events judge")
    return float(text)


def _fields(records: Sequence[Any]) -> dict[str, str] | None:
    """How these records spell the members that matter; None where they have to go event by event: several
    spellings of one, Cases, or no objects."""
    try:
        names = {name for shape in set(map(_names, records)) for name in shape}
    except TypeError:
        return None
    found: dict[str, str] = {}
    for name in names:
        field = name.casefold()
        if field in _CASES or field in found:
            return None
        if field in _FIELDS:
            found[field] = name
    return found


def _names(record: Any) -> tuple[str, ...]:
    if not isinstance(record, dict):
        raise TypeError
    return tuple(record)


_Columns = tuple[tuple[tuple[str, bytes], ...], Sequence[str], Sequence[str]]


def _columns(records: Sequence[Mapping[str, Any]], fields: Mapping[str, str]) -> _Columns | None:
    """Hashes, categories and ids of records that are all alike; None where one is not simply so."""
    if any(_column(records, fields, "alternativehashes")) or "photodna" in KINDS:
        return None
    if any(isinstance(value, dict | list) for value in _column(records, fields, "photodna")):
        return None
    hashes = []
    try:
        for kind in _DIRECT:
            cells = _column(records, fields, kind)
            if not all(map(_absent, cells)):
                values = unhexed(cells, KINDS[kind].size)
                if values is None:
                    return None
                hashes.append((kind, values))
        if not hashes:
            return None
        categories = _texts(_column(records, fields, "category"))
        ids = _texts(_column(records, fields, "mediaid"))
    except (TypeError, FeedFormatError):  # not text; the single record tells what it is
        return None
    return tuple(hashes), categories, ids if any(ids) else ()


def _column(records: Sequence[Mapping[str, Any]], fields: Mapping[str, str], field: str) -> Sequence[Any]:
    name = fields.get(field)
    return [record.get(name) for record in records] if name is not None else [None] * len(records)


def _absent(value: Any) -> bool:
    return value is None or value == ""


def _texts(values: Sequence[Any]) -> Sequence[str]:
    """Numbers and texts as texts, "" for what says none; equal ones are looked at once."""
    kinds = set(map(type, values))
    if kinds == {int}:
        return [str(value) if value else "" for value in values]
    known: dict[tuple[type, Any], str] = {}
    return [_text(known, value) for value in values]


def _text(known: dict[tuple[type, Any], str], value: Any) -> str:
    key = type(value), value  # by type as well, since True equals 1
    text = known.get(key)
    if text is None:
        text = known[key] = category_text(number_or_text(value))
    return text


def _alternative(media: Media, other: Any) -> None:
    if not isinstance(other, dict):
        raise FeedFormatError("expected an object")
    found = {name.casefold(): value for name, value in other.items() if not isinstance(value, dict | list)}
    media.alternative(found.get("hashname"), found.get("hashvalue"))
