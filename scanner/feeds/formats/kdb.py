"""Hash databases of Autopsy and The Sleuth Kit (`.kdb`): SQLite, hashes in binary.

After sleuthkit's SqliteHashDb: a table `db_properties` and a table `hashes` with `id`, `md5`, `sha1` and
`sha2_256`, of which mostly only the MD5 is filled in. Autopsy keeps known-good and notable sets in the same
form: which it is, the feed's polarity says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from scanner.feeds.checks import admit, pass_over
from scanner.feeds.formats.base import FormatOptions
from scanner.feeds.formats.sqlite import MAGIC, Value, opened
from scanner.model.errors import FeedFormatError
from scanner.model.feeds import LISTED, Entry, ImportCounts
from scanner.model.hashes import KINDS

_TABLE = "hashes"
_COLUMNS = {"md5": "md5", "sha1": "sha1", "sha2_256": "sha256"}


class KdbFormat:
    """Hash databases of Autopsy and The Sleuth Kit."""

    only_benign = ""
    summary = "hash databases of Autopsy and The Sleuth Kit (.kdb)"
    kinds = tuple(_COLUMNS.values())
    recognised_by = "an SQLite database with the tables hashes and db_properties"

    @property
    def name(self) -> str:
        return "kdb"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return None

    def proposes(self, head: bytes) -> str | None:
        if head.startswith(MAGIC) and b"db_properties" in head and b"sha2_256" in head:
            return "it is an SQLite database with the tables of The Sleuth Kit's"
        return None

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Entry]:
        with opened(stream, options.scratch) as database:
            there = database.tables.get(_TABLE, ())
            columns = [column for column in _COLUMNS if column in there]
            if "id" not in there or not columns:
                raise FeedFormatError(
                    f"expected a table {_TABLE} with id and {', '.join(_COLUMNS)}", where="database"
                )
            kinds = [_COLUMNS[column] for column in columns]
            done = 0
            for rows in database.rows(_TABLE, ("id", *columns)):
                for number, (id, *values) in enumerate(rows, done + 1):
                    try:
                        entry = _entry(id, kinds, values, f"{_TABLE}, row {number}", counts)
                    except FeedFormatError as e:
                        pass_over(e, counts)
                        continue
                    if entry is not None:
                        yield entry
                done += len(rows)


def _entry(
    id: Value, kinds: list[str], values: list[Value], where: str, counts: ImportCounts
) -> Entry | None:
    hashes = []
    for kind, value in zip(kinds, values, strict=True):
        if value is None:
            continue
        if not isinstance(value, bytes) or len(value) != KINDS[kind].size:
            raise FeedFormatError(f"{kind} has {KINDS[kind].size} bytes, found something else", where=where)
        hashes.append((kind, value))
    if not hashes:
        raise FeedFormatError("a row without any hash", where=where)
    return admit(hashes, str(id) if isinstance(id, int) else "", LISTED, counts)
