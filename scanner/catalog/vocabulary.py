"""Words that stand in many rows, stored once and named by a number."""

from __future__ import annotations

from scanner.catalog.database import Database

Words = tuple[str, ...]


class Vocabulary:
    """Numbers for words, kept in memory. A number, once given, keeps its meaning for good.

    A new word is stored in a transaction of its own, before any row that uses it: so a row never has a
    number without a word, whatever happens to the transaction of the row.

    Args:
        add: query that stores words unless they are there.
        every: query that gives (number, word, ...) rows.
    """

    def __init__(self, database: Database, add: str, every: str) -> None:
        self._database = database
        self._add = add
        self._every = every
        self._codes: dict[Words, int] = {}
        self._words: dict[int, Words] = {}

    def code(self, words: Words) -> int:
        """The number of some words, given now if they are new.

        Raises:
            CatalogError: they can't be stored.
        """
        code = self._codes.get(words)
        if code is None:
            with self._database.transaction():
                self._database.run(self._add, words)
            self._load()
            code = self._codes[words]
        return code

    def words(self, code: int) -> Words:
        """The words of a number, also if another process gave it a moment ago.

        Raises:
            LookupError: nobody gave it.
        """
        if code not in self._words:
            self._load()
        return self._words[code]

    def _load(self) -> None:
        for code, *words in self._database.rows(self._every):
            self._codes[tuple(words)] = code
            self._words[code] = tuple(words)
