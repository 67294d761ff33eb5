"""NIST's NSRL as a database (RDS version 3): known software.

The minimal sets have a table FILE; in the full ones FILE is a view over the table METADATA, which has the
same hash columns. Columns are found by name, since some sets lack `crc32`. Hashes are hexadecimal text. One
hash of each file is taken, SHA-256 unless the feed's `hash:` says another: that is all that a veto needs.

Between two full sets NIST publishes deltas, which are SQL scripts to be run. They are recognised and refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from scanner.feeds.batches import unhexed_apart
from scanner.feeds.checks import pass_over
from scanner.feeds.formats.base import FormatOptions
from scanner.feeds.formats.batches import Batches
from scanner.feeds.formats.nsrl_text import ONLY_BENIGN, chosen_kind
from scanner.feeds.formats.sqlite import MAGIC, ForeignDatabase, Value, opened
from scanner.model.errors import FeedFormatError
from scanner.model.feeds import ImportCounts, Packed
from scanner.model.hashes import KINDS

_TABLES = ("file", "metadata")
_KINDS = ("sha256", "sha1", "md5")
_SCRIPT = re.compile(rb"\s*(--|BEGIN|PRAGMA|INSERT|UPDATE|DELETE|CREATE\s+TABLE)\b", re.IGNORECASE)
_WHOLE = "Take a whole RDS version 3 set; deltas are SQL scripts, and the next whole set has what is in them"


class NsrlFormat:
    """Known software of NIST as an SQLite database (RDS version 3); a benign list."""

    only_benign = ONLY_BENIGN
    summary = "NIST's NSRL as an SQLite database, RDS version 3: known software"
    kinds = _KINDS
    recognised_by = "an SQLite database with the tables of RDS version 3"

    @property
    def name(self) -> str:
        return "nsrl"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return None

    def proposes(self, head: bytes) -> str | None:
        if head.startswith(MAGIC) and b"package_id" in head and b"sha256" in head:
            return "it is an SQLite database with the columns of NSRL's"
        if _SCRIPT.match(head) and (b"package_id" in head or b"METADATA" in head or b" FILE" in head):
            return "it is an SQL script as NSRL's deltas are"
        return None

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Packed]:
        kind = chosen_kind(options, _KINDS)
        size, batches = KINDS[kind].size, Batches(kind, counts, distinct=True)
        with opened(stream, options.scratch, _WHOLE) as database:
            table = _table(database, kind)
            done = 0
            for rows in database.rows(table, (kind,)):
                texts = [text for (text,) in rows if isinstance(text, bytes)]
                values = unhexed_apart(texts, size) if len(texts) == len(rows) else None
                if values is None:
                    values = list(_one_by_one(rows, size, f"{table.upper()}, row", done, counts))
                done += len(rows)
                packed = batches.pack(values)
                if packed is not None:
                    yield packed


def _table(database: ForeignDatabase, kind: str) -> str:
    for table in _TABLES:
        if kind in database.tables.get(table, ()):
            return table
    raise FeedFormatError(
        f"expected a table {' or '.join(_TABLES).upper()} with a column {kind}, found none",
        where="database",
        remedy=_WHOLE,
    )


def _one_by_one(
    rows: list[tuple[Value, ...]], size: int, where: str, done: int, counts: ImportCounts
) -> Iterator[bytes]:
    for number, (text,) in enumerate(rows, done + 1):
        value = unhexed_apart([text], size) if isinstance(text, bytes) else None
        if value is None:
            error = FeedFormatError(f"expected {2 * size} hexadecimal digits", where=f"{where} {number}")
            pass_over(error, counts)
        else:
            yield value[0]
