"""STIX: what an indicator says as a list, what it doesn't, and which version of it counts."""

from __future__ import annotations

import json

import pytest

from scanner.feeds.formats.stix import FINAL_NS
from scanner.feeds.formats.stix_pattern import NotAListError, Reduced, reduce
from scanner.model.errors import FeedFormatError
from scanner.model.feeds import LISTED, About, Entry, Removal

MD5, OTHER, SHA1, SHA256 = "a1" * 16, "a2" * 16, "b1" * 20, "c1" * 32
A, B, C = (("md5", bytes.fromhex(MD5)), ("sha1", bytes.fromhex(SHA1)), ("sha256", bytes.fromhex(SHA256)))
ONE = f"[file:hashes.MD5 = '{MD5}']"
DAY_1 = 1_735_689_600_000_000_000  # 2025-01-01T00:00:00Z


def indicator(number: int = 1, **members: object) -> dict[str, object]:
    record: dict[str, object] = {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--00000000-0000-4000-8000-{number:012d}",
        "created": "2025-01-01T00:00:00.000Z",
        "modified": "2025-01-02T00:00:00.000Z",
        "pattern": f"[file:hashes.MD5 = '{number:032x}']" if number > 1 else ONE,
        "pattern_type": "stix",
        "valid_from": "2025-01-01T00:00:00Z",
    }
    return {key: value for key, value in (record | members).items() if value is not ...}


def bundle(*objects: object) -> bytes:
    return json.dumps({"type": "bundle", "id": "bundle--1", "objects": objects}).encode()


@pytest.mark.parametrize(
    "text",
    [
        f"[file:hashes.MD5 = '{MD5}']",
        f"[file:hashes.'MD5'='{MD5.upper()}']",
        f' [ file:hashes."md5" = "{MD5}" ] ',
        f"[(file:hashes.md5 == '{MD5}')]",
        f"[file:hashes.MD5 IN ('{MD5}', '{MD5}')]",
        f"([file:hashes.MD5 = '{MD5}'] OR [file:hashes.MD5 = '{MD5}'])",
    ],
)
def test_each_way_to_write_one_hash_is_read(text):
    assert reduce(text) == Reduced((A,))


@pytest.mark.parametrize("key", ["'SHA-256'", "SHA256", "'sha256'", '"SHA-256"', "SHA-256", "'SHA2-256'"])
def test_spellings_of_a_key_that_are_met_in_the_wild_are_read(key):
    assert reduce(f"[file:hashes.{key} = '{SHA256}']") == Reduced((C,))


@pytest.mark.parametrize(
    ("text", "hashes", "left_out"),
    [
        (f"[file:hashes.MD5='{MD5}' OR file:hashes.'SHA-1'='{SHA1}']", (A, B), ()),
        (f"[file:hashes.MD5='{MD5}'] OR [file:hashes.'SHA-1'='{SHA1}']", (A, B), ()),
        (f"[file:hashes.MD5='{MD5}' AND file:hashes.'SHA-1'='{SHA1}']", (B,), ()),
        (f"[file:hashes.sha256='{SHA256}' AND {ONE[1:-1]} OR file:hashes.sha1='{SHA1}']", (C, B), ()),
        (f"[file:hashes.MD5='{MD5}' AND file:hashes.SSDEEP='3:ab/c:d']", (A,), ("ssdeep",)),
        (f"[file:hashes.'SHA3-256'='{SHA256}' OR file:hashes.MD5='{MD5}']", (A,), ("other",)),
        (f"[file:hashes.MD5='{MD5}' OR file:name='a\\'b]']", (A,), ("pattern_property",)),
        (f"[file:hashes.PDQ='{SHA256}']", (), ("pdq",)),
    ],
)  # fmt: skip
def test_alternatives_are_all_taken_and_of_hashes_of_one_file_the_strongest(text, hashes, left_out):
    assert reduce(text) == Reduced(hashes, left_out)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"[file:hashes.MD5='{MD5}' AND file:size=12]", "pattern_and"),
        (f"[file:hashes.MD5='{MD5}' AND (file:hashes.'SHA-1'='{SHA1}' OR file:size=1)]", "pattern_and"),
        (f"[file:hashes.MD5='{MD5}' AND file:hashes.MD5='{OTHER}']", "pattern_and"),
        (f"[file:hashes.MD5='{MD5}'] AND [file:hashes.'SHA-1'='{SHA1}']", "pattern_and"),
        (f"[file:hashes.MD5='{MD5}'] FOLLOWEDBY [file:hashes.MD5='{OTHER}']", "pattern_followedby"),
        (f"([file:hashes.MD5='{MD5}'] FOLLOWEDBY {ONE}) WITHIN 5 SECONDS", "pattern_followedby"),
        (f"{ONE} REPEATS 5 TIMES", "pattern_qualifier"),
        (f"({ONE}) WITHIN 5 SECONDS", "pattern_qualifier"),
        (f"{ONE} START t'2025-01-01T00:00:00Z' STOP t'2025-01-02T00:00:00Z'", "pattern_qualifier"),
        (f"[NOT file:hashes.MD5='{MD5}']", "pattern_not"),
        (f"[file:hashes.MD5 NOT = '{MD5}']", "pattern_not"),
        (f"[file:hashes.MD5 != '{MD5}']", "pattern_not"),
        (f"[file:hashes.MD5 NOT IN ('{MD5}')]", "pattern_not"),
        ("[file:hashes.MD5 LIKE 'a1%']", "pattern_operator"),
        ("[file:hashes.MD5 MATCHES '^a1']", "pattern_operator"),
        ("[domain-name:value = 'x.invalid']", "pattern_property"),
        (f"[artifact:hashes.MD5 = '{MD5}']", "pattern_property"),
        ("[file:extensions.'windows-pebinary-ext'.sections[*].entropy > 7.0]", "pattern_property"),
    ],
)
def test_what_no_list_can_say_is_told_by_its_reason(text, reason):
    with pytest.raises(NotAListError, match=f"^{reason}$"):
        reduce(text)


@pytest.mark.parametrize(
    "text",
    ["", "[", ONE[:-1], f"{ONE} [x:y=1]", f"{ONE}]", "[file:hashes.MD5 = 'xyz']",
     f"[file:hashes.MD5='{SHA1}']", "[" + "(" * 5000, "[" * 5000, f"[file:hashes.MD5 = '{MD5}",
     "x" * (1 << 20) + "x", "[file:hashes.MD5 IN ()]"],
)  # fmt: skip
def test_a_pattern_that_is_none_is_malformed_and_not_quoted(text):
    with pytest.raises(FeedFormatError) as caught:
        reduce(text)
    assert MD5 not in str(caught.value)


def test_an_indicator_becomes_an_entry_with_all_that_is_told_of_it(read):
    record = indicator(
        created_by_ref="identity--1", labels=["csam"], indicator_types=["malicious-activity"], confidence=85,
        valid_until="2025-01-03T00:00:00+01:00", extensions={"x": {"deep": [1, {}]}},
    )  # fmt: skip
    entries, result = read(bundle({"type": "identity", "id": "identity--1"}, record))
    day = 86400 * 10**9
    about = About(
        labels=("malicious-activity", "csam", "confidence:85"), added_ns=DAY_1,
        removed_ns=DAY_1 + 2 * day - 3600 * 10**9, source="identity--1",
    )  # fmt: skip
    own_id = str(record["id"])
    assert entries == [Entry((A,), own_id, LISTED, f"{own_id} identity--1", DAY_1 + day, about)]
    assert (result.format, result.default_categories) == ("stix", None)


def test_a_file_that_was_only_observed_is_no_entry(read):
    observed = {"type": "file", "id": "file--1", "hashes": {"MD5": OTHER}}
    entries, result = read(bundle(observed, indicator(), {"type": "malware", "sample_refs": ["file--1"]}))
    assert [e.hashes for e in entries] == [(A,)]
    assert result.counts.unsupported == {"observed_file": 1}


def test_revoking_is_final_whatever_time_it_says(read):
    items, result = read(bundle(indicator(), indicator(2, revoked=True, pattern=...)))
    assert items[1] == Removal("indicator--00000000-0000-4000-8000-000000000002 ", FINAL_NS)
    assert result.counts.removals == 1


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"pattern": f"[file:hashes.MD5='{MD5}' AND file:size=1]"}, "pattern_and"),
        ({"pattern": "alert tcp any", "pattern_type": "snort"}, "pattern_type"),
        ({"valid_from": "2031-01-01T00:00:00Z"}, "not_yet_valid"),
        ({"pattern": "[file:hashes.SSDEEP='3:ab/c:d']"}, "ssdeep"),
    ],
)
def test_a_version_that_can_not_be_used_takes_the_place_of_the_one_before(read, members, reason):
    changed = indicator(2, modified="2025-01-03T00:00:00Z", **members)
    items, result = read(bundle(indicator(), indicator(2), changed), now_ns=DAY_1 * 1100 // 1000)
    assert items[2] == Removal(items[1].key, items[1].changed_ns + 86400 * 10**9)
    assert (result.counts.unsupported, result.counts.removals) == ({reason: 1}, 0)


def test_a_version_of_somebody_else_neither_changes_nor_takes_back_an_indicator(read):
    ours = indicator(created_by_ref="identity--ours")
    hostile = [
        indicator(created_by_ref="identity--theirs", revoked=True),
        indicator(created_by_ref="identity--theirs", modified="2026-01-01T00:00:00Z", pattern="[a:b=1]"),
        indicator(modified="2026-01-01T00:00:00Z", revoked=True),
    ]
    items, result = read(bundle(ours, *hostile))
    assert [type(item) for item in items] == [Entry]
    assert (result.counts.unsupported, result.counts.removals) == ({"other_creator": 3}, 0)
    items, _ = read(bundle(indicator(2), *hostile[:1]))  # where the first one came in another page
    assert items[1].key != f"{ours['id']} identity--ours"


def test_an_indicator_of_benign_files_has_no_category_that_acts(read):
    entries, _ = read(bundle(indicator(indicator_types=["benign"])))
    assert [e.category for e in entries] == [""]


@pytest.mark.parametrize(
    ("member", "value", "category"),
    [("labels", ["cat-a"], "cat-a"), ("labels", ["a", "b"], "a,b"), ("x_severity", 2, "2"),
     ("x_severity", 0, ""), ("x_severity", ..., ""), ("x_severity", 2.0, "2"),
     ("indicator_types", ["benign"], "benign")],
)  # fmt: skip
def test_the_category_is_the_member_that_the_operator_names(read, member, value, category):
    entries, _ = read(bundle(indicator(**{member: value})), columns={member: "category"})
    assert [e.category for e in entries] == [category]


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"id": "indicator--x"}, "id of an indicator"),
        ({"modified": "yesterday"}, "`modified`"),
        ({"modified": ..., "created": ...}, "`modified`"),
        ({"pattern": {"a": 1}}, "`pattern`"),
        ({"pattern": "[file:hashes.MD5 = 'a1a1']"}, "md5 has 32"),
        ({"revoked": "true"}, "`revoked`"),
        ({"valid_until": "2025-02-31T00:00:00Z"}, "`valid_until`"),
        ({"type": ...}, None),
    ],
)
def test_an_indicator_that_is_malformed_is_told_with_its_place(read, members, what):
    record = {} if what is None else indicator(**members)
    with pytest.raises(
        FeedFormatError, match=rf"objects\[1\]: expected .*{what or 'id'}|objects\[1\]: {what}"
    ):
        read(bundle(indicator(), record))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (bundle(indicator(), indicator(2))[:-2], "cut short"),
        (bundle(indicator(), indicator(2))[:-300], r"objects\[1\].*cut short"),
        (b'{"type":"bundle","objects":' + b"[" * 100_000, "expected an object|deeper"),
        (b'{"type":"bundle","x":' + b'{"a":[' * 100_000, "deeper than 100"),
        (b'{"type":"bundle","objects":{}}', "expected a list"),
        (b'{"title":"Unauthorized","http_status":"401"}', "expected a list `objects`"),
        (b'{"type":"bundle","objects":[]}', "no usable entry"),
    ],
)
def test_a_bundle_that_is_cut_or_is_none_is_refused(read, text, what):
    with pytest.raises(Exception, match=what) as caught:
        read(text, "stix")
    assert type(caught.value).__module__ == "scanner.model.errors"
