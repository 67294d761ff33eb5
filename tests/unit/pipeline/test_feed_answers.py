"""Answers of processes that may have been taken over: exactly what an honest one says, or an error."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.feeds import Traffic
from scanner.model.errors import FeedProcessError, FeedRefusedError, ScannerError
from scanner.pipeline.feed_answers import MAX_ANSWER, Nonsense, fetched, imported

COUNTS = {
    "entries": 1, "removals": 0, "malformed": 0, "first_malformed": "", "hashes": {"sha256": 1},
    "refused": {}, "unsupported": {}, "categories": {"": 1},
}  # fmt: skip
LIST = {
    "entries": 1, "hashes": {"sha256": 1}, "categories": {"": 1},
    "added": 1, "replaced": 0, "removed": 0, "unknown": 0, "outdated": 0,
}  # fmt: skip
IMPORTED: dict[str, Any] = {"format": "csv", "sha256": "0" * 64, "counts": COUNTS, "list": LIST}
FETCHED: dict[str, Any] = {
    "not_modified": False, "etag": '"1"', "last_modified": "", "bytes": 3, "sha256": "0" * 64,
    "memory": "", "partial": False, "signature": "eA==",
    "traffic": {"requests": 1, "received": 3, "resumed": 0},
}  # fmt: skip


def raw(result: dict[str, Any], **changed: Any) -> bytes:
    return json.dumps({"ok": {**result, **changed}}).encode()


def test_honest_answers_are_taken() -> None:
    assert imported(raw(IMPORTED)).counts.categories == {"": 1}
    whole = {**LIST, "entries": 9, "hashes": {"md5": 9}, "categories": {"1": 9}}
    counts = imported(raw(IMPORTED, list=whole)).list_counts()
    assert (counts["entries"], counts["hashes"], counts["categories"]) == (9, {"md5": 9}, {"1": 9})
    assert counts["malformed"] == 0
    told = fetched(raw(FETCHED))
    assert (told.bytes, told.signature, told.traffic) == (3, b"x", Traffic(1, 3, 0))
    assert fetched(raw(FETCHED, not_modified=True, sha256="", bytes=0)).not_modified


@pytest.mark.parametrize(
    "changed",
    [
        {"format": "../x"}, {"format": None}, {"sha256": "x"}, {"sha256": "A" * 64}, {"more": 1},
        {"counts": {**COUNTS, "entries": -1}}, {"counts": {**COUNTS, "entries": True}},
        {"counts": {**COUNTS, "entries": 0}}, {"counts": {**COUNTS, "entries": 1.5}},
        {"counts": {**COUNTS, "hashes": [1]}}, {"counts": {**COUNTS, "hashes": {"md5": "1"}}},
        {"counts": {**COUNTS, "first_malformed": 1}}, {"counts": {**COUNTS, "malformed": "1"}},
        {"list": {**LIST, "entries": 0}}, {"list": {**LIST, "added": -1}}, {"list": {**LIST, "more": 1}},
        {"list": {**LIST, "hashes": 1}}, {"list": {"entries": 1}}, {"list": None},
        {"counts": {"entries": 1}}, {"counts": {**COUNTS, "categories": {str(n): 1 for n in range(2000)}}},
    ],
)  # fmt: skip
def test_an_import_that_can_not_have_been_is_nonsense(changed: dict[str, Any]) -> None:
    with pytest.raises(Nonsense):
        imported(raw(IMPORTED, **changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"not_modified": 1}, {"not_modified": True}, {"sha256": ""}, {"etag": "a\nb"}, {"etag": "x" * 2000},
        {"last_modified": None}, {"bytes": -1}, {"bytes": 1 << 60}, {"path": "/etc/passwd"},
        {"memory": None}, {"memory": "é"}, {"memory": "x" * (1 << 21)}, {"partial": 1},
        {"signature": None}, {"signature": "é"}, {"signature": "eA"}, {"signature": "AAAA" * 6000},
        {"traffic": None}, {"traffic": {}}, {"traffic": {"requests": 1, "received": -1, "resumed": 0}},
    ],
)  # fmt: skip
def test_a_fetch_that_can_not_have_been_is_nonsense(changed: dict[str, Any]) -> None:
    with pytest.raises(Nonsense):
        fetched(raw(FETCHED, **changed))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"ok": 1}', b"[" * 100_000, b"\xff", b"1e999"])
def test_what_is_no_answer_is_nonsense(data: bytes) -> None:
    for parse in (fetched, imported):
        with pytest.raises(Nonsense):
            parse(data)


def test_changes_may_hold_no_entry_but_a_list_may_not() -> None:
    nothing = {"counts": {**COUNTS, "entries": 0, "removals": 3}}
    assert imported(raw(IMPORTED, **nothing), partial=True).counts.removals == 3
    with pytest.raises(Nonsense):
        imported(raw(IMPORTED, **nothing))


def test_errors_come_back_as_what_they_are_and_harmless() -> None:
    told = {"kind": "FeedRefusedError", "what": "no\x1b[2J", "where": "l\n1", "remedy": "x" * 5000}
    with pytest.raises(FeedRefusedError) as refused:
        imported(json.dumps({"error": told}).encode())
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1100
    for kind in ("StorageError", "BusyError", "KeyboardInterrupt"):  # would stop more than this feed
        with pytest.raises(FeedProcessError):
            imported(json.dumps({"error": {**told, "kind": kind}}).encode())


def test_the_longest_honest_answer_fits() -> None:
    """1000 categories of 1024 characters; the longest in JSON that is not a rarity, six bytes each."""
    categories = {f"{n:04}" + "\u4e2d" * 1020: 1 for n in range(1000)}
    data = raw(IMPORTED, counts={**COUNTS, "categories": categories})
    assert len(data) < MAX_ANSWER
    assert len(imported(data).counts.categories) == 1000


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def _with(key: str, names: Iterable[str]) -> st.SearchStrategy[bytes]:
    inner = st.fixed_dictionaries({name: _JSON for name in names})
    return inner.map(lambda value: json.dumps({key: value}).encode())


_ANSWERS = st.one_of(
    st.binary(),
    _JSON.map(lambda value: json.dumps(value).encode()),
    _with("ok", IMPORTED),
    _with("ok", FETCHED),
    _with("error", ("kind", "what", "where", "remedy")),
)


@settings(max_examples=50, deadline=None)
@given(_ANSWERS)
def test_nothing_but_our_own_errors_comes_of_any_answer(data: bytes) -> None:
    for parse in (fetched, imported):
        try:
            parse(data)
        except (Nonsense, ScannerError) as e:
            assert str(e).isprintable()
