"""Pages and files of hash-sharing services: any bytes are entries and removals, or a FeedError.

First byte: the format, or the protocol, which a server answers always alike; second: its options, or the
status of the answers.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Collection

from fuzzing import Target, law
from yarl import URL

from fuzz_targets._lists import HEX, WORDS, check_entries, check_error
from scanner.feeds import FeedFormat, FormatOptions
from scanner.feeds.exchanges import MAX_MEMORY, Call, Exchange, Reply
from scanner.feeds.exchanges.ncmec import NcmecExchange
from scanner.feeds.exchanges.stopncii import StopNciiExchange
from scanner.feeds.exchanges.tat import TatExchange
from scanner.feeds.exchanges.threatexchange import ThreatExchangeExchange
from scanner.feeds.formats.ncmec import NcmecFormat
from scanner.feeds.formats.signals import SignalsFormat
from scanner.feeds.formats.stopncii import StopNciiFormat
from scanner.feeds.formats.tat import TatFormat
from scanner.feeds.formats.threatexchange import ThreatExchangeFormat
from scanner.model.errors import ConfigError, FeedError, FeedTransportError
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
_EXCHANGES: tuple[Exchange, ...] = (
    NcmecExchange(most_pages=5),
    ThreatExchangeExchange(),
    StopNciiExchange(),
    TatExchange(),
)
_STATUSES = (200, 401, 500)
_NOW = 1_789_997_600  # seconds; as the server tells it
_QUOTED = re.compile(r"[0-9A-Fa-f]{32,}|://")
_MAX_KEY = 513  # characters: two ids


def check(data: bytes) -> None:
    data = data.ljust(2, b"\0")
    which = data[0] % (len(_FORMATS) + len(_EXCHANGES))
    if which < len(_FORMATS):
        _check_format(_FORMATS[which], data[2:], _OPTIONS[data[1] % len(_OPTIONS)])
    else:
        status = _STATUSES[data[1] % len(_STATUSES)]
        _check_exchange(_EXCHANGES[which - len(_FORMATS)], _Server(data[2:], status), data[1] & 0x80)


def _check_exchange(exchange: Exchange, server: _Server, again: int) -> None:
    """A course ends, in an error or with something that can be remembered."""
    memory = {"until": _NOW - 100, "fetched": _NOW, "again": {str(_NOW - 100): 1}} if again else {}
    call = Call("https://h.example/base", {"privacy_group": "1"}, memory, _NOW * 10**9)
    course = exchange.sync(call, server, server)
    try:
        course.send(None)
    except StopIteration as e:
        outcome = e.value
    except (FeedError, ConfigError) as e:
        law(not _QUOTED.search(str(e)), "no error quotes a hash or an address of the server's")
        return
    finally:
        course.close()
    law(len(json.dumps(outcome.memory)) < MAX_MEMORY, "what is remembered is little")
    law(0 <= outcome.memory["until"] <= _NOW, "a cursor lies in the past")
    law(not outcome.unchanged or (outcome.partial and not server.written), "no news has no page")


class _Server:
    """Answers every request alike, as client and as sink of the pages."""

    authorization = "Basic dTpw"

    def __init__(self, body: bytes, status: int) -> None:
        self._body = body
        self._status = status
        self._requests = 0
        self.written = 0

    async def get(self, url: str, *, accept: Collection[int] = (), **_: object) -> Reply:
        self._requests += 1
        law("://" in url, "only addresses are asked for")
        law("access_token" not in URL(url).query, "no token is in an address")
        if self._requests > 60:
            raise FeedTransportError("more than 60 requests")
        if not url.startswith("https://h.example/"):
            raise FeedTransportError("that leads elsewhere")
        status = self._status if self._status in accept else 200
        return Reply(status, {"date": "Mon, 21 Sep 2026 13:33:20 GMT"}, self._body, url)

    async def post(self, url: str, body: bytes, **_: object) -> Reply:
        return Reply(200, {}, self._body, url)

    async def write(self, page: bytes) -> None:
        self.written += 1


def _check_format(form: FeedFormat, content: bytes, options: FormatOptions) -> None:
    form.proposes(content)
    counts, items = ImportCounts(), []
    try:
        for item in form.parse(io.BytesIO(content), options, counts):
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
    formats = {**_ncmec(md5, sha1), **_threatexchange(md5, pdq), **_others(md5, pdq)}
    return {**formats, **_protocols()}


def _protocols() -> dict[str, bytes]:
    """Answers that lead on, or are the last ones."""
    paging = "<queryResult><images/><paging><next>/v2/entries?start=1&amp;max=9</next></paging></queryResult>"
    record = {"lastModtimestamp": _NOW - 100, "id": "1"}
    more = {"hasMoreRecords": True, "nextPageToken": "t", "nextSetTimestamp": _NOW, "hashRecords": [record]}
    update = {
        "data": [{"last_updated": _NOW - 100}],
        "paging": {"next": "https://h.example/?access_token=x&y=1"},
    }
    row = {"token": "t", "results": [{"updated_on": _NOW - 100}], "next": "x", "checkpoint": "1,1"}
    return {
        "ncmec_next": b"\5\0" + paging.encode(),
        "ncmec_last": b"\5\x81" + b"<queryResult><images><image/></images></queryResult>",
        "ncmec_too_much": b"\5\2<queryResult/>",
        "threatexchange_next": b"\6\0" + json.dumps(update).encode(),
        "threatexchange_last": b"\6\x81" + json.dumps({"data": update["data"]}).encode(),
        "stopncii_next": b"\7\0" + json.dumps(more).encode(),
        "stopncii_last": b"\7\x81" + json.dumps(more | {"hasMoreRecords": False}).encode(),
        "tat_next": b"\x08\0" + json.dumps(row).encode(),
        "tat_last": b"\x08\x81" + json.dumps(row | {"next": None}).encode(),
        "tat_refused": b"\x08\1" + json.dumps(row).encode(),
    }


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


_LEADS = (b'"next":', b'"checkpoint":', b"<next>", b"http://[", b"//", b"/v2/", b"&amp;max=999999999")
_NAMES = (
    b"<image>",
    b"</image>",
    b'"should_delete":true',
    b'"hashStatus"',
    b'"deleted":true',
    b'"id":',
    b"1e999",
)
TARGET = Target(check, seeds, (*WORDS, *_NAMES, *_LEADS, b"&lt;", b"<!--", b"[{", b"}]", b"\xef\xbb\xbf"))
