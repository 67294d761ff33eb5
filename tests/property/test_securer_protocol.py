"""Both sides of the securer's protocol read bytes of somebody hostile: understood wholly, or refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.model.errors import SecurerError
from scanner.securer.protocol import (
    MAX_DATA,
    MAX_FRAME,
    MAX_PATH,
    Ask,
    FileAsk,
    Op,
    Refusal,
    encode_ask,
    encode_data,
    encode_done,
    encode_refusal,
    parse_answer,
    parse_ask,
)

_names = st.binary(max_size=300).map(lambda b: b.replace(b"\0", b"")[:255])
_numbers = st.integers(0, 2**64 - 1)
_times = st.integers(-(2**63), 2**63 - 1)
_ids = st.from_regex(r"[0-9A-Za-z_-]{1,64}", fullmatch=True)
_files = st.builds(
    FileAsk,
    volume=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", fullmatch=True),
    root=_names,
    directory=_names,
    name=_names,
    device=_numbers,
    inode=_numbers,
    size=_numbers,
    mtime_ns=_times,
    ctime_ns=_times,
    hashed=_numbers,
    digests=st.fixed_dictionaries({}, optional={"md5": st.binary(min_size=16, max_size=16),
                                                "sha256": st.binary(min_size=32, max_size=32)}),
    case_id=_ids,
    atime_ns=_times,
)  # fmt: skip
_asks = st.one_of(
    st.builds(Ask, st.sampled_from([Op.READY, Op.USAGE, Op.ITEMS, Op.VERIFY, Op.BRAKE, Op.RELEASE])),
    st.builds(Ask, st.sampled_from([Op.ITEM, Op.RESTORE, Op.COPY, Op.PURGE]), item_id=_ids),
    st.builds(Ask, st.just(Op.OUTCOME), case_id=_ids, since_ns=_times),
    st.builds(Ask, st.just(Op.RESTORED), item_id=_ids, path=_names),
    st.builds(Ask, st.just(Op.SECURE), file=_files),
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_HEADS = [b"SV\x01" + bytes([kind]) for kind in (1, 2, 3, 4, 9)]


@given(_asks)
def test_what_is_asked_arrives_as_it_was_meant(ask: Ask) -> None:
    assert parse_ask(encode_ask(ask)) == ask


@given(st.sampled_from(_HEADS) | st.binary(max_size=4), st.binary(max_size=200))
def test_no_bytes_break_either_side(head: bytes, body: bytes) -> None:
    for read in (parse_ask, lambda frame: parse_answer(frame, Op.SECURE)):
        try:
            read(head + body)
        except SecurerError:
            pass


@given(st.sampled_from(_HEADS), st.sampled_from(list(Op)), _json, st.dictionaries(st.text(max_size=8), _json))
def test_no_json_breaks_either_side(head: bytes, op: Op, value: Any, more: Mapping[str, Any]) -> None:
    for body in (value, {**more, "op": str(op)}, {**more, "op": value}):
        frame = head + json.dumps(body).encode()
        for read in (parse_ask, lambda f: parse_answer(f, op)):
            try:
                read(frame)
            except SecurerError:
                pass


@given(_files, st.data())
def test_a_field_too_few_too_many_or_of_another_type_is_refused(file: FileAsk, data: st.DataObject) -> None:
    frame = encode_ask(Ask(Op.SECURE, file=file))
    fields = json.loads(frame[4:])
    name = data.draw(st.sampled_from(sorted(fields)))
    changed = data.draw(st.sampled_from([None, True, [], 1.5, {"a": 1}, "\u0000", 2**70]))
    for body in (
        {k: v for k, v in fields.items() if k != name},
        {**fields, "more": 1},
        {**fields, name: changed},
    ):
        with pytest.raises(SecurerError):
            parse_ask(frame[:4] + json.dumps(body).encode())


@given(_asks, st.data())
def test_a_flipped_byte_is_read_as_something_whole_or_refused(ask: Ask, data: st.DataObject) -> None:
    frame = bytearray(encode_ask(ask))
    frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = parse_ask(bytes(frame))
    except SecurerError:
        return
    assert parse_ask(encode_ask(read)) == read


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(SecurerError, match="twice"):
        parse_ask(b'SV\x01\x01{"op":"item","item_id":"a","item_id":"b"}')


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(SecurerError):
        parse_ask(b"SV\x01\x01" + b"[" * 50_000)


def test_the_largest_question_fits_into_a_frame() -> None:
    file = FileAsk(
        "v" * 63, b"/" * MAX_PATH, b"", b"n" * 255, 2**64 - 1, 2**64 - 1, 2**64 - 1, 0, 0, 0, {}, "c"
    )
    assert len(encode_ask(Ask(Op.SECURE, file=file))) <= MAX_FRAME
    with pytest.raises(SecurerError):
        parse_ask(encode_ask(Ask(Op.RESTORED, item_id="a", path=b"/" * (MAX_PATH + 1))))


def test_answers_arrive_as_they_were_meant_and_say_no_more_than_they_may() -> None:
    fields = {
        "outcome": "secured",
        "kind": "secured",
        "text": "a\x1b[2J",
        "quarantine_id": "q1",
        "links_left": 2,
    }
    assert parse_answer(encode_done(fields), Op.SECURE) == {**fields, "text": "a\\x1b[2J"}
    assert parse_answer(encode_data(b"x"), Op.ITEMS) == b"x"
    refusal = Refusal("busy", "what", "where", "remedy")
    assert parse_answer(encode_refusal(refusal), Op.READY) == refusal
    for frame in (encode_data(b""), encode_data(b"x" * (MAX_DATA + 1)), encode_done({"more": 1})):
        with pytest.raises(SecurerError):
            parse_answer(frame, Op.SECURE)
