"""Any list, written down in any of a format's ways, gives back the same entries."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.feeds import FormatOptions, import_list
from scanner.feeds.checks import category_text, refusal
from scanner.model.errors import FeedError
from scanner.model.feeds import LISTED, Entry, entries_of
from scanner.model.hashes import KINDS

SIZES = {name: kind.size for name, kind in KINDS.items()}
SETTINGS = settings(max_examples=60, deadline=None)
cases = st.sampled_from([str.upper, str.lower])
names = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=12)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=12).map(str.strip)
categories = st.one_of(st.integers(0, 9).map(str), texts).map(category_text)


def value(kind: str) -> st.SearchStrategy[bytes]:
    size = KINDS[kind].size
    return st.binary(min_size=size, max_size=size).filter(lambda v: refusal(kind, v) is None)


def records(*kinds: str) -> st.SearchStrategy[dict[str, bytes]]:
    return st.fixed_dictionaries({}, optional={k: value(k) for k in kinds}).filter(bool)


def read(content: bytes, format: str, **options: object) -> list[Entry]:
    entries: list[Entry] = []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "list")
        path.write_bytes(content)
        result = import_list(
            path,
            format,
            FormatOptions(**options),  # type: ignore[arg-type]
            lambda item: entries.extend(entries_of(item, SIZES)),
        )
    assert result.counts.entries == len(entries)
    assert sum(result.counts.hashes.values()) == sum(len(e.hashes) for e in entries)
    assert sum(result.counts.categories.values()) == len(entries)
    return entries


@SETTINGS
@given(
    lines=st.lists(st.tuples(records("md5", "sha1", "sha256"), cases, names, st.integers(0, 3)), min_size=1),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_plain(lines, end, encoding):
    written, expected = ["# list"], []
    for record, case, name, form in lines:
        for kind, raw in record.items():
            digits = case(raw.hex())
            forms = [digits, f"{digits}  {name}", f"{digits} *{name}", f"{kind.upper()} ({name}) = {digits}"]
            written.append(forms[form])
            expected.append(Entry(((kind, raw),), "", LISTED))
    assert read((end.join(written) + end).encode(encoding), "plain", hash="sha256") == expected


@SETTINGS
@given(
    rows=st.lists(st.tuples(records(*KINDS), texts, categories, cases), min_size=1, max_size=8),
    order=st.permutations([*KINDS, "id", "category", "added"]),
    delimiter=st.sampled_from(",;\t"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_csv(rows, order, delimiter, encoding, quoting):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator="\r\n")
    writer.writerow(order)
    expected = []
    for record, own_id, category, case in rows:
        cells = {kind: case(raw.hex()) for kind, raw in record.items()} | {"id": own_id, "category": category}
        writer.writerow([cells.get(column, "") for column in order])
        hashes = tuple((kind, record[kind]) for kind in KINDS if kind in record)
        expected.append(Entry(hashes, own_id, category))
    assert read(text.getvalue().encode(encoding), "auto") == expected


@SETTINGS
@given(
    rows=st.lists(
        st.tuples(records("md5", "sha1"), st.integers(0, 2**31), st.integers(0, 9), cases, st.randoms()),
        min_size=1,
        max_size=8,
    ),
    extra=st.recursive(
        st.none() | st.integers(0, 9) | texts, lambda x: st.lists(x) | st.dictionaries(texts, x), max_leaves=5
    ),
    cased=st.booleans(),
    indent=st.sampled_from([None, 1]),
    bom=st.booleans(),
)
def test_vics(rows, extra, cased, indent, bom):
    media, expected = [], []
    for record, own_id, category, case, rng in rows:
        members = [(kind.upper(), case(raw.hex())) for kind, raw in record.items()]
        members += [("MediaID", own_id), ("Category", category), ("Unknown", extra), ("MediaFiles", [extra])]
        rng.shuffle(members)
        media.append({case(key): item for key, item in members})
        hashes = [(k.lower(), record[k.lower()]) for k, _ in members if k.lower() in record]
        expected.append(Entry(tuple(hashes), str(own_id or ""), str(category or "")))
    value = [{"CaseID": "1", "Other": extra, "Media": media}] if cased else media
    document = {"before": extra, "value": value, "odata.metadata": "…/ProjectVic/DataModels/1.3.xml#Media"}
    content = json.dumps(document, indent=indent, ensure_ascii=False).encode("utf-8-sig" if bom else "utf-8")
    assert read(content, "auto") == expected


@SETTINGS
@given(
    st.binary(max_size=300),
    st.sampled_from(["plain", "csv", "vics", "auto", "icse", "griffeye", "hashkeeper", "hashdeep"]),
)
def test_any_bytes_are_entries_or_a_feed_error(content, format):
    try:
        read(content, format)
    except FeedError as e:
        assert "failed (" not in e.what  # a bug that the import had to catch
