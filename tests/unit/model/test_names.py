"""Names of strangers, shown without harm and without losing anything."""

from __future__ import annotations

import base64
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from scanner.model.names import display, json_fields


def test_a_plain_name_is_shown_as_it_is() -> None:
    assert display("Été/photo 1.jpg".encode()) == "Été/photo 1.jpg"


def test_newline_escape_and_bidi_characters_do_not_reach_the_terminal() -> None:
    assert display(b"a\nb\x1b[2Jc") == "a\\x0ab\\x1b[2Jc"
    assert display("gnp.\u202egpj".encode()) == "gnp.\\u202egpj"


def test_bytes_that_are_no_utf8_are_escaped_one_by_one() -> None:
    assert display(b"\xff\xfe.jpg") == "\\xff\\xfe.jpg"


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_two_different_names_never_look_the_same(a: bytes, b: bytes) -> None:
    assert (display(a) == display(b)) == (a == b)


@given(st.binary(max_size=60))
def test_what_is_shown_is_printable_on_one_line(name: bytes) -> None:
    active = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert not [c for c in display(name) if unicodedata.category(c) in active]


@given(st.binary(max_size=60))
def test_json_keeps_the_exact_bytes_of_a_name_that_is_not_utf8(name: bytes) -> None:
    fields = json_fields(name)
    if "path_base64" in fields:
        assert base64.b64decode(fields["path_base64"]) == name
    else:
        assert fields["path"].encode() == name
