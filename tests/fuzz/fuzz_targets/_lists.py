"""Laws of every format of hash lists."""

from __future__ import annotations

import csv
import io
import re

from fuzzing import harmless, law

from scanner.feeds import FeedFormat, FormatOptions
from scanner.feeds.checks import MAX_CATEGORIES, MAX_TEXT, refusal
from scanner.feeds.formats import CsvFormat
from scanner.model.errors import FeedError, FeedFormatError
from scanner.model.feeds import Entry, ImportCounts, entries_of
from scanner.model.hashes import KINDS

_LIKE_A_DIGEST = re.compile(r"[0-9A-Fa-f]{32,}")
HEX = {kind: bytes(range(1, 1 + known.size)).hex().encode() for kind, known in KINDS.items()}
SIZES = {name: kind.size for name, kind in KINDS.items()}
WORDS = (*(kind.encode() for kind in KINDS), *HEX.values(), b"photodna", b"category", b"id", b"\r\n", b"null")


def check_format(form: FeedFormat, content: bytes, options: FormatOptions) -> None:
    """Typed errors, whole entries, right counts, and the same list when it is written down again."""
    form.proposes(content[:65536])
    counts, entries = ImportCounts(), []
    try:
        for item in form.parse(io.BytesIO(content), options, counts):
            entries.extend(entries_of(item, SIZES))
    except FeedError as e:
        check_error(e)
        return
    check_entries(entries, counts)
    law(flat(_again(entries)) == flat(entries), "a list that is written down again is the same list")


def check_error(error: FeedError) -> None:
    law(error.where or not isinstance(error, FeedFormatError), "a format error says where")
    law(not _LIKE_A_DIGEST.search(str(error)), "no error quotes a hash")
    harmless(str(error), "an error")


def check_entries(entries: list[Entry], counts: ImportCounts) -> None:
    for entry in entries:
        law(entry.hashes, "an entry has a hash")
        for kind, value in entry.hashes:
            law(len(value) == KINDS[kind].size, "a value has its kind's length")
            law(refusal(kind, value) is None, "what harmless files have is no entry")
        for text in (entry.id, entry.category):
            law(len(text) <= MAX_TEXT, "texts are bounded")
            text.encode("utf-8")
        law(entry.category not in ("0", "null"), "a category that says none is none")
    law(counts.entries == len(entries), "entries are counted")
    law(sum(counts.hashes.values()) == sum(len(e.hashes) for e in entries), "hashes are counted")
    law(sum(counts.categories.values()) == len(entries), "categories are counted")
    law(len(counts.categories) <= MAX_CATEGORIES, "categories are bounded")


def flat(entries: list[Entry]) -> list[tuple[str, bytes, str, str]]:
    return [(kind, value, e.id, e.category) for e in entries for kind, value in e.hashes]


def _again(entries: list[Entry]) -> list[Entry]:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["type", "hash", "id", "category"])
    for kind, value, own_id, category in flat(entries):
        writer.writerow([kind, value.hex(), own_id, category])
    stream = io.BytesIO(text.getvalue().encode())
    items = CsvFormat().parse(stream, FormatOptions(), ImportCounts())
    return [entry for item in items for entry in entries_of(item, SIZES)]
