"""STIX patterns, as far as they say no more than "a file with one of these hashes".

What reduces to a list: ``[file:hashes.KEY = 'hex']``, `IN` lists, alternatives of them by OR, inside one
observation or of several, and hashes of one file joined by AND, of which the strongest is taken: the others
say the same. All else (other properties, NOT, LIKE, FOLLOWEDBY, qualifiers, …) is no list and told as such.

Grammar: STIX 2.1, section 9. Met in the wild and read as well: keys without the hyphen, in lower case, and
double quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from scanner.feeds.checks import digest, kind_name, unsupported_name
from scanner.model.errors import FeedFormatError
from scanner.model.hashes import EXACT_KINDS, KINDS

MAX_PATTERN = 1 << 20  # characters: some ten thousand alternatives
_MAX_NESTING = 32  # parentheses; real patterns have one or two

_FAST = re.compile(
    r"""\s*\[\s*file:hashes\.(['"]?)([A-Za-z0-9/_-]+)\1\s*=\s*(['"])([0-9A-Fa-f]+)\3\s*\]\s*"""
)
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<path>[A-Za-z0-9_-]+:(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[A-Za-z0-9_.-]|\[(?:\*|-?[0-9]+)\])+)
    | (?P<text>(?:[thb])?'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    | (?P<mark>\[|\]|\(|\)|,|==|!=|<>|<=|>=|=|<|>)
    | (?P<word>[A-Za-z]+)
    | (?P<number>[+-]?[0-9.][0-9.eE+-]*)
    )""",
    re.VERBOSE,
)
_HASHES = re.compile(r"""file:hashes\.(?:'([^'\\]+)'|"([^"\\]+)"|([A-Za-z0-9_-]+))""")
_HEX = re.compile(r"[0-9A-Fa-f]+")
_QUALIFIERS = frozenset({"WITHIN", "REPEATS", "START"})
_EXACT = frozenset(EXACT_KINDS)
_USUAL = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256"}
# The longer digest is the stronger one: MD5 below SHA-1 below SHA-2.
_BY_STRENGTH = sorted(EXACT_KINDS, key=lambda kind: KINDS[kind].size, reverse=True)


class NotAListError(Exception):
    """The pattern says what no list of hashes can say. `args[0]`: under which name it is counted."""


@dataclass(frozen=True, slots=True)
class Reduced:
    """What is left of a pattern.

    Attributes:
        hashes: a file with any of them is meant.
        left_out: names of alternatives that can't be used here: kinds of hashes, or other properties.
    """

    hashes: tuple[tuple[str, bytes], ...]
    left_out: tuple[str, ...] = ()


def reduce(pattern: str) -> Reduced:
    """The hashes of a pattern.

    Raises:
        NotAListError: it does not reduce to hashes.
        FeedFormatError: it is no pattern, or one of its hashes can't be one; without `where`.
    """
    if len(pattern) > MAX_PATTERN:
        raise FeedFormatError(f"a pattern of more than {MAX_PATTERN} characters")
    simple = _FAST.fullmatch(pattern)
    if simple is not None:
        return _one(simple[2], simple[4])
    return _Reader(_tokens(pattern)).observations()


def _one(key: str, text: str) -> Reduced:
    """A comparison of one hash."""
    kind = _USUAL.get(key) or kind_name(key)
    if kind in _EXACT:
        return Reduced(((kind, digest(kind, text.strip(), "")),))
    if not _HEX.fullmatch(text.strip()) and kind not in KINDS and unsupported_name(kind) == "other":
        raise FeedFormatError("a hash has hexadecimal digits only, found other characters")
    # Perceptual values would be compared by distance, where the pattern says "equal".
    return Reduced((), (kind if kind in KINDS else unsupported_name(kind),))


def _tokens(pattern: str) -> list[tuple[str, str]]:
    found, at = [], 0
    end = len(pattern.rstrip())
    while at < end:
        token = _TOKEN.match(pattern, at, end)
        if token is None or token.lastgroup is None:
            raise FeedFormatError("the pattern is not written as STIX says")
        found.append((token.lastgroup, token[token.lastgroup]))
        at = token.end()
    return found


class _Reader:
    """Reads the tokens by recursive descent; AND binds more than OR, OR more than FOLLOWEDBY."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0
        self._nesting = 0

    def observations(self) -> Reduced:
        """All of the pattern."""
        alternatives = [self._observation()]
        while self._at < len(self._tokens):
            self._or_observation(self._next(), alternatives)
        return _usable(_joined(alternatives))

    def _observation(self) -> Reduced:
        kind, text = self._next()
        if text == "(" and kind == "mark":
            return self._deeper(self._group)
        if (kind, text) != ("mark", "["):
            raise _broken()
        found = self._either()
        self._expect("]")
        return found

    def _group(self) -> Reduced:
        alternatives = [self._observation()]
        while (token := self._next()) != ("mark", ")"):
            self._or_observation(token, alternatives)
        return _joined(alternatives)

    def _or_observation(self, token: tuple[str, str], alternatives: list[Reduced]) -> None:
        """What joins two observations: OR is the only one that a list can say."""
        if token == ("word", "OR"):
            alternatives.append(self._observation())
        elif token in (("word", "AND"), ("word", "FOLLOWEDBY")):
            raise NotAListError(f"pattern_{token[1].lower()}")
        elif token[0] == "word" and token[1] in _QUALIFIERS:
            raise NotAListError("pattern_qualifier")
        else:
            raise _broken()

    def _either(self) -> Reduced:
        alternatives = [self._all_of()]
        while self._peek() == ("word", "OR"):
            self._at += 1
            alternatives.append(self._all_of())
        return _joined(alternatives)

    def _all_of(self) -> Reduced:
        conditions = [self._condition()]
        while self._peek() == ("word", "AND"):
            self._at += 1
            conditions.append(self._condition())
        return conditions[0] if len(conditions) == 1 else _strongest(conditions)

    def _condition(self) -> Reduced:
        kind, text = self._next()
        if (kind, text) == ("mark", "("):
            found = self._deeper(self._either)
            self._expect(")")
            return found
        if (kind, text) == ("word", "NOT"):
            raise NotAListError("pattern_not")
        if (kind, text) == ("word", "EXISTS"):
            raise NotAListError("pattern_operator")
        if kind != "path":
            raise _broken()
        return self._comparison(text)

    def _comparison(self, path: str) -> Reduced:
        kind, operator = self._next()
        if (kind, operator) == ("word", "NOT"):
            raise NotAListError("pattern_not")
        hashes = _HASHES.fullmatch(path)
        if hashes is not None and operator not in ("=", "==", "IN"):
            raise NotAListError("pattern_not" if operator in ("!=", "<>") else "pattern_operator")
        values = self._values(operator)
        if hashes is None:
            return Reduced((), ("pattern_property",))
        key = hashes[1] or hashes[2] or hashes[3]
        return _joined([_one(key, value) for value in values])

    def _values(self, operator: str) -> list[str]:
        if operator != "IN":
            return [self._value()]
        self._expect("(")
        values = [self._value()]
        while (token := self._next()) == ("mark", ","):
            values.append(self._value())
        if token != ("mark", ")"):
            raise _broken()
        return values

    def _value(self) -> str:
        kind, text = self._next()
        if kind == "text" and text[0] in "'\"":
            return text[1:-1]
        if kind in ("text", "number") or (kind, text.lower()) in (("word", "true"), ("word", "false")):
            return ""
        raise _broken()

    def _deeper(self, read: Callable[[], Reduced]) -> Reduced:
        self._nesting += 1
        if self._nesting > _MAX_NESTING:
            raise FeedFormatError(f"the pattern is nested deeper than {_MAX_NESTING} levels")
        found = read()
        self._nesting -= 1
        return found

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self._at += 1
        return token

    def _expect(self, mark: str) -> None:
        if self._next() != ("mark", mark):
            raise _broken()


def _joined(alternatives: list[Reduced]) -> Reduced:
    if len(alternatives) == 1:
        return alternatives[0]
    hashes = dict.fromkeys(pair for one in alternatives for pair in one.hashes)
    return Reduced(tuple(hashes), tuple(name for one in alternatives for name in one.left_out))


def _strongest(conditions: list[Reduced]) -> Reduced:
    """Of several conditions that all hold for one file, the one that says most; the others follow from it.

    Raises:
        NotAListError: one of them is no single hash, or they can't hold together.
    """
    found: dict[str, bytes] = {}
    left_out: list[str] = []
    for condition in conditions:
        if len(condition.hashes) + len(condition.left_out) != 1 or "pattern_property" in condition.left_out:
            raise NotAListError("pattern_and")
        left_out += condition.left_out
        for kind, value in condition.hashes:
            if found.setdefault(kind, value) != value:
                raise NotAListError("pattern_and")
    for kind in _BY_STRENGTH:
        if kind in found:
            return Reduced(((kind, found[kind]),), tuple(left_out))
    return Reduced((), tuple(left_out))


def _usable(found: Reduced) -> Reduced:
    """A pattern of which nothing remains says what it was about."""
    if not found.hashes and set(found.left_out) == {"pattern_property"}:
        raise NotAListError("pattern_property")
    return found


def _broken() -> FeedFormatError:
    return FeedFormatError("the pattern is not written as STIX says")
