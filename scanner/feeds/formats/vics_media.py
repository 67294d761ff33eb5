"""One Media object of VICS: the few members of it that matter, as they come in the wild."""

from __future__ import annotations

from typing import Any

from scanner.feeds.checks import MAX_TEXT, admit, category_text, count, digest, kind_name, unsupported_name
from scanner.model.errors import FeedFormatError
from scanner.model.feeds import Entry, ImportCounts

_HASHES = frozenset({"md5", "sha1", "sha256"})
# Of AlternativeHashes; perceptual hashes other than PDQ differ from one producer to the next.
_ALTERNATIVES = _HASHES | {"pdq"}
_CASE_KEYS = frozenset({"media", "caseid", "casenumber"})
# Members whose value must not be an object or a list.
WANTED = _HASHES | {"category", "mediaid", "photodna"}


class Media:
    """Collects one object while its members go by, in whatever order.

    An element of `value` may turn out to be a Case: then it needs no hash of its own. Errors are raised
    without `where`; the reader knows the path.
    """

    __slots__ = ("_category", "_hashes", "_id", "_is_case", "_unsupported")

    def __init__(self) -> None:
        self._hashes: list[tuple[str, bytes]] = []
        self._unsupported: set[str] = set()
        self._id = ""
        self._category = ""
        self._is_case = False

    def take(self, key: str, value: Any) -> None:
        """Take a member whose value is no object and no array; `key` is in lower case.

        Raises:
            FeedFormatError: this can't be a value of that member.
        """
        if key in _HASHES:
            self._add(key, value)
        elif key == "category":
            self._category = category_text(_number_or_text(value))
        elif key == "mediaid":
            self._id = category_text(_number_or_text(value))  # 0 is "none", as with categories
        elif key == "photodna":
            if value:
                self._unsupported.add("photodna")
        elif key in _CASE_KEYS:
            self._is_case = True

    def is_case(self) -> None:
        """The object holds Media of its own."""
        self._is_case = True

    def alternative(self, name: Any, value: Any) -> None:
        """Take an element of AlternativeHashes; some producers leave name and value empty.

        Raises:
            FeedFormatError: the value can't be a hash of that kind.
        """
        if value is None or value == "":
            return
        kind = kind_name(name) if isinstance(name, str) else ""
        if kind in _ALTERNATIVES:
            self._add(kind, value)
        else:
            self._unsupported.add(unsupported_name(kind))

    def entry(self, counts: ImportCounts) -> Entry | None:
        """The finished entry; None for a Case, or where no hash remains.

        Raises:
            FeedFormatError: a Media without any hash.
        """
        if not self._hashes and not self._unsupported:
            if self._is_case:
                return None
            raise FeedFormatError("a Media without any hash")
        for kind in self._unsupported:
            count(counts.unsupported, kind)
        return admit(self._hashes, self._id, self._category, counts)

    def _add(self, kind: str, value: Any) -> None:
        if value is None or value == "":
            return
        if not isinstance(value, str):
            raise FeedFormatError(f"{kind} is text, found something else")
        pair = kind, digest(kind, value.strip(), "")
        if pair not in self._hashes:
            self._hashes.append(pair)


def _number_or_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise FeedFormatError("expected a number or text, found something else")
    text = str(value)
    if len(text) > MAX_TEXT:
        raise FeedFormatError(f"a text of {len(text)} characters, at most {MAX_TEXT} can be right")
    return text
