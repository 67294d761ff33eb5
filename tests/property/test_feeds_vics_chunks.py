"""VICS in chunks is the same list as VICS event by event, whatever the records hold and wherever it ends."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.feeds.formats import vics
from scanner.feeds.formats.vics_chunks import Chunks, Sizes
from scanner.feeds.formats.vics_events import entries
from scanner.model.errors import FeedFormatError
from scanner.model.feeds import ImportCounts, entries_of
from scanner.model.hashes import KINDS

SIZES = {name: kind.size for name, kind in KINDS.items()}
SHORT = Sizes(head=40, piece=97, most=2000)  # bytes, so that short lists have many chunks

MD5S = st.binary(min_size=16, max_size=16).map(bytes.hex) | st.sampled_from(
    ["0" * 32, "d41d8cd98f00b204e9800998ecf8427e", "x", "", None, 7, " " + "ab" * 16, {}, "AB" * 16]
)
TEXTS = st.text(st.sampled_from('a},{]["\\:é\n 1'), max_size=8)
NUMBERS = st.sampled_from([0, 1, 2, -1, 2.0, 1.5, "2", "", None, True, 10**17, [], {}, "x" * 2000])
NESTED = st.recursive(
    st.none() | TEXTS | st.integers(0, 9), lambda x: st.lists(x) | st.dictionaries(TEXTS, x), max_leaves=4
)
ALTERNATIVES = st.lists(
    st.fixed_dictionaries(
        {}, optional={"HashName": st.sampled_from(["SHA1", "PhotoDNA", "", 1]), "HashValue": MD5S}
    )
    | st.just("x"),
    max_size=2,
)
RECORDS = st.fixed_dictionaries(
    {"MD5": MD5S},
    optional={
        "MediaID": NUMBERS,
        "Category": NUMBERS,
        "SHA1": st.sampled_from(["ab" * 20, None, ""]),
        "PhotoDNA": st.sampled_from(["AAAA", None, "", [], 0]),
        "AlternativeHashes": ALTERNATIVES | st.none() | TEXTS,
        "MediaFiles": st.lists(st.dictionaries(TEXTS, NESTED, max_size=2), max_size=2),
        "Tags": NESTED,
        "sha1": st.just("cd" * 20),
        "Media": st.lists(st.fixed_dictionaries({"MD5": MD5S}), max_size=2),
        "CaseID": TEXTS,
    },
)
PLAIN = st.fixed_dictionaries(  # as real sets are
    {"MediaID": st.integers(0, 9), "MD5": st.binary(min_size=16, max_size=16).map(bytes.hex)},
    optional={"Category": st.integers(0, 3), "Series": TEXTS},
)


def outcome(read, content: bytes) -> object:
    counts = ImportCounts()
    try:
        return [e for item in read(io.BytesIO(content), counts) for e in entries_of(item, SIZES)], counts
    except FeedFormatError as e:
        return e.what, e.where


@settings(max_examples=100, deadline=None)
@given(
    records=st.lists(RECORDS | NESTED, max_size=6) | st.lists(PLAIN, min_size=3, max_size=12),
    indent=st.sampled_from([None, 1]),
    ascii=st.booleans(),
    first=st.booleans(),
    cut=st.integers(0, 400),
    edit=st.sampled_from(
        [None, (b"1", b"1e3"), (b"a", b"\\ud800"), (b"},", b"},,"), (b": 2", b": NaN"), (b"}]", b"},]")]
    ),
)
def test_chunks_and_events_agree(records, indent, ascii, first, cut, edit):
    document = {"odata.metadata": "ProjectVic", "value": records, "after": [{"value": [{}, {}]}]}
    if not first:
        document = {"value": document.pop("value"), **document}
    content = json.dumps(document, indent=indent, ensure_ascii=ascii).encode()
    if edit is not None:
        content = content.replace(*edit, 1)
    content = content[: len(content) - cut] if cut < 40 else content
    chunked = outcome(lambda s, c: vics.read(s, c, SHORT), content)
    events = outcome(entries, content)
    if isinstance(events[0], str):  # where the events end, the chunks may have come a record less far
        assert chunked[0] == events[0]
    else:
        assert chunked == events


def test_a_set_is_really_read_in_chunks():
    records = [{"MediaID": n + 1, "Category": 1, "MD5": f"{n + 1:032x}", "Series": "},{"} for n in range(200)]
    stream = io.BytesIO(json.dumps({"x": [{"value": [1]}], "value": records}).encode())
    chunks = Chunks(stream, ImportCounts(), SHORT)
    items = list(chunks.items())
    assert len(items) > 20
    assert chunks.records > 190


def test_a_list_cut_anywhere_fails():
    records = [{"MediaID": n, "Category": 1, "MD5": f"{n + 1:032x}"} for n in range(8)]
    content = json.dumps({"value": records}).encode()
    for cut in range(1, len(content)):
        with pytest.raises(FeedFormatError, match=r"cut short or broken|expected a"):
            list(vics.read(io.BytesIO(content[:cut]), ImportCounts(), SHORT))
