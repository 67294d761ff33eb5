"""Files of Meta's open tools, and how the shared formats are told from one another."""

from __future__ import annotations

import hashlib
import io
import json
import time

import pytest

from scanner.feeds import FormatOptions, import_list
from scanner.feeds.formats import available_formats
from scanner.feeds.formats.signals import SignalsFormat
from scanner.feeds.times import iso_ns, iso_text, unix_ns
from scanner.model.errors import FeedFormatError
from scanner.model.feeds import ImportCounts

MD5 = hashlib.md5(b"a").hexdigest()
PDQ = hashlib.sha256(b"a").hexdigest()
HEADER = "collab,signal_type,signal_str,category,tags"

LINES = f"""pdq {PDQ}
video_md5 {MD5}
url https://example.org/ with blanks

url_md5 {MD5}
vpdq ["{PDQ},100,0"]
raw_text some words
"""
TABLE = f"""{HEADER}
Sample,pdq,{PDQ},POSITIVE_CLASS,a b
"Other, too",video_md5,{MD5},NEGATIVE_CLASS,
Other,url,"https://example.org/,",POSITIVE_CLASS,
"""


def test_lines_of_type_and_value_are_read_as_the_tools_write_them(read):
    entries, result = read(LINES.encode(), "auto")
    assert result.format == "signals"
    assert [e.hashes for e in entries] == [
        (("pdq", bytes.fromhex(PDQ)),),
        (("md5", bytes.fromhex(MD5)),),
    ]
    assert result.counts.unsupported == {"other": 3, "vpdq": 1} and not result.counts.malformed


def test_values_alone_are_of_the_kind_that_is_declared():
    counts = ImportCounts()
    lines = f"{PDQ}\n\n{PDQ[::-1]}\n".encode()
    found = SignalsFormat().parse(io.BytesIO(lines), FormatOptions(hash="pdq"), counts)
    assert [e.hashes[0][0] for e in found] == ["pdq", "pdq"]


def test_the_table_of_the_tools_is_read_and_negative_opinions_do_not_act(read):
    entries, result = read(TABLE.encode(), "auto")
    assert result.format == "signals"
    assert [(e.hashes[0][0], e.category) for e in entries] == [
        ("pdq", "POSITIVE_CLASS"),
        ("md5", "NEGATIVE_CLASS"),
    ]
    assert entries[0].about.labels == ("a", "b") and entries[1].about.source == "Other, too"
    assert result.default_categories == {"POSITIVE_CLASS", "listed"}


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (f"pdq {PDQ}\npdq 12\n", "line 2"),
        (f"pdq {PDQ}\n{MD5}\n", "line 2"),
        (f"{HEADER}\nx,pdq,{PDQ},POSITIVE_CLASS\n", "line 2"),
        (f'{HEADER}\nx,pdq,"{PDQ}"y,POSITIVE_CLASS,\n', "line 2"),
        ("pdq " + "0" * (2 << 20), "line 1"),
    ],
)
def test_what_is_no_signal_is_told_with_its_line(read, content, where):
    with pytest.raises(FeedFormatError) as caught:
        read(content.encode(), "signals")
    assert where in str(caught.value) and MD5 not in str(caught.value) and PDQ not in str(caught.value)


@pytest.mark.parametrize(
    ("bad", "partial", "taken"), [(1, False, False), (10, True, True), (11, True, False)]
)
def test_a_few_malformed_records_do_not_hold_up_changes(tmp_path, bad, partial, taken):
    path = tmp_path / "list"
    path.write_text(f"pdq {PDQ}\n" + "pdq 12\n" * bad)
    form = SignalsFormat()

    def run():
        return import_list(
            path, "signals", FormatOptions(), [].append, formats={"signals": form}, partial=partial
        )

    if taken:
        assert run().counts.malformed == bad
    else:
        with pytest.raises(FeedFormatError, match="malformed"):
            run()


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("threatexchange", {"data": [{"indicator": MD5, "type": "HASH_MD5", "descriptors": {}}]}),
        ("stopncii", {"count": 1, "hashRecords": [{"hashValue": MD5, "hashStatus": "Active"}]}),
        ("tat", {"results": [{"hash_digest": MD5, "algorithm": "MD5"}]}),
        ("tat", [{"hash_digest": MD5, "algorithm": "MD5"}]),
        ("ncmec", '<?xml version="1.0"?>\n<n:queryResult xmlns:n="x"/>'),
        ("signals", f"pdq {PDQ}\n"),
        ("signals", f"{HEADER}\r\n"),
    ],
)
def test_each_shared_format_proposes_its_own_lists_and_no_other(name, document):
    head = (document if isinstance(document, str) else json.dumps(document)).encode()
    assert [n for n, known in available_formats().items() if known.proposes(head)] == [name]


def test_times_are_read_in_all_their_forms(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        _check_times()
    finally:
        monkeypatch.undo()
        time.tzset()


def _check_times():
    second = 10**9
    assert unix_ns(5, "") == unix_ns("5", "") == unix_ns(5.0, "") == 5 * second
    assert unix_ns(1704085200.5, "") == 1704085200 * second + second // 2
    assert iso_ns("2026-01-31T12:00:00Z", "") == iso_ns("2026-01-31T12:00:00", "")
    assert iso_ns("2026-01-31T14:00:00+0200", "") == iso_ns("2026-01-31T12:00:00.000Z", "")
    assert iso_text(iso_ns("2026-01-31T12:00:00Z", "") // second) == "2026-01-31T12:00:00Z"
    for wrong in (None, True, "x", -1, 1e300, float("nan"), [], "1e300"):
        with pytest.raises(FeedFormatError):
            unix_ns(wrong, "here")
    for wrong in ("", "yesterday", "1969-12-31T00:00:00Z", "9999-12-31T00:00:00Z"):
        with pytest.raises(FeedFormatError):
            iso_ns(wrong, "here")
