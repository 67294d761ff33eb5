"""Which column of a CSV list is what: by its header, or as the configuration maps it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scanner.feeds.checks import UNSUPPORTED_KINDS, kind_name, shown
from scanner.model.errors import FeedFormatError, FeedRefusedError
from scanner.model.hashes import KINDS

# `size` and `added` are known so that they may be mapped; nothing here needs their values.
FIELDS = (*KINDS, "id", "category", "size", "added", "type", "hash")
_DELIMITERS = ",;\t"

_SHOWN_NAMES = 20  # headers in an error


@dataclass(frozen=True, slots=True)
class Columns:
    """The places of the fields in a row.

    Attributes:
        headers: all names, as the list has them.
        hashes: (kind, column) of columns with values of one kind.
        unsupported: (kind, column) of kinds that can't be matched.
        id, category: columns, None where there is none.
        typed: columns of the pair `type` and `hash`, None where there is none.
    """

    headers: tuple[str, ...]
    hashes: tuple[tuple[str, int], ...]
    unsupported: tuple[tuple[str, int], ...]
    id: int | None
    category: int | None
    typed: tuple[int, int] | None

    def where(self, line: int, column: int) -> str:
        return f"line {line}, column '{shown(self.headers[column])}'"


def split_header(line: str, delimiter: str | None, mapping: Mapping[str, str]) -> tuple[str, list[str]]:
    """The delimiter and the names of a header line; a delimiter that isn't given is the one of ``, ;``
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
        FeedRefusedError: the mapping names an unknown field.
    """
    _check_mapping(headers, mapping, line)
    fields = _fields(headers, mapping)
    places: dict[str, int] = {}
    for column, field in enumerate(fields):
        if field and field in places:
            raise FeedFormatError(
                f"two columns are '{field}': {shown(headers[places[field]])} and {shown(headers[column])}",
                where=f"line {line}",
                remedy="Map the right one in the configuration: columns: {its header: " + field + "}",
            )
        places[field] = column
    found = Columns(
        tuple(headers),
        tuple((kind, places[kind]) for kind in KINDS if kind in places),
        tuple((kind_name(h), n) for n, h in enumerate(headers) if not fields[n] and _unsupported(h)),
        places.get("id"),
        places.get("category"),
        (places["type"], places["hash"]) if "type" in places and "hash" in places else None,
    )
    if not found.hashes and found.typed is None:
        raise FeedFormatError(
            f"no column of hashes: expected one of {', '.join(KINDS)}, or type and hash;"
            f" found {_listed(headers)}",
            where=f"line {line}",
            remedy="Map the list's own names in the configuration: columns: {their header: md5}",
        )
    return found


def _fields(headers: Sequence[str], mapping: Mapping[str, str]) -> list[str]:
    """The field each column is, "" for none. A mapped header goes before one that has the field's name."""
    mapped = {theirs.strip().casefold(): field for theirs, field in mapping.items()}
    taken = {mapped[h.casefold()] for h in headers if h.casefold() in mapped}
    found = []
    for header in headers:
        own = kind_name(header)
        natural = own if own in FIELDS and own not in taken else ""
        found.append(mapped.get(header.casefold(), natural))
    return found


def _unsupported(header: str) -> bool:
    return kind_name(header) in UNSUPPORTED_KINDS


def _check_mapping(headers: Sequence[str], mapping: Mapping[str, str], line: int) -> None:
    present = {h.casefold() for h in headers}
    for theirs, field in mapping.items():
        if field not in FIELDS:
            raise FeedRefusedError(
                f"'{field}' is no field of ours",
                where=f"columns, {theirs}",
                remedy=f"Fields are {', '.join(FIELDS)}",
            )
        if theirs.strip().casefold() not in present:
            raise FeedFormatError(
                f"the configuration maps a column '{theirs}' that isn't there; found {_listed(headers)}",
                where=f"line {line}",
                remedy="Ask the publisher what changed, then correct columns:",
            )


def _listed(headers: Sequence[str]) -> str:
    names = ", ".join(shown(h) for h in headers[:_SHOWN_NAMES]) or "nothing"
    return f"{names}, …" if len(headers) > _SHOWN_NAMES else names
