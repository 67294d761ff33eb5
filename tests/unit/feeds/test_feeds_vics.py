"""VICS: both shapes, any order of keys, and the values that are met in the wild."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from scanner.feeds.formats import vics_events
from scanner.model.errors import ConfigError, FeedFormatError
from scanner.model.feeds import Entry

MD5, OTHER = hashlib.md5(b"a").hexdigest().upper(), hashlib.md5(b"b").hexdigest().upper()
SHA1 = hashlib.sha1(b"a").hexdigest().upper()
SHA256 = hashlib.sha256(b"a").hexdigest()
PHOTODNA = base64.b64encode(bytes(range(144))).decode()
MODEL_1 = "http://github.com/ICMEC/ProjectVic/DataModels/1.3.xml#Media"
MODEL_2 = "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/US/$metadata#Media"


def vics(*media: object, model: str = MODEL_2) -> bytes:
    key = "@odata.context" if "2.0" in model else "odata.metadata"
    return json.dumps({key: model, "value": media}).encode()


@pytest.mark.parametrize("model", [MODEL_1, MODEL_2, MODEL_1.replace("1.3", "1.1")])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_hash_set_of_each_data_model_is_recognised_and_read(read, model, mark):
    media = {
        "MediaID": 7,
        "Category": 1,
        "MD5": MD5,
        "SHA1": SHA1,
        "MediaSize": "12",
        "IsDistributed": "true",
    }
    entries, result = read(mark + vics(media, model=model))
    assert entries == [Entry((("md5", bytes.fromhex(MD5)), ("sha1", bytes.fromhex(SHA1))), "7", "1")]
    assert (result.format, result.default_categories) == ("vics", {"1", "2"})


def test_keys_come_in_any_order_and_case_and_unknown_ones_are_passed_over(read):
    text = (
        f'{{"extra": {{"value": [{{"MD5": "x"}}]}}, "Value": [{{"series": "}}]", "Exifs": [{{"MD5": "x"}}],'
        f' "md5": "{MD5}", "MediaFiles": [{{"MD5": "{OTHER}", "Deep": [[{{}}]]}}], "CATEGORY": 2}}],'
        f' "total": 1, "odata.metadata": "{MODEL_1}"}}'
    )
    entries, _ = read(text.encode())
    assert entries == [Entry((("md5", bytes.fromhex(MD5)),), "", "2")]


def test_an_export_of_cases_gives_the_media_below_them(read):
    case = {"CaseNumber": "1", "CaseMetadata": [{"MD5": "x"}], "Media": [{"MD5": MD5, "Category": 1}]}
    empty = {"CaseID": "{2}", "Media": []}
    late = {"Media": [{"Category": "2", "MD5": OTHER}], "CaseID": "3"}
    entries, _ = read(vics(case, empty, late, model=MODEL_2.replace("#Media", "#Cases")))
    assert [(e.hashes[0][1].hex().upper(), e.category) for e in entries] == [(MD5, "1"), (OTHER, "2")]


@pytest.mark.parametrize(
    ("value", "category"), [(1, "1"), ("2", "2"), (2.0, "2"), (0, ""), ("0", ""), ("", ""), (None, "")]
)
def test_categories_are_text_and_zero_or_null_says_none(read, value, category):
    entries, result = read(vics({"MD5": MD5, "Category": value}))
    assert entries[0].category == category
    assert result.counts.categories == {category: 1}


def test_an_absent_category_says_none(read):
    assert read(vics({"MD5": MD5}))[0][0].category == ""


@pytest.mark.parametrize("nothing", [None, ""])
def test_hashes_that_are_null_or_empty_are_absent(read, nothing):
    media = {"MD5": MD5, "SHA1": nothing, "PhotoDNA": nothing, "AlternativeHashes": nothing, "MediaID": 0}
    entries, result = read(vics(media))
    assert entries == [Entry((("md5", bytes.fromhex(MD5)),), "", "")]
    assert result.counts.unsupported == {}


def test_alternative_hashes_are_taken_once_and_others_counted(read):
    alternatives = [
        {"HashName": "SHA-1", "HashValue": SHA1, "MD5": "anything"},
        {"HashValue": SHA256, "HashName": "SHA256"},
        {"HashName": "PhotoDNA", "HashValue": PHOTODNA},
        {"HashName": "SomethingNew", "HashValue": "?"},
        {"MD5": MD5},
    ]
    media = {"MD5": MD5, "SHA1": SHA1, "PhotoDNA": PHOTODNA, "AlternativeHashes": alternatives}
    entries, result = read(vics(media))
    assert [kind for kind, _ in entries[0].hashes] == ["md5", "sha1", "sha256"]
    assert result.counts.unsupported == {"photodna": 1, "other": 1}


def test_media_with_photodna_alone_are_counted_and_no_entry(read):
    entries, result = read(vics({"MD5": None, "PhotoDNA": PHOTODNA}, {"MD5": MD5}))
    assert len(entries) == result.counts.entries == 1
    assert result.counts.unsupported == {"photodna": 1}


@pytest.mark.parametrize(
    ("media", "where"),
    [
        ({"MD5": MD5[:-1]}, r"value\[1\]\.MD5: md5 has 32"),
        ({"MD5": 12}, r"value\[1\]\.MD5: md5 is text"),
        ({"MD5": {}}, r"value\[1\]\.MD5: expected a plain value"),
        ({"Category": 1}, r"value\[1\]: a Media without any hash"),
        ({"MD5": MD5, "Category": True}, r"value\[1\]\.Category: expected a number or text"),
        ({"Media": [{"MD5": MD5}, {"SHA1": "zz"}]}, r"value\[1\]\.Media\[1\]\.SHA1: sha1 has 40"),
        (
            {"MD5": MD5, "AlternativeHashes": [{"HashName": "SHA1", "HashValue": "zz"}]},
            r"value\[1\]\.AlternativeHashes\[0\]: sha1 has 40",
        ),
        ("text", r"value\[1\]: expected an object"),
    ],
)
def test_a_wrong_value_fails_the_list_with_its_json_path(read, media, where):
    with pytest.raises(FeedFormatError, match=where) as caught:
        read(vics({"MD5": MD5}, media))
    assert MD5[:16] not in str(caught.value)


@pytest.mark.parametrize("cut", ["}]}", "]}", "}"])
def test_a_list_cut_between_or_inside_records_fails_whole(read, cut):
    text = vics(*({"MD5": MD5, "Category": 1} for _ in range(18))).decode().removesuffix(cut)
    with pytest.raises(FeedFormatError, match=r"value|the beginning"):
        read(text.encode())


def test_the_path_of_a_cut_is_the_member_it_came_to(read):
    text = vics(*({"Category": 1, "MD5": MD5} for _ in range(18))).decode()
    with pytest.raises(FeedFormatError, match=r"value\[17\]\.MD5: here the JSON is cut short") as caught:
        read(text[: text.rindex(MD5) + 8].encode())
    assert MD5[:8] not in str(caught.value)


def test_more_after_the_end_is_an_error(read):
    with pytest.raises(FeedFormatError):
        read(vics({"MD5": MD5}) + b'{"value":[]}')


@pytest.mark.parametrize("text", [b'{"x": 1}', b"[]", b'{"value": {}}', b'{"value": null}'])
def test_json_of_another_shape_is_an_error(read, text):
    with pytest.raises(FeedFormatError, match="expected a"):
        read(text, "vics")


def test_malformed_records_are_left_out_up_to_the_share_that_is_allowed(read):
    good = [{"MD5": hashlib.md5(b"%d" % n).hexdigest(), "Category": 1} for n in range(16)]
    wrong = [{"MD5": MD5[1:]}, {"MD5": {}}, "text", {"MD5": MD5, "AlternativeHashes": [1]}]
    entries, result = read(vics(*good[:9], *wrong, *good[9:]), limits={"max_malformed": 0.2})
    assert [e.hashes[0][1].hex() for e in entries] == [media["MD5"] for media in good]
    assert (result.counts.malformed, result.counts.entries) == (4, 16)
    assert result.counts.first_malformed == "value[9].MD5: md5 has 32 hexadecimal digits, found 31 characters"
    case = {"CaseID": "1", "Media": [*good, {"SHA1": "x"}]}
    assert read(vics(case), limits={"max_malformed": 0.1})[1].counts.first_malformed.startswith(
        "value[0].Media[16]."
    )


def test_a_parser_without_its_c_part_is_an_error_of_the_installation(read, monkeypatch):
    monkeypatch.setattr(vics_events, "_BACKEND", "yajl_of_nobody")
    with pytest.raises(ConfigError, match="ijson has no C part"):
        read(vics({"MD5": MD5}))
