"""A manifest gives back what was put in, and any damage to it is noticed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.response.attributes import Attributes
from scanner.response.items import Item, ItemState, decode, encode

numbers = st.integers(-(2**63), 2**63)
components = st.binary(min_size=1, max_size=255).filter(lambda c: c not in (b".", b"..") and b"/" not in c)
attributes = st.builds(
    Attributes,
    uid=numbers,
    gid=numbers,
    mode=st.integers(0, 0o7777),
    atime_ns=numbers,
    mtime_ns=numbers,
    ctime_ns=numbers,
    links=numbers,
    xattrs=st.lists(st.tuples(st.binary(), st.binary())).map(tuple),
    xattrs_omitted=st.integers(0, 10),
)
# A volume made from a path on the command line may be named in bytes that are no UTF-8.
names = st.binary(max_size=30).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
items = st.builds(
    Item,
    id=st.from_regex(r"[0-9a-f]{20}", fullmatch=True),
    case_id=st.text(st.characters(exclude_categories=["Cs"])),
    volume=names,
    root=st.binary(),
    components=st.lists(components, min_size=1, max_size=8).map(tuple),
    parent_uid=st.none() | numbers,
    size=st.integers(0, 2**63),
    attributes=attributes,
    digests=st.builds(
        lambda sha256, md5: {"sha256": sha256} | md5,
        st.binary(min_size=32, max_size=32),
        st.dictionaries(st.just("md5"), st.binary(min_size=16, max_size=16)),
    ),
    secured_ns=numbers,
    state=st.sampled_from(ItemState),
    restored_to=st.none() | st.binary(),
)


@given(items)
def test_what_is_written_is_what_is_read(item: Item) -> None:
    assert decode(encode(item)) == item


@given(items)
def test_one_item_has_one_form(item: Item) -> None:
    assert encode(decode(encode(item))) == encode(item)
    encode(item).decode("ascii")


@given(items, st.data())
def test_a_damaged_manifest_is_never_taken_for_another(item: Item, data: st.DataObject) -> None:
    raw = bytearray(encode(item))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        read = decode(bytes(raw))
    except ValueError:
        return
    assert read == item  # the damage changed white space, or a letter into its escape, and nothing else


@given(st.binary())
def test_anything_else_is_refused_as_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError):
        decode(raw)
