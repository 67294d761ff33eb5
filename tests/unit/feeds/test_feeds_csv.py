"""CSV lists: columns by name, mapped or not, and what makes a row wrong."""

from __future__ import annotations

import csv
import hashlib

import pytest

from scanner.model.errors import FeedFormatError, FeedRefusedError
from scanner.model.feeds import LISTED, Entry

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
        read(f"md5,note\n{MD5},{'x' * 200_000}\n".encode())
    assert csv.field_size_limit() == before
