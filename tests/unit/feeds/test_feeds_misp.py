"""MISP: which attributes are hashes of files, and how a feed's directory changes."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import pytest

from scanner.feeds import FormatOptions
from scanner.feeds.exchanges import Call, MispExchange, Outcome
from scanner.feeds.formats import MispEventFormat
from scanner.model.errors import FeedError, FeedFormatError, FeedRefusedError
from scanner.model.feeds import LISTED, About, Entry, ImportCounts, Removal
from tests.simulators.misp import FOLDER, MispDirectory, attribute, event, uuid

SECOND = 1_000_000_000
MD5, SHA1, SHA256 = "a1" * 16, "b1" * 20, "c1" * 32


def digits(number: int) -> str:
    return hashlib.md5(b"%d" % number).hexdigest()


def dumped(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("type", "value", "pair"),
    [
        ("md5", MD5.upper(), ("md5", MD5)),
        ("sha1", SHA1, ("sha1", SHA1)),
        ("sha256", f" {SHA256} ", ("sha256", SHA256)),
        ("filename|md5", f"a|b.jpg|{MD5}", ("md5", MD5)),
        ("filename|sha256", f"{'d1' * 32}|{SHA256}", ("sha256", SHA256)),
        ("malware-sample", f"x.exe|{MD5}", ("md5", MD5)),
    ],
)
def test_each_type_that_is_the_hash_of_a_file_is_read(read, type, value, pair):
    one = attribute(7, value, type, data="UEsDBBQ" * 100)
    entries, result = read(dumped(event(1, one, threat_level_id="2", Tag=[{"name": "tlp:amber"}])))
    about = About("2", ("Payload delivery", "tlp:amber"), source=f"event {uuid(1)}")
    hashes = ((pair[0], bytes.fromhex(pair[1])),)
    key = f"{uuid(1)}/{uuid(7)}"
    assert entries == [Entry(hashes, uuid(7), LISTED, key, 1_700_000_000 * SECOND, about)]
    assert result.format == "misp-event"


@pytest.mark.parametrize(
    ("type", "value", "counted"),
    [
        ("imphash", MD5, "imphash"),
        ("filename|imphash", f"a|{MD5}", "imphash"),
        ("authentihash", SHA256, "authentihash"),
        ("x509-fingerprint-sha256", SHA256, "x509-fingerprint-sha256"),
        ("hassh-md5", MD5, "hassh-md5"),
        ("sha512/256", SHA256, "other"),
        ("sha3-256", SHA256, "other"),
        ("text", MD5, "not_a_file_hash"),
        ("made-up-by-the-list", MD5, "not_a_file_hash"),
    ],
)
def test_what_only_looks_like_the_hash_of_a_file_is_counted_and_never_loaded(read, type, value, counted):
    entries, result = read(dumped(event(1, attribute(1, value, type), attribute(2, MD5))))
    assert [e.id for e in entries if isinstance(e, Entry)] == [uuid(2)]
    assert result.counts.unsupported == {counted: 1}


@pytest.mark.parametrize(
    ("members", "counted", "removals"),
    [
        ({"to_ids": False}, {"not_for_detection": 1}, 0),
        ({"to_ids": "0"}, {"not_for_detection": 1}, 0),
        ({"deleted": True}, {}, 1),
        ({"deleted": "1"}, {}, 1),
    ],
)
def test_attributes_that_are_deleted_or_not_for_detection_are_taken_back(read, members, counted, removals):
    items, result = read(dumped(event(1, attribute(1, MD5, **members), attribute(2, SHA1, "sha1"))))
    assert items[0] == Removal(f"{uuid(1)}/{uuid(1)}", 1_700_000_000 * SECOND)
    assert isinstance(items[1], Entry)
    assert (result.counts.unsupported, result.counts.removals) == (counted, removals)


def test_attributes_of_objects_are_read_and_go_with_their_object_wherever_it_says_so(read):
    kept = {"name": "file", "uuid": uuid(50), "Attribute": [attribute(1, MD5)]}
    gone = {"name": "file", "Attribute": [attribute(2, SHA1, "sha1")], "deleted": True}
    items, _ = read(dumped(event(1, attribute(3, SHA256, "sha256"), Object=[kept, gone])))
    assert {item.key[-1:]: type(item) for item in items} == {"1": Entry, "2": Removal, "3": Entry}


def test_an_event_may_name_itself_after_its_attributes(read):
    text = dumped(
        {"Event": {"Attribute": [attribute(1, MD5, timestamp=None)], "timestamp": 5, "uuid": uuid(9)}}
    )
    entries, _ = read(text)
    assert (entries[0].key, entries[0].changed_ns) == (f"{uuid(9)}/{uuid(1)}", 5 * SECOND)


@pytest.mark.parametrize(
    ("wrap", "prefix"),
    [
        (lambda e: [e, event(2)], f"{uuid(1)}/"),
        (lambda e: {"response": [e]}, f"{uuid(1)}/"),
        (lambda e: {"response": {"Attribute": e["Event"]["Attribute"]}}, ""),
    ],
)
def test_each_shape_that_misp_exports_is_recognised_and_read(read, wrap, prefix):
    entries, _ = read(dumped(wrap(event(1, attribute(1, MD5)))))
    assert [e.key for e in entries] == [f"{prefix}{uuid(1)}"]


@pytest.mark.parametrize(
    ("columns", "category"),
    [
        ({}, LISTED),
        ({"category": "category"}, "Payload delivery"),
        ({"threat_level_id": "category"}, "3"),
        ({"Tag": "category"}, "csam:a"),
        ({"comment": "category"}, "0815"),
    ],
)
def test_the_category_is_the_member_that_the_operator_names(read, columns, category):
    one = attribute(1, MD5, comment="0815", Tag=[{"name": "csam:a", "colour": "#fff"}])
    entries, _ = read(dumped(event(1, one, threat_level_id=3)), columns=columns)
    assert [e.category for e in entries] == [category]


def test_a_category_that_no_attribute_can_have_is_refused_and_not_taken_for_none(read):
    for text, form in (
        (dumped(event(1, attribute(1, MD5))), "misp-event"),
        (HEADER + row(1, MD5), "misp-csv"),
    ):
        with pytest.raises(FeedRefusedError, match="'severity' can't be the category"):
            read(text if isinstance(text, bytes) else text.encode(), form, columns={"severity": "category"})


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"value": f"x|{MD5}"}, "md5 has 32"),
        ({"type": 5}, "`type`"),
        ({"uuid": "../../etc"}, "UUID of an attribute"),
        ({"to_ids": "maybe"}, "`to_ids`"),
        ({"deleted": [True]}, "`deleted`"),
        ({"timestamp": "now"}, "`timestamp`"),
    ],
)
def test_an_attribute_that_is_malformed_is_told_with_its_place(read, members, what):
    with pytest.raises(FeedFormatError, match=rf"Event 1, Attribute\[1\]: .*{what}") as caught:
        read(
            dumped(
                event(
                    1, attribute(1, MD5), attribute(2, SHA1, "sha1") | {"type": "md5", "value": MD5} | members
                )
            )
        )
    assert MD5 not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (dumped(event(1, attribute(1, MD5)))[:-3], "cut short"),
        (b'{"Event":{"uuid":"x","Attribute":[]}}', "Event 1: expected the UUID"),
        (b'{"Event":{"Attribute":{}}}', r"Event\.Attribute: expected a list"),
        (b'{"Event":{"Attribute":[{"Tag":' + b"[" * 5000, "expected an object"),
        (b'{"Event":{"x":' + b"[" * 5000, "deeper than 100"),
        (b'{"errors":"no"}', "expected an Event"),
    ],
)
def test_what_is_no_event_or_cut_is_refused(read, text, what):
    with pytest.raises(FeedError, match=what):
        read(text, "misp-event")


HEADER = "uuid,event_id,category,type,value,comment,to_ids,date,object_relation,attribute_tag\r\n"


def row(number: int, value: str, type: str = "md5", to_ids: str = "1", comment: str = "") -> str:
    start = f'"{uuid(number)}",5,"Payload delivery",{type},"{value}","{comment}",{to_ids}'
    return start + ',20250101,,"csam:a,tlp:red"\r\n'


def test_an_export_as_csv_is_read_with_line_breaks_in_its_comments(read):
    text = (
        HEADER + row(1, MD5, comment='two\r\nlines, and ""quotes""') + row(2, f"a|b|{SHA1}", "filename|sha1")
    )
    text += row(3, SHA256, "sha256", to_ids="0") + row(4, "x.invalid", "domain") + row(5, MD5, "imphash")
    items, result = read(text.encode(), columns={"attribute_tag": "category"})
    entries = [item for item in items if isinstance(item, Entry)]
    assert [(e.hashes[0][1].hex(), e.key, e.category) for e in entries] == [
        (MD5, uuid(1), "csam:a,tlp:red"),
        (SHA1, uuid(2), "csam:a,tlp:red"),
    ]
    assert result.counts.unsupported == {"not_for_detection": 1, "not_a_file_hash": 1, "imphash": 1}
    assert result.format == "misp-csv"


@pytest.mark.parametrize("declared", ["auto", "misp-csv", "plain", "csv"])
def test_hashes_csv_is_refused_with_the_reason(read, declared):
    text = f"{MD5},{uuid(1)}\n{digits(1)},{uuid(1)}\n".encode()
    with pytest.raises(FeedRefusedError, match=r"hashes\.csv of a MISP feed"):
        read(text, declared)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (HEADER + row(1, MD5) + row(2, SHA1), "line 3: md5 has 32"),
        (HEADER + row(1, MD5) + row(2, MD5)[:-40], "line 3: here the quoting|line 3: expected 10 cells"),
        (HEADER + row(1, MD5) + row(2, MD5)[:-20], "line 3"),
        (HEADER + row(1, MD5) + '"' + "x\n" * 100_000, "a cell too long"),
        (HEADER + row(1, MD5) + "x" * (1 << 20), "line 3: a line of more"),
        ("uuid,type,value\n", "expected a header"),
        (HEADER, "no usable entry"),
    ],
)
def test_a_csv_that_is_cut_or_malformed_is_refused_with_its_line(read, text, what):
    with pytest.raises(FeedError, match=what) as caught:
        read(text.encode(), "misp-csv")
    assert MD5 not in str(caught.value)


class Feed:
    """A feed of one directory: what is in use after each sync, as the index keeps it."""

    def __init__(self, server: MispDirectory, url: str = FOLDER) -> None:
        self.server = server
        self.url = url
        self.memory: Any = {}
        self.in_use: dict[str, Entry] = {}
        self.pages: list[bytes] = []

    async def write(self, page: bytes) -> None:
        self.pages.append(page)

    async def sync(self) -> Outcome:
        self.pages, self.server.asked = [], []
        outcome = await MispExchange().sync(Call(self.url, {}, self.memory, 1), self.server, self)
        assert outcome.unchanged == (not self.pages)
        self.memory = json.loads(json.dumps(outcome.memory))
        if not outcome.partial:
            self.in_use = {}
        for page in self.pages:
            for item in MispEventFormat().parse(io.BytesIO(page), FormatOptions(), ImportCounts()):
                if isinstance(item, Entry):
                    self.in_use[item.key] = item
        return outcome

    def values(self) -> set[str]:
        return {e.hashes[0][1].hex() for e in self.in_use.values()}


def three(with_digests: bool = True) -> MispDirectory:
    server = MispDirectory(with_digests=with_digests)
    server.put(*(event(n, attribute(n, digits(n)), attribute(n + 100, digits(n + 100))) for n in range(3)))
    return server


@pytest.mark.parametrize("url", [FOLDER, FOLDER + "manifest.json", FOLDER.rstrip("/")])
async def test_a_directory_is_read_event_by_event_and_an_unchanged_one_is_not_read_again(url):
    feed = Feed(three(), url)
    assert not (await feed.sync()).partial
    assert len(feed.values()) == 6
    assert (await feed.sync()).unchanged
    assert feed.server.asked == ["manifest.json"]
    feed.memory["etag"] = ""  # a server without: the manifest's content tells
    assert (await feed.sync()).unchanged


async def test_where_events_were_only_added_only_those_are_fetched():
    feed = Feed(three())
    await feed.sync()
    feed.server.put(event(7, attribute(7, digits(7))))
    outcome = await feed.sync()
    assert (outcome.partial, feed.server.asked) == (True, ["manifest.json", f"{uuid(7)}.json"])
    assert len(feed.values()) == 7


@pytest.mark.parametrize("with_digests", [True, False])
async def test_an_event_that_changed_replaces_what_it_was_and_attributes_it_left_out_are_gone(with_digests):
    feed = Feed(three(with_digests))
    await feed.sync()
    feed.server.put(event(1, attribute(1, digits(1)), attribute(77, digits(77)), seconds=1_700_000_001))
    assert not (await feed.sync()).partial
    assert digits(101) not in feed.values()
    assert digits(77) in feed.values()
    assert len(feed.values()) == 6


async def test_a_change_that_only_the_digest_tells_is_one_as_well():
    feed = Feed(three())
    await feed.sync()
    feed.server.put(event(1, attribute(77, digits(77))))
    await feed.sync()
    assert feed.values() == {digits(n) for n in (0, 100, 77, 2, 102)}


async def test_an_event_that_the_manifest_does_not_name_any_more_goes_with_its_indicators():
    feed = Feed(three())
    await feed.sync()
    del feed.server.events[uuid(2)]
    assert not (await feed.sync()).partial
    assert feed.values() == {digits(n) for n in (0, 1, 100, 101)}


async def test_of_very_many_events_only_a_digest_is_remembered(monkeypatch):
    monkeypatch.setattr("scanner.feeds.exchanges.misp._REMEMBERED", 2)
    feed = Feed(three())
    await feed.sync()
    assert "events" not in feed.memory
    assert (await feed.sync()).unchanged
    feed.server.put(event(7, attribute(7, digits(7))))
    assert not (await feed.sync()).partial


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"manifest.json": b'{"../../../etc/passwd": {"timestamp": "1"}}'}, "name 1: expected the UUID"),
        ({"manifest.json": dumped({uuid(1) + "/..": {}})}, "expected the UUID"),
        ({"manifest.json": b'{"a":' * 5000}, "no JSON"),
        ({"manifest.json": dumped([])}, "expected an object"),
        ({"manifest.json": dumped({uuid(1): {"timestamp": "x"}})}, "event 1: expected seconds"),
        ({"manifest.json": dumped({uuid(1): {"integrity:sha256": "x"}})}, "event 1: expected 64"),
        ({f"{uuid(1)}.json": dumped(event(1))}, "not the one whose SHA-256"),
    ],
)
async def test_a_manifest_or_event_that_can_not_be_stops_the_sync(files, what):
    feed = Feed(three())
    feed.server.files = files
    with pytest.raises(FeedFormatError, match=what):
        await feed.sync()


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (dumped(event(2)), "of another event"),
        (dumped(event(1, seconds=1_699_999_999)), "older than the manifest"),
        (b'{"Event":{"uuid":' + b"[" * 500, f"event {uuid(1)}: .*deeper"),
        (b"{}", "expected one Event"),
    ],
)
async def test_an_event_file_without_a_digest_has_to_be_the_one_that_is_meant(body, what):
    feed = Feed(three(with_digests=False))
    feed.server.files = {f"{uuid(1)}.json": body}
    with pytest.raises(FeedFormatError, match=what):
        await feed.sync()


def test_options_that_can_not_be_are_told():
    check = MispExchange().check
    assert check({}) is None and check({"max_event": "16"}) is None
    assert "max_event" in (check({"x": "1"}) or "")
    for size in ("0", "65", "1MiB"):
        assert "max_event: expected MiB" in (check({"max_event": size}) or "")
