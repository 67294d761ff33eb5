"""Compiled patterns mean what the simplest possible matcher says, for any pattern and any name."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from scanner.sources import compile_excludes

NAME = st.text(alphabet="abé€\n*[]!-\udcc3", min_size=1, max_size=4)
PATH = st.lists(NAME, min_size=1, max_size=5)
PIECE = st.sampled_from(["a", "b", "é", "*", "?", "[ab]", "[!a]", "[é-€]", "\n", "-", "!"])
COMPONENT = st.just("**") | st.lists(PIECE, min_size=1, max_size=4).map("".join).filter(lambda c: c != "**")
PATTERN = st.tuples(st.booleans(), st.lists(COMPONENT, min_size=1, max_size=5), st.booleans())


def same(component: str, name: str) -> bool:
    """Whether one component of a pattern matches one name, tried letter by letter."""
    if not component:
        return not name
    if component[0] == "*":
        return same(component[1:], name) or (bool(name) and same(component, name[1:]))
    if not name:
        return False
    if component[0] == "[" and "]" in component[2:]:
        end = component.index("]", 2)
        members = {"[ab]": "ab", "[!a]": "a"}.get(component[: end + 1])
        inside = "é" <= name[0] <= "€" if members is None else name[0] in members
        return (inside != (component[1] == "!")) and same(component[end + 1 :], name[1:])
    return component[0] in ("?", name[0]) and same(component[1:], name[1:])


def fits(pattern: list[str], path: list[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return fits(pattern[1:], path) or (bool(path) and fits(pattern, path[1:]))
    return bool(path) and same(pattern[0], path[0]) and fits(pattern[1:], path[1:])


def reference(anchored: bool, parts: list[str], path: list[str]) -> bool:
    if all(part == "**" for part in parts):
        return False  # the root: nothing is entered, so nothing below it is ever asked for
    while parts[-1] == "**":
        parts = parts[:-1]
    return fits(parts if anchored else ["**", *parts], path)


@given(PATTERN, PATH)
def test_compiled_patterns_agree_with_the_reference(
    pattern: tuple[bool, list[str], bool], path: list[str]
) -> None:
    anchored, parts, slash = pattern
    if slash and parts[-1] == "**":
        parts = [*parts, "*"]
    text = "/" * anchored + "/".join(parts) + "/" * slash
    excludes = compile_excludes([text], b"/volume")
    assert excludes is not None

    raw = "/".join(path).encode("utf-8", "surrogateescape")
    expected = reference(anchored, parts, path)

    assert excludes.directory(raw) is expected
    directories_only = slash or parts[-1] == "**"
    above, _, name = raw.rpartition(b"/")
    assert list(excludes.among(above, [name])) == [expected and not directories_only]


def test_names_made_to_confuse_a_pattern_cost_no_more_than_others() -> None:
    excludes = compile_excludes(["**/a/**/a/**/a/**/b", "*a*a*a*a*b"])
    assert excludes is not None
    start = time.process_time()

    assert not excludes.directory(b"/".join([b"a"] * 200) + b"/" + b"a" * 255)

    assert time.process_time() - start < 1  # without atomic groups: 200^3 / 6 steps, 7 s
