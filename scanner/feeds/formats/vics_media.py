"""One Media object of VICS: the few members of it that matter, as they come in the wild."""

from __future__ import annotations

from typing import Any

from scanner.feeds.checks import MAX_TEXT, admit, category_text, count, kind_name, unsupported_name
from scanner.feeds.written import decoded
from scanner.model.errors import FeedFormatError
from scanner.model.feeds import Entry, ImportCounts
from scanner.model.hashes import KINDS

_HASHES = frozenset({"md5", "sha1", "sha256"})
# Of AlternativeHashes; perceptual hashes other than PDQ differ from one producer to the next.
_ALTERNATIVES = _HASHES | {"pdq"}
_CASE_KEYS = frozenset({"media", "caseid", "casenumber"})
# Members whose value must not be an object or a list.
NOT_PLAIN = "expected a plain value, found an object or a list"
WANTED = _HASHES | {"category", "mediaid", "photodna"}


class Media:
    """Collects one object while its members go by, in whatever order.

    An element of `value` may turn out to be a Case: then it needs no hash of its own. Errors are raised
    without `where`; the reader knows the path. Of a member that comes twice the last counts.

    Attributes:
        problem: what is wrong with it, for the reader to note.
    """

    __slots__ = ("_alternatives", "_category", "_hashes", "_id", "_is_case", "_unsupported", "problem")

    def __init__(self) -> None:
        self.problem: FeedFormatError | None = None
        self._hashes: dict[str, bytes] = {}
        self._alternatives: list[tuple[str, bytes]] = []
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
            found = _value(key, value)
            if found is not None:
                self._hashes[key] = found
        elif key == "category":
            self._category = category_text(number_or_text(value))
        elif key == "mediaid":
            self._id = category_text(number_or_text(value))  # 0 is "none", as with categories
        elif key == "photodna":
            self.alternative("photodna", value)
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
        if kind in _ALTERNATIVES or (kind == "photodna" and kind in KINDS):
            found = _value(kind, value)
            if found is not None:
                self._alternatives.append((kind, found))
        else:
            self._unsupported.add(unsupported_name(kind))

    def entry(self, counts: ImportCounts) -> Entry | None:
        """The finished entry; None for a Case, or where no hash remains.

        Raises:
            FeedFormatError: a Media without any hash.
        """
        if not self._hashes and not self._alternatives and not self._unsupported:
            if self._is_case:
                return None
            raise FeedFormatError("a Media without any hash")
        for kind in self._unsupported:
            count(counts.unsupported, kind)
        # dict.fromkeys: each pair once, in their order
        pairs = dict.fromkeys((*self._hashes.items(), *self._alternatives))
        return admit(pairs, self._id, self._category, counts)


def _value(kind: str, value: Any) -> bytes | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise FeedFormatError(f"{kind} is text, found something else")
    return decoded(kind, value.strip(), "", "")


def number_or_text(value: Any) -> str:
    """A number or a text as text, "" for null.

    Raises:
        FeedFormatError: it is something else, or too long.
    """
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
