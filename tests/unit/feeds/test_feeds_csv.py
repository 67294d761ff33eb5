"""CSV lists: columns by name, mapped or not, and what makes a row wrong."""

from __future__ import annotations

import base64
import csv
import hashlib
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.feeds import FormatOptions
from scanner.feeds.formats import CsvFormat
from scanner.model.errors import FeedFormatError, FeedRefusedError
from scanner.model.feeds import LISTED, About, Entry, ImportCounts, entries_of
from scanner.model.hashes import KINDS

SIZES = {name: kind.size for name, kind in KINDS.items()}

MD5 = hashlib.md5(b"a").hexdigest()
SHA1 = hashlib.sha1(b"a").hexdigest()
PDQ = hashlib.sha256(b"p").hexdigest()
PHASH = "c3d5a1b2e4f60718"
RAW = {"md5": bytes.fromhex(MD5), "sha1": bytes.fromhex(SHA1), "pdq": bytes.fromhex(PDQ)}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_columns_come_in_any_order_case_and_delimiter(read, delimiter, mark):
    rows = [["Category", "SHA-1", "id", "added", "MD5"], ["2", SHA1.upper(), "x,1;2", "2024", MD5]]
    text = "\r\n".join(delimiter.join(f'"{c}"' for c in row) for row in rows)
    entries, result = read(mark + text.encode())
    assert entries == [Entry((("md5", RAW["md5"]), ("sha1", RAW["sha1"])), "x,1;2", "2")]
    assert result.format == "csv"


@pytest.mark.parametrize("category", ["0", "", "null", " 0 ", "00", "0.0", "NULL"])
def test_a_category_that_says_none_is_kept_as_none(read, category):
    entries, result = read(f"md5,category\n{MD5},{category}\n".encode())
    assert [e.category for e in entries] == [""]
    assert result.default_categories is None


def test_categories_are_text_and_without_the_column_rows_are_listed(read):
    assert read(f"md5;category\n{MD5};Child / Other\n".encode())[0][0].category == "Child / Other"
    assert read(f"md5\n{MD5}\n".encode())[0][0].category == LISTED


def test_type_and_hash_name_the_kind_in_each_row(read):
    text = f"hash,type,id\n{MD5},MD5,1\n{PDQ},pdq,2\n{PHASH},phash,3\nAAAA,PhotoDNA,4\nff,weird,5\n"
    entries, result = read(text.encode())
    assert [e.hashes[0][0] for e in entries] == ["md5", "pdq", "phash"]
    assert result.counts.unsupported == {"photodna": 1, "other": 1}


def test_empty_cells_are_no_hash_and_a_row_needs_one(read):
    entries, _ = read(f"md5,sha1\n{MD5},\n,{SHA1}\nnull,{SHA1}\n".encode())
    assert [len(e.hashes) for e in entries] == [1, 1, 1]
    with pytest.raises(FeedFormatError, match="line 3: a row without any hash"):
        read(f"md5,sha1,id\n{MD5},,1\n,,2\n".encode())


def test_a_row_with_photodna_alone_is_counted_and_no_entry(read):
    entries, result = read(f"md5,photodna\n,QUJD\n{MD5},\n".encode())
    assert len(entries) == 1
    assert result.counts.unsupported == {"photodna": 1}


def test_a_harmless_hash_goes_and_the_row_stays_with_what_remains(read):
    text = f"md5,sha1\n{hashlib.md5(b'').hexdigest()},{SHA1}\n{'0' * 32},\n"
    entries, result = read(text.encode())
    assert entries == [Entry((("sha1", RAW["sha1"]),))]
    assert result.counts.refused == {"empty_input": 1, "all_zeros": 1}


def test_the_configuration_maps_other_headers(read):
    text = f"Prüfsumme|Kat|category\n{MD5}|B|7\n".encode("cp1252")
    entries, _ = read(
        text, "csv", columns={"prüfsumme": "md5", "Kat": "category"}, delimiter="|", encoding="cp1252"
    )
    assert entries == [Entry((("md5", RAW["md5"]),), "", "B")]


def test_a_mapped_header_that_is_gone_is_an_error_not_a_column_less(read):
    with pytest.raises(FeedFormatError, match=r"line 1: .*'Kat' that isn't there; found md5, Category2"):
        read(f"md5,Category2\n{MD5},1\n".encode(), "csv", columns={"Kat": "category"})


def test_a_mapping_to_no_field_of_ours_is_refused(read):
    with pytest.raises(FeedRefusedError, match="'md6' is no field"):
        read(f"x,md5\n1,{MD5}\n".encode(), "csv", columns={"x": "md6"})


def test_without_a_hash_column_it_says_what_was_found_and_expected(read):
    with pytest.raises(FeedFormatError, match=r"line 1: .*expected one of md5.*found name, checksum"):
        read(f"name,checksum\na,{MD5}\n".encode(), "csv")


def test_a_list_without_header_does_not_show_its_hashes_in_the_error(read):
    with pytest.raises(FeedFormatError, match=r"found \(a digest\), 1") as caught:
        read(f"{MD5},1\n{MD5},2\n".encode(), "csv")
    assert MD5[:16] not in str(caught.value)


def test_two_columns_for_one_field_are_ambiguous_unless_mapped(read):
    text = f"SHA1,sha-1,md5\n{SHA1},,{MD5}\n".encode()
    with pytest.raises(FeedFormatError, match="two columns are 'sha1'"):
        read(text, "csv")
    assert len(read(text, "csv", columns={"SHA1": "sha1"})[0][0].hashes) == 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"{MD5}", r"line 5: expected 2 cells as the header has, found 1"),
        (f"{MD5},1,2", r"line 5: expected 2 cells as the header has, found 3"),
        (f"{MD5[:-1]},1", r"line 5, column 'md5': md5 has 32 hexadecimal digits, found 31"),
        (f"{MD5[:-1]}g,1", r"line 5, column 'md5': md5 has hexadecimal digits only"),
        (f"{MD5[:-2]} a,1", r"line 5, column 'md5': md5 has hexadecimal digits only"),
        (f'"{MD5}"x,1', r"line 5: this is not CSV"),
        (f'{MD5},"1', r"this is not CSV: unexpected end of data"),
        (f"{MD5},{'x' * 2000}", r"line 5, column 'id': a text of 2000 characters"),
    ],
)
def test_a_wrong_row_fails_the_list_with_line_and_column(read, row, message):
    # The cell of two lines before it moves the line by one.
    with pytest.raises(FeedFormatError, match=message):
        read(f'md5,id\n{MD5},"a\nb"\n\n{row}\n'.encode(), "csv")


def test_blanks_inside_a_digest_do_not_shift_the_digests_after_it(read):
    rows = [MD5, f"{MD5[:10]}  {MD5[12:]}", MD5]
    with pytest.raises(FeedFormatError, match="line 3, column 'md5': md5 has hexadecimal digits only"):
        read("\n".join(["md5", *rows]).encode())


def test_text_that_is_not_in_the_encoding_names_its_line(read):
    with pytest.raises(FeedFormatError, match=r"line 2: byte 34 of the line is not UTF-8.*encoding: cp1252"):
        read(f"md5,id\n{MD5},é\n".encode("cp1252"))


def test_a_column_mistaken_for_the_category_is_refused(read):
    rows = "".join(f"{hashlib.md5(b'%d' % n).hexdigest()},{n + 1}\n" for n in range(1500))
    with pytest.raises(FeedRefusedError, match="more than 1000 categories"):
        read(f"md5,category\n{rows}".encode())


def test_the_limit_of_the_csv_module_is_left_alone_and_its_error_is_ours(read):
    before = csv.field_size_limit()
    with pytest.raises(FeedFormatError, match="line 2: this is not CSV: field larger than field limit"):
        read(f'md5,note\n{MD5},"{"x" * 200_000}"\n'.encode())
    assert csv.field_size_limit() == before


def test_without_a_header_columns_go_by_number(read):
    text = f"x|{SHA1}|3\ny|{SHA1}|4\n".encode()
    columns = {"2": "sha1", "1": "id", "3": "category"}
    entries, _ = read(text, "csv", header=False, columns=columns)
    assert [(e.id, e.category) for e in entries] == [("x", "3"), ("y", "4")]
    assert read(b"a|b|c\n" + text, "csv", columns=columns)[0] == entries  # numbers with a header as well
    with pytest.raises(
        FeedFormatError, match=r"line 1: .* maps a column '4' that isn't there; found 1, 2, 3"
    ):
        read(text, "csv", header=False, columns={"4": "md5"})
    tabs = f"{SHA1}\t3\n".encode()  # which could be a plain list with a name
    assert read(tabs, "csv", header=False, columns={"1": "sha1", "2": "category"})[0][0].category == "3"
    with pytest.raises(FeedRefusedError, match="declared as csv, but the content says otherwise: plain"):
        read(tabs, "csv")
    with pytest.raises(FeedFormatError, match=r"line 1: no column of hashes.*header: false"):
        read(text, "csv", header=False)


@pytest.mark.parametrize("header", ["MD5 Hash", "md5sum", "hash_md5", "MD5-Checksum", "md5 value"])
def test_usual_words_around_the_name_of_a_kind_are_understood(read, header):
    assert read(f"x,{header}\n1,{MD5}\n".encode())[0] == [Entry((("md5", RAW["md5"]),))]


@pytest.mark.parametrize("short", [True, False])
def test_base64_and_base32_are_read_where_they_are_declared(read, short):
    def cut(text: str) -> str:
        return text.rstrip("=") if short else text

    md5 = cut(base64.b64encode(RAW["md5"]).decode())
    sha1 = base64.b32encode(RAW["sha1"]).decode()
    columns = {"m": "md5:base64", "s": "sha1:base32"}
    text = f"m,s\n{md5},{sha1}\n{md5},{sha1.lower()}\n"
    entries, _ = read(text.encode(), "csv", columns=columns)
    assert entries == [Entry((("md5", RAW["md5"]), ("sha1", RAW["sha1"])))] * 2
    assert (
        read(f"m\n{md5}\n".encode(), "csv", columns={"m": "md5:base64"})[0][0].hashes == entries[0].hashes[:1]
    )
    with pytest.raises(FeedFormatError, match=r"line 2, column 'm': md5 in base64 has 24 characters"):
        read(f"m,s\n{MD5},{sha1}\n".encode(), "csv", columns=columns)
    with pytest.raises(FeedFormatError, match=r"column 's': sha1 in base32 has 32 characters"):
        read(f"m,s\n{md5},{sha1[:-1]}1\n".encode(), "csv", columns=columns)
    with pytest.raises(FeedRefusedError, match="'rot13' is no way to write values"):
        read(b"m\nx\n", "csv", columns={"m": "md5:rot13"})


def test_values_of_the_list_are_given_a_meaning(read):
    text = f"kind,hash,Grade\nimage-md5,{MD5},Child Abuse Material (CAM)\nSHA1,{SHA1},other\n"
    entries, _ = read(
        text.encode(),
        "csv",
        columns={"kind": "type", "Grade": "category"},
        values={"category": {"child abuse material (cam) ": "1", "Other": "0"}, "type": {"Image-MD5": "md5"}},
    )
    assert [(e.hashes[0][0], e.category) for e in entries] == [("md5", "1"), ("sha1", "")]


def test_what_else_is_told_of_an_entry_is_kept(read):
    text = (
        "md5,severity,labels,added,removed,source,key,changed\n"
        f"{MD5},A,a; b|c,2024-01-02T03:04:05.5Z,2025-01-01,Hotline,x-1,1700000000\n"
        f"{MD5},,,1/2/2024 3:04 PM,,,,1700000000123\n"
    )
    [full, bare], _ = read(text.encode(), columns=columns_of("removed", "key", "changed"))
    added, removed = 1_704_164_645_500_000_000, 1_735_689_600_000_000_000
    assert full.about == About("A", ("a", "b", "c"), added, removed, "Hotline")
    assert (full.key, full.changed_ns) == ("x-1", 1_700_000_000_000_000_000)
    assert (bare.about, bare.changed_ns) == (None, 1_700_000_000_123_000_000)
    with pytest.raises(FeedFormatError, match=r"line 2, column 'removed': expected a time in ISO 8601"):
        read(f"md5,removed\n{MD5},1/2/2024\n".encode(), columns=columns_of("removed"))


def columns_of(*names: str) -> dict[str, str]:
    return {name: name for name in names}


def test_what_takes_rows_away_is_never_taken_from_a_header_alone(read):
    """Each row has the same word there: as keys all but one of them would be lost."""
    [entry] = read(f"md5,key,removed,changed\n{MD5},no,no,no\n".encode())[0]
    assert entry == Entry((("md5", RAW["md5"]),))


@pytest.mark.parametrize("photodna", [base64.b64encode(bytes(144)).decode(), bytes(144).hex()])
def test_photodna_is_counted_by_any_name_it_is_given(read, photodna):
    for header, columns in (("PhotoDNA", {}), ("p", {"p": "photodna"})):
        _, result = read(f"md5,{header}\n{MD5},{photodna}\n{MD5},\n".encode(), "csv", columns=columns)
        assert result.counts.unsupported == {"photodna": 1}
        assert result.counts.entries == 2


def test_malformed_rows_are_left_out_up_to_the_share_that_is_allowed(read):
    digests = [hashlib.md5(b"%d" % n).hexdigest() for n in range(96)]
    wrong = [f"{MD5[1:]},a", f"{MD5}", ",b", f"{MD5},{'x' * 2000}"]
    lines = [*(f"{d},{n}" for n, d in enumerate(digests)), *wrong]
    text = "\n".join(["md5,id", *lines[50:], *lines[:50]]) + "\n"
    entries, result = read(text.encode(), limits={"max_malformed": 0.04})
    assert {e.hashes[0][1].hex() for e in entries} == set(digests)
    assert (result.counts.malformed, result.counts.entries) == (4, 96)
    assert (
        result.counts.first_malformed
        == "line 48, column 'md5': md5 has 32 hexadecimal digits, found 31 characters"
    )
    with pytest.raises(FeedFormatError, match=r"and 3 more of 100 records: more than 3.00%"):
        read(text.encode(), limits={"max_malformed": 0.03})


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("columns", [["id", "md5"], ["md5", "id", "sha1"]])
def test_a_list_that_is_cut_never_yields_a_row_that_is_not_whole(quoting, columns):
    """At a line end a cut can't be known; within the last cell of a row only if that is a hash."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=quoting)
    cells = {"md5": MD5, "sha1": SHA1, "id": "a"}
    writer.writerows([columns, *[[cells[c] for c in columns]] * 3])
    text = out.getvalue().encode()
    whole = Entry(tuple((k, RAW[k]) for k in ("md5", "sha1") if k in columns), "a")
    for cut in range(text.index(b"\n") + 1, len(text)):
        counts = ImportCounts()
        items = CsvFormat().parse(io.BytesIO(text[:cut]), FormatOptions(), counts)
        try:
            entries = [e for item in items for e in entries_of(item, SIZES)]
        except FeedFormatError as e:
            assert "cut short" in e.what or "this is not CSV" in e.what
        else:
            assert entries == [whole] * len(entries)
            assert not counts.malformed
            assert text[:cut].strip().endswith(text.strip()[-8:]) or not entries  # a row is at its end


CELLS = [MD5, MD5.upper(), f" {MD5}", MD5[1:], "", "null", hashlib.md5().hexdigest(), "0" * 32]
ROWS = st.tuples(
    st.sampled_from([*[MD5] * 4, *CELLS]),
    st.sampled_from(["1", " 2", "0", ""]),
    st.sampled_from(["", "é", " x"]),
    st.sampled_from([*[[]] * 6, ["one more"], [""], None]),  # None: one less
)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(ROWS, min_size=1), end=st.sampled_from(["\n", "\r\n"]), ended=st.booleans())
def test_many_rows_at_once_are_what_they_are_one_by_one(rows, end, ended):
    """Rows are cut up at once, read by the csv module where a cell is quoted, and taken one by one where
    there is a column of what else is told."""
    uneven = [[*row, *more] if more is not None else list(row[:-1]) for *row, more in rows]

    def outcome(more: str = "", quote: str = "") -> object:
        lines = [["md5", "category", "id"], *uneven]
        if more:
            lines = [[*lines[0], more], *([*line, ""] for line in uneven)]
        text = end.join(",".join(f"{quote}{cell}{quote}" for cell in line) for line in lines) + end * ended
        counts = ImportCounts()
        try:
            items = CsvFormat().parse(io.BytesIO(text.encode()), FormatOptions(), counts)
            entries = [e for item in items for e in entries_of(item, SIZES)]
        except FeedFormatError as e:
            assert "cut short" in e.what and not ended
            return None
        first, counts.first_malformed = counts.first_malformed, ""
        return entries, counts, first.replace("expected 4", "expected 3").partition(", found")[0]

    assert outcome() == outcome(quote='"')
    if ended:
        assert outcome() == outcome("source")


def test_a_nul_is_an_error_with_its_line(read):
    with pytest.raises(FeedFormatError, match="line 3: a NUL byte"):
        read(f"md5,id\n{MD5},1\n{MD5},\0\n".encode(), "csv")
