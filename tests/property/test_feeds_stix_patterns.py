"""A pattern that reduces to hashes means the same files as the pattern itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.feeds.formats.stix_pattern import NotAListError, reduce

KEYS = {"md5": "MD5", "sha1": "'SHA-1'", "sha256": "'SHA-256'"}
FILES = [{kind: hashlib.new(kind, b"%d" % n).hexdigest() for kind in KEYS} for n in range(4)]


@dataclass(frozen=True)
class Sense:
    """A pattern's text, which of the files it means, and whether it is about hashes alone."""

    text: str
    means: frozenset[int]
    plain: bool = True


def one(kind: str, numbers: list[int]) -> Sense:
    values = [f"'{FILES[n][kind]}'" for n in numbers]
    said = f"= {values[0]}" if len(values) == 1 else f"IN ({', '.join(values)})"
    return Sense(f"file:hashes.{KEYS[kind]} {said}", frozenset(numbers))


def of_one_file(number: int, kinds: list[str]) -> Sense:
    return Sense(" AND ".join(one(kind, [number]).text for kind in kinds), frozenset({number}))


def either(parts: list[Sense], word: str = " OR ") -> Sense:
    means = frozenset[int]().union(*(part.means for part in parts))
    return Sense(word.join(part.text for part in parts), means, all(part.plain for part in parts))


def wrapped(sense: Sense, left: str, right: str) -> Sense:
    return Sense(f"{left}{sense.text}{right}", sense.means, sense.plain)


kinds = st.sampled_from(sorted(KEYS))
numbers = st.integers(0, len(FILES) - 1)
other = st.just(Sense("file:size = 5", frozenset(), plain=False))
comparisons = st.builds(one, kinds, st.lists(numbers, min_size=1, max_size=3, unique=True))
same_file = st.builds(of_one_file, numbers, st.lists(kinds, min_size=1, max_size=3, unique=True))
terms = comparisons | same_file | other
choices: Any = st.recursive(
    terms,
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(either).map(lambda s: wrapped(s, "(", ")")),
)
observations = choices.map(lambda s: wrapped(s, "[", "]"))
patterns = st.lists(observations, min_size=1, max_size=3).map(either)


@settings(max_examples=80, deadline=None)
@given(patterns)
def test_a_reduced_pattern_means_the_files_that_the_pattern_means(sense: Sense) -> None:
    try:
        reduced = reduce(sense.text)
    except NotAListError:
        assert not sense.means
        return
    found = {n for n, file in enumerate(FILES) for kind, value in reduced.hashes if file[kind] == value.hex()}
    assert found == sense.means
    assert bool(reduced.left_out) == (not sense.plain)


@settings(max_examples=30, deadline=None)
@given(comparisons, st.sampled_from(["AND file:size = 5", "AND file:name LIKE 'x%'"]), st.booleans())
def test_what_is_joined_with_another_condition_is_never_half_read(
    part: Sense, more: str, first: bool
) -> None:
    text = f"{more.removeprefix('AND ')} AND {part.text}" if first else f"{part.text} {more}"
    try:
        reduced = reduce(f"[{text}]")
    except NotAListError as e:
        assert e.args[0] == "pattern_and"
    else:
        raise AssertionError(f"it was read as {reduced}")
