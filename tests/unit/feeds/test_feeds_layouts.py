"""Tables whose columns are known, and hashdeep: recognised by their first lines, read with their quirks."""

from __future__ import annotations

import base64
import hashlib

import pytest

from scanner.feeds import available_formats
from scanner.feeds.detect import proposals
from scanner.model.errors import FeedFormatError, FeedRefusedError
from scanner.model.feeds import LISTED, Entry

MD5, SHA1 = hashlib.md5(b"a").hexdigest(), hashlib.sha1(b"a").hexdigest()
SHA256 = hashlib.sha256(b"a").hexdigest()
PAIR = (("md5", bytes.fromhex(MD5)), ("sha1", bytes.fromhex(SHA1)))
PHOTODNA = base64.b64encode(bytes(range(144))).decode()
ICSE = (
    "MD5;SHA1;PhotoDNA;Image ID;Is distributed;Victim identified;Offender identified;Series name;"
    "Number of submissions;File Available;Media Type;Baseline\n"
)
GRIFFEYE = (
    "Binary Copies,Category,DB: ProjectVIC,DB: ProjectVIC PhotoDNA,File Size,Initial Category,MD5,Mime Type,"
    "PhotoDNA,SHA-1,SHA-512,Source ID\n"
)
HASHKEEPER = (
    '"file_id","hashset_id","file_name","directory","hash","file_size","date_modified","time_modified",'
    '"time_zone","comments","date_accessed","time_accessed"\n'
)
RDS = '"SHA-1","MD5","CRC32","FileName","FileSize","ProductCode","OpSystemCode","SpecialCode"\n'


@pytest.mark.parametrize(
    ("flag", "category"), [("Yes", "baseline"), ("t", "baseline"), ("n", "other"), ("", "other"), ("?", "?")]
)
def test_of_icse_only_the_baseline_acts_by_default(read, flag, category):
    row = f"{MD5.upper()};{SHA1};{PHOTODNA};77;y;n;n;a series;3;y;image;{flag}\n"
    entries, result = read((ICSE + row).encode())
    assert entries == [Entry(PAIR, "77", category)]
    assert (result.format, result.default_categories) == ("icse", {"baseline"})
    assert result.counts.unsupported == {"photodna": 1}


def test_rows_of_icse_are_uneven_but_one_that_is_cut_is_not_taken(read):
    uneven = f"{MD5};;{bytes(144).hex()};1\n{MD5};{SHA1};;2;y;n;n;s;3;y;image;y;;;\n"
    entries, _ = read((ICSE + uneven).encode())
    assert [(e.id, e.category) for e in entries] == [("1", "other"), ("2", "baseline")]
    with pytest.raises(FeedFormatError, match="the last line: the last row has no line end"):
        read((ICSE + uneven + f"{MD5};{SHA1};;3").encode(), limits={"max_malformed": 0.5})


def test_categories_of_griffeye_are_words_and_two_of_them_act(read):
    words = ["Child Abuse Material (CAM)", "Child Exploitive (non-CAM) / Age Difficult", "Non-Pertinent", ""]
    rows = "".join(f'1,"{word}",,,5,-1,{MD5},image/jpeg,,{SHA1},,9\n' for word in words)
    entries, result = read((GRIFFEYE + rows).encode() + b"")
    assert [e.category for e in entries] == ["1", "2", "Non-Pertinent", ""]
    assert (result.format, result.default_categories) == ("griffeye", {"1", "2"})
    assert entries[0].hashes == PAIR


def test_a_known_table_may_be_declared_as_csv_with_columns_of_ones_own(read):
    rows = f"1,x,,,5,7,{MD5},image/jpeg,,{SHA1},,9\n"
    entries, result = read((GRIFFEYE + rows).encode(), "csv", columns={"Initial Category": "category"})
    assert (entries[0].category, result.format) == ("7", "csv")
    assert (
        read((GRIFFEYE + rows).encode(), "griffeye", columns={"Initial Category": "category"})[0] == entries
    )


def test_names_in_hashkeeper_may_be_in_any_encoding(read):
    row = b'5,2,"caf' + b"\xe9" + f'.jpg","C:\\",{MD5},12,,,,,,\n'.encode()
    entries, result = read(HASHKEEPER.encode() + row)
    assert entries == [Entry(PAIR[:1], "5", LISTED)]
    assert result.format == "hashkeeper"


@pytest.mark.parametrize(
    ("content", "format"),
    [
        (RDS + f'"{SHA1}","{MD5}","0","a",1,2,"x",""\n', "nsrl-text"),
        (f"{MD5}:123:Name.Of-1\n{MD5}:5:x\n", "clamav"),
        (f"{MD5},11111111-2222-4333-8444-555555555555\n", "misp-csv"),
        ("uuid,event_id,category,type,value,comment,to_ids\n", "misp-csv"),
    ],
)
def test_what_only_looks_like_a_list_of_digests_is_not_taken_for_one(content, format):
    assert set(proposals(content.encode(), available_formats())) == {format}


def test_an_index_of_misp_is_refused_even_where_it_is_declared_as_something_else(read):
    content = f"{MD5},11111111-2222-4333-8444-555555555555\n".encode()
    for declared in ("auto", "misp-csv", "csv"):
        with pytest.raises(FeedRefusedError, match=r"hashes\.csv"):
            read(content, declared, header=False, columns={"1": "md5", "2": "id"})


HASHDEEP = "%%%% HASHDEEP-1.0\n%%%% size,md5,sha-1,tiger,filename\n## Invoked from: /x\n## $ hashdeep\n##\n"


def test_hashdeep_is_recognised_and_names_keep_their_commas(read):
    rows = (
        f"12,{MD5},{SHA1},0,/a, b,c.jpg\r\n0,{hashlib.md5().hexdigest()},{hashlib.sha1().hexdigest()},0,e\n"
    )
    entries, result = read((HASHDEEP + rows).encode())
    assert entries == [Entry(PAIR)]
    assert result.format == "hashdeep"
    assert result.counts.refused == {"empty_input": 2}
    assert result.counts.unsupported == {"other": 2}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (HASHDEEP + f"12,{MD5},x\n", "line 6: expected 5 columns, found 3: more than"),
        (HASHDEEP + f"12,{MD5[1:]},{SHA1},0,name\n", "line 6: md5 has 32"),
        (HASHDEEP + f"12,{MD5},{SHA1[:9]}", "line 6: the last line has no end and is not whole"),
        ("%%%% HASHDEEP-2.0\n", "line 1: expected %%%% HASHDEEP-1.0"),
        ("%%%% HASHDEEP-1.0\n", "line 2: expected a second line"),
        ("%%%% HASHDEEP-1.0\n%%%% md5,filename\n", "line 2: expected size, kinds"),
        ("%%%% HASHDEEP-1.0\n%%%% size,filename\n", "line 2: expected kinds of hashes"),
    ],
)
def test_what_is_wrong_in_hashdeep_is_told_with_its_line(read, content, told):
    with pytest.raises(FeedFormatError, match=told):
        read(content.encode(), "hashdeep")
