"""Pages and files of hash-sharing services: any bytes are entries and removals, or a FeedError.

First byte: the format; second: its options.
"""

from __future__ import annotations

import io
import json

from fuzzing import Target, law

from fuzz_targets._lists import HEX, WORDS, check_entries, check_error
from scanner.feeds import FeedFormat, FormatOptions
from scanner.feeds.formats.ncmec import NcmecFormat
from scanner.feeds.formats.signals import SignalsFormat
from scanner.feeds.formats.stopncii import StopNciiFormat
from scanner.feeds.formats.tat import TatFormat
from scanner.feeds.formats.threatexchange import ThreatExchangeFormat
from scanner.model.errors import FeedError
from scanner.model.feeds import Entry, ImportCounts, Removal

_FORMATS: tuple[FeedFormat, ...] = (
    NcmecFormat(),
    ThreatExchangeFormat(),
    StopNciiFormat(),
    TatFormat(),
    SignalsFormat(),
)
_OPTIONS = (
    FormatOptions(),
    FormatOptions(options={"members": "1,42", "refuse_disputed": "yes", "unclassified": "act"}, hash="pdq"),
    FormatOptions(options={"statuses": "MALICIOUS,SUSPICIOUS,Active,Unknown", "opinions": "any"}),
    FormatOptions(options={"opinions": "unanimous", "refuse_disputed": "yes"}),
)
_MAX_KEY = 513  # characters: two ids


def check(data: bytes) -> None:
    data = data.ljust(2, b"\0")
    form, options = _FORMATS[data[0] % len(_FORMATS)], _OPTIONS[data[1] % len(_OPTIONS)]
    form.proposes(data[2:])
    counts, items = ImportCounts(), []
    try:
        for item in form.parse(io.BytesIO(data[2:]), options, counts):
            items.append(item)
    except FeedError as e:
        check_error(e)
        return
    check_entries([item for item in items if isinstance(item, Entry)], counts)
    removals = sum(isinstance(item, Removal) for item in items)
    law(counts.removals <= removals, "every tombstone takes something back")
    for item in items:
        law(isinstance(item, Entry | Removal), "an item is an entry or a removal")
        law(0 <= item.changed_ns < 2**63, "a time fits where times are kept")
        law(bool(item.key) or form.name == "signals", "a record that may change has a key")
        law(len(item.key) <= _MAX_KEY, "a key is bounded")
        item.key.encode("utf-8")
        for word in item.about.labels if isinstance(item, Entry) and item.about else ():
            word.encode("utf-8")


def seeds() -> dict[str, bytes]:
    md5, sha1, pdq = (HEX[kind].decode() for kind in ("md5", "sha1", "pdq"))
    return {**_ncmec(md5, sha1), **_threatexchange(md5, pdq), **_others(md5, pdq)}


def _ncmec(md5: str, sha1: str) -> dict[str, bytes]:
    head = '<member id="42">M</member><timestamp>2025-01-01T00:00:00Z</timestamp><id>a1</id>'
    prints = f'<fingerprints><md5>{md5}</md5><sha1>{sha1}</sha1><tmk-pdqf href="/v2/x"/></fingerprints>'
    feedback = "<feedback><negativeFeedback><reasons/></negativeFeedback></feedback>"
    image = f"<image>{head}<classification>A1</classification>{prints}{feedback}</image>"
    gone = f"<deletedVideo>{head}</deletedVideo>"
    page = f'<queryResult><images count="1">{image}</images><videos>{gone}</videos></queryResult>'
    return {
        "ncmec": b"\0\0" + page.encode(),
        "ncmec_prefixed": b"\0\1" + page.replace("<", "<h:").replace("<h:/", "</h:").encode(),
        "ncmec_bomb": b'\0\0<!DOCTYPE q [<!ENTITY a "aa">]><queryResult>&a;</queryResult>',
        "ncmec_deep": b"\0\0<queryResult>" + b"<images>" * 40,
    }


def _threatexchange(md5: str, pdq: str) -> dict[str, bytes]:
    opinion = {
        "owner": {"id": "1"},
        "status": "MALICIOUS",
        "tags": {"data": [{"text": "a"}]},
        "added_on": "2020-07-01T18:31:15+0000",
        "reactions": [{"key": "DISAGREE_WITH_TAGS", "value": "2,3"}],
    }
    one = {"id": "7", "type": "HASH_MD5", "indicator": md5, "last_updated": 1700000000}
    other = one | {"type": "HASH_PDQ", "indicator": pdq, "descriptors": {"data": [opinion]}}
    return {
        "threatexchange": b"\1\0" + json.dumps({"data": [one | {"should_delete": True}, other]}).encode(),
        "threatexchange_any": b"\1\2" + json.dumps({"paging": {}, "data": [other]}).encode(),
        "deep": b'\1\0{"data":[{"a":' + b"[" * 40,
    }


def _others(md5: str, pdq: str) -> dict[str, bytes]:
    case = {
        "lastModtimestamp": 1700000000,
        "signalType": "VideoMD5",
        "hashValue": md5,
        "hashStatus": "Active",
    }
    feedback = {"CSPFeedbacks": [{"feedbackValue": "NotBlocked", "tags": ["x"]}]}
    gone = case | {"hashStatus": "Withdrawn", "signalType": "ImagePDQ", "hashValue": pdq}
    row = {"id": 1, "hash_digest": md5, "algorithm": "MD5", "ideology": "far-right", "updated_on": 1.5}
    table = f"collab,signal_type,signal_str,category,tags\nx,pdq,{pdq},POSITIVE_CLASS,a b\n"
    return {
        "stopncii": b"\2\0" + json.dumps({"hashRecords": [case | feedback, gone]}).encode(),
        "stopncii_disputed": b"\2\3" + json.dumps({"hashRecords": [case | feedback]}).encode(),
        "tat": b"\3\0" + json.dumps({"results": [row, row | {"id": 2, "deleted": True}]}).encode(),
        "tat_list": b"\3\0" + json.dumps([row]).encode(),
        "signals": b"\4\0" + f"pdq {pdq}\nvideo_md5 {md5}\nurl x y\n".encode(),
        "signals_table": b"\4\0" + table.encode(),
        "signals_values": b"\4\1" + pdq.encode(),
    }


_NAMES = (
    b"<image>",
    b"</image>",
    b'"should_delete":true',
    b'"hashStatus"',
    b'"deleted":true',
    b'"id":',
    b"1e999",
)
TARGET = Target(check, seeds, (*WORDS, *_NAMES, b"&lt;", b"<!--", b"[{", b"}]", b"\xef\xbb\xbf"))
