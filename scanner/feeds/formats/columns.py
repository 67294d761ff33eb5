"""Which column of a CSV list is what: by its header, or as the configuration maps it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scanner.feeds.checks import UNSUPPORTED_KINDS, kind_name, shown
from scanner.feeds.written import FORMS
from scanner.model.errors import FeedFormatError, FeedRefusedError
from scanner.model.hashes import KINDS

# What else than a hash a column can be. `size` is known so that it may be mapped; nothing needs its values.
_TYPED = ("type", "hash")
_TOLD = ("severity", "labels", "added", "removed", "source", "key", "changed")
_OTHERS = ("id", "category", "size", *_TYPED, *_TOLD)
# Taken only where the configuration says so: a column that has such a name by chance would drop rows.
_ONLY_MAPPED = frozenset({"key", "changed", "removed"})
_ADORNED = ("hash", "sum", "digest", "checksum", "value")  # md5hash, md5_sum, HashMD5: columns of md5
_DELIMITERS = ",;\t|"

_SHOWN_NAMES = 20  # headers in an error


@dataclass(frozen=True, slots=True)
class HashColumn:
    """A column of values of one kind, and how they are written (see `scanner.feeds.written`)."""

    kind: str
    column: int
    form: str


@dataclass(frozen=True, slots=True)
class Columns:
    """The places of the fields in a row.

    Attributes:
        headers: all names, as the list has them; numbers where it has none.
        hashes: columns with values of one kind.
        unsupported: (kind, column) of kinds that can't be matched.
        id, category: columns, None where there is none.
        typed: columns of the pair `type` and `hash`, and how the latter is written; None where there is none.
        told: columns of what else is told of an entry, by field.
    """

    headers: tuple[str, ...]
    hashes: tuple[HashColumn, ...]
    unsupported: tuple[tuple[str, int], ...]
    id: int | None
    category: int | None
    typed: tuple[int, int, str] | None
    told: Mapping[str, int]

    def where(self, line: int, column: int) -> str:
        return f"line {line}, column '{shown(self.headers[column])}'"


def known_fields() -> tuple[str, ...]:
    """All fields a column can be mapped to."""
    return (*KINDS, *sorted(UNSUPPORTED_KINDS - KINDS.keys()), *_OTHERS)


def split_header(line: str, delimiter: str | None, mapping: Mapping[str, str]) -> tuple[str, list[str]]:
    """The delimiter and the names of a header line; a delimiter that isn't given is the one of ``, ; |``
    and tab that makes most names known.

    Raises:
        FeedRefusedError: the given delimiter is not one character.
    """
    if delimiter is not None and len(delimiter) != 1:
        raise FeedRefusedError("the delimiter must be one character", where="delimiter")
    candidates = [(d, _cells(line, d)) for d in delimiter or _DELIMITERS]
    return max(candidates, key=lambda c: (sum(f != "" for f in _fields(c[1], mapping)), len(c[1])))


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return [line.strip()]


def plan(headers: Sequence[str], mapping: Mapping[str, str], line: int) -> Columns:
    """Where everything is in the rows below this header.

    Raises:
        FeedFormatError: no hash column, a mapped header that isn't there, or two columns for one field.
        FeedRefusedError: the mapping names an unknown field, or a way to write values that is unknown.
    """
    _check_mapping(headers, mapping, line)
    fields = _fields(headers, mapping)
    places: dict[str, int] = {}
    forms: dict[str, str] = {}
    for column, spec in enumerate(fields):
        field, _, form = spec.partition(":")
        if field and field in places:
            raise FeedFormatError(
                f"two columns are '{field}': {shown(headers[places[field]])} and {shown(headers[column])}",
                where=f"line {line}",
                remedy="Map the right one in the configuration: columns: {its header: " + field + "}",
            )
        places[field], forms[field] = column, form
    found = Columns(
        tuple(headers),
        tuple(HashColumn(kind, places[kind], forms[kind]) for kind in KINDS if kind in places),
        _unsupported(headers, fields),
        places.get("id"),
        places.get("category"),
        (places["type"], places["hash"], forms["hash"]) if places.keys() >= set(_TYPED) else None,
        {field: places[field] for field in _TOLD if field in places},
    )
    if not found.hashes and found.typed is None:
        raise _no_hashes(headers, line)
    return found


def _unsupported(headers: Sequence[str], fields: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Columns of kinds that can't be matched, mapped or by their own name."""
    kinds = [
        field.partition(":")[0] or kind_name(header) for header, field in zip(headers, fields, strict=True)
    ]
    return tuple((kind, n) for n, kind in enumerate(kinds) if kind in UNSUPPORTED_KINDS - KINDS.keys())


def _fields(headers: Sequence[str], mapping: Mapping[str, str]) -> list[str]:
    """The field each column is, "" for none. A mapped header goes before one that has the field's name."""
    mapped = _by_place(headers, mapping)
    taken = {field.partition(":")[0] for field in mapped.values()}
    found = []
    for column, header in enumerate(headers):
        own = _natural(header)
        found.append(mapped.get(column, own if own not in taken else ""))
    return found


def _by_place(headers: Sequence[str], mapping: Mapping[str, str]) -> dict[int, str]:
    """What is mapped, by the number of the column from 0; a name goes before a number."""
    names = {header.casefold(): n for n, header in reversed(list(enumerate(headers)))}
    found = {}
    for theirs, field in mapping.items():
        place = names.get(theirs.strip().casefold())
        if place is None and theirs.strip().isdecimal() and 0 < int(theirs) <= len(headers):
            place = int(theirs) - 1
        if place is not None:
            found[place] = field
    return found


def _natural(header: str) -> str:
    """The field a header names by itself, "" for none."""
    own = kind_name(header)
    if own in KINDS or (own in _OTHERS and own not in _ONLY_MAPPED):
        return own
    for word in _ADORNED:
        bare = own.removesuffix(word).removeprefix(word)
        if bare in KINDS:
            return bare
    return ""


def _check_mapping(headers: Sequence[str], mapping: Mapping[str, str], line: int) -> None:
    for theirs, spec in mapping.items():
        field, colon, form = spec.partition(":")
        if field not in known_fields():
            raise FeedRefusedError(
                f"'{field}' is no field of ours",
                where=f"columns, {theirs}",
                remedy=f"Fields are {', '.join((*KINDS, *_OTHERS))}",
            )
        if colon and form not in FORMS:
            raise FeedRefusedError(
                f"'{form}' is no way to write values that is known here",
                where=f"columns, {theirs}",
                remedy=f"They are {', '.join(FORMS)}",
            )
        if not _by_place(headers, {theirs: spec}):
            raise FeedFormatError(
                f"the configuration maps a column '{theirs}' that isn't there; found {_listed(headers)}",
                where=f"line {line}",
                remedy="Ask the publisher what changed, then correct columns:",
            )


def _no_hashes(headers: Sequence[str], line: int) -> FeedFormatError:
    return FeedFormatError(
        f"no column of hashes: expected one of {', '.join(KINDS)}, or type and hash;"
        f" found {_listed(headers)}",
        where=f"line {line}",
        remedy="Map the list's own names in the configuration: columns: {their header: md5};"
        " of a list without header the numbers, with header: false",
    )


def _listed(headers: Sequence[str]) -> str:
    names = ", ".join(shown(h) for h in headers[:_SHOWN_NAMES]) or "nothing"
    return f"{names}, …" if len(headers) > _SHOWN_NAMES else names
