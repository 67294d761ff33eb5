"""The pages of Tech Against Terrorism's hash list, version 2: JSON with `results`.

Shape (as the public reference client declares it, python-threatexchange `clients/techagainstterrorism`):
each record has `id`, `hash_digest`, `algorithm`, `ideology`, `file_type`, `deleted` and `updated_on`. The
older file of the same service, a bare list of such records, is read as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from scanner.feeds.checks import category_text, kind_name, pass_over
from scanner.feeds.formats.base import FormatOptions
from scanner.feeds.formats.json_records import is_true, records, text_of
from scanner.feeds.formats.sharing import entry_or_removal, key_of_value, labels_of, removal, value_of
from scanner.feeds.times import unix_ns
from scanner.model.errors import FeedFormatError
from scanner.model.feeds import LISTED, About, ImportCounts, Item

_MAX_ID = 256  # characters


class TatFormat:
    """Terrorist content by Tech Against Terrorism; the ideology is the category, and each acts by default."""

    @property
    def name(self) -> str:
        return "tat"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return None

    def proposes(self, head: bytes) -> str | None:
        text = head.lstrip()
        if text.startswith((b"{", b"[")) and b'"hash_digest"' in text:
            return "it is JSON with hash records of Tech Against Terrorism"
        return None

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Item]:
        for where, record in records(stream, "results"):
            try:
                yield _item(record, where, counts)
            except FeedFormatError as e:
                pass_over(e, counts)


def _item(record: dict[str, Any], where: str, counts: ImportCounts) -> Item:
    updated = record.get("updated_on")
    changed_ns = 0 if updated is None else unix_ns(updated, where)
    id, algorithm = text_of(record, "id", where), text_of(record, "algorithm", where)
    value = text_of(record, "hash_digest", where)
    if len(id) > _MAX_ID or not (id or value):
        raise FeedFormatError("expected an id", where=where)
    key = id or key_of_value(algorithm, value)
    if is_true(record.get("deleted")):
        return removal(key, changed_ns, counts)
    if not value:
        raise FeedFormatError("`hash_digest`: expected text", where=where)
    pair = value_of(kind_name(algorithm), value, where, counts)
    return entry_or_removal(
        [pair] if pair else [],
        id,
        category_text(text_of(record, "ideology", where)) or LISTED,
        counts,
        key=key,
        changed_ns=changed_ns,
        about=About(
            labels=labels_of([text_of(record, "file_type", where)]), added_ns=_created(record, where)
        ),
    )


def _created(record: dict[str, Any], where: str) -> int:
    """When it came onto the list; 0 where that is not told in a way that can be read."""
    try:
        return unix_ns(record.get("created_on"), where)
    except FeedFormatError:
        return 0
