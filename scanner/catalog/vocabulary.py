"""Words that stand in many rows, stored once and named by a number."""

from __future__ import annotations

from typing import NamedTuple

from scanner.catalog import queries
from scanner.catalog.database import Database

Words = tuple[str | bytes, ...]


class _Table(NamedTuple):
    """Queries: that stores words unless they are there, that finds their number, that gives all."""

    add: str
    find: str
    every: str


TERMS = _Table(queries.ADD_TERM, queries.FIND_TERM, queries.TERMS)
VIEWS = _Table(queries.ADD_VIEW, queries.FIND_VIEW, queries.VIEWS)
PROFILES = _Table(queries.ADD_PROFILE, queries.FIND_PROFILE, queries.PROFILES)


class Vocabulary:
    """Numbers for words, kept in memory. A number, once given, keeps its meaning for good.

    A new word is stored in a transaction of its own, before any row that uses it: so a row never has a
    number without a word, whatever happens to the transaction of the row.

    Args:
        table: where they are stored.
    """

    def __init__(self, database: Database, table: _Table) -> None:
        self._database = database
        self._table = table
        self._codes: dict[Words, int] = {}
        self._words: dict[int, Words] = {}

    def code(self, words: Words) -> int:
        """The number of some words, given now if they are new. Not to be asked within a transaction.

        Raises:
            CatalogError: they can't be stored.
        """
        code = self._codes.get(words)
        if code is None:
            row = self._database.row(self._table.find, words)
            if row is None:
                with self._database.transaction():
                    self._database.run(self._table.add, words)
                row = self._database.row(self._table.find, words)
            code = self._codes[words] = int(row[0]) if row else 0
            self._words[code] = words
        return code

    def codes(self) -> list[int]:
        """All numbers that were given."""
        return [int(row[0]) for row in self._database.rows(self._table.every)]

    def words(self, code: int) -> Words:
        """The words of a number, also if another process gave it a moment ago.

        Raises:
            LookupError: nobody gave it.
        """
        if code not in self._words:
            self._words.update(
                (number, tuple(words)) for number, *words in self._database.rows(self._table.every)
            )
        return self._words[code]
