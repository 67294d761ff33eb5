"""STIX, MISP's events and its CSV, and what their protocols read of an answer: entries or a FeedError.

First byte: what the rest is.
"""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

from fuzzing import Target, law

from fuzz_targets._lists import HEX, WORDS, check_error
from scanner.feeds import FeedFormat, FormatOptions
from scanner.feeds.checks import MAX_TEXT, refusal
from scanner.feeds.exchanges import Call, Exchange, MispExchange, MispRestExchange, Reply, TaxiiExchange
from scanner.feeds.formats import MispCsvFormat, MispEventFormat, StixFormat
from scanner.model.errors import FeedError
from scanner.model.feeds import Entry, ImportCounts, Item, Removal
from scanner.model.hashes import KINDS

_NOW = 1_750_000_000_000_000_000
_FORMATS: tuple[tuple[FeedFormat, dict[str, str]], ...] = (
    (StixFormat(), {}),
    (StixFormat(), {"labels": "category"}),
    (MispEventFormat(), {}),
    (MispEventFormat(), {"Tag": "category"}),
    (MispCsvFormat(), {}),
)
_EXCHANGES: tuple[tuple[Exchange, dict[str, str]], ...] = (
    (TaxiiExchange(), {"collection": "a", "limit": "2"}),
    (MispExchange(), {}),
    (MispRestExchange(), {"limit": "2"}),
)
_MOST_ANSWERS = 50


def check(data: bytes) -> None:
    choice, content = (data[0] if data else 0) % (len(_FORMATS) + len(_EXCHANGES)), data[1:]
    if choice < len(_FORMATS):
        form, columns = _FORMATS[choice]
        form.proposes(content[:65536])
        options = FormatOptions(columns=columns, now_ns=_NOW)
        _check_parsed(form, content, options)
    else:
        asyncio.run(_check_course(*_EXCHANGES[choice - len(_FORMATS)], content))


def _check_parsed(form: FeedFormat, content: bytes, options: FormatOptions) -> None:
    counts, items = ImportCounts(), list[Item]()
    try:
        items.extend(form.parse(io.BytesIO(content), options, counts))
    except FeedError as e:
        check_error(e)
        return
    entries = [item for item in items if isinstance(item, Entry)]
    law(counts.entries == len(entries), "entries are counted")
    law(counts.removals <= len(items) - len(entries), "what is taken back is told")
    law(bool(counts.malformed) == bool(counts.first_malformed), "what is malformed is told with its place")
    for item in items:
        law(isinstance(item, Entry | Removal) and item.key, "whatever can be changed later has a key")
        law(0 <= item.changed_ns < 1 << 63, "times are times")
    for entry in entries:
        law(entry.hashes, "an entry has a hash")
        for kind, value in entry.hashes:
            law(len(value) == KINDS[kind].size, "a value has its kind's length")
            law(refusal(kind, value) is None, "what harmless files have is no entry")
        law(len(entry.id) <= MAX_TEXT and len(entry.category) <= MAX_TEXT, "texts are bounded")
    law(all(name.isascii() and len(name) < 30 for name in counts.unsupported), "a list can't invent counters")


class _Server:
    """Gives the parts of one input as its answers, one after the other and from the beginning again."""

    def __init__(self, content: bytes) -> None:
        self._answers = content.split(b"\0") or [b""]
        self.asked = 0
        self.written = 0

    async def get(self, url: str, *, accept: frozenset[int] = frozenset(), **_: Any) -> Reply:
        law(url.startswith("https://x.invalid/") and ".." not in url, "no address leads away")
        self.asked += 1
        body = self._answers[(self.asked - 1) % len(self._answers)]
        if self.asked > _MOST_ANSWERS or (body[:1] == b"!" and 400 in accept):
            return Reply(400 if 400 in accept else 200, {}, b"", url)
        dates = {"x-taxii-date-added-last": "2025-01-01T00:00:00Z"} if self.asked % 2 else {}
        return Reply(200, {"etag": "x"} | dates, body, url)

    @property
    def authorization(self) -> str:
        return ""

    async def post(self, url: str, body: bytes, **_: Any) -> Reply:
        return await self.get(url)

    async def write(self, page: bytes) -> None:
        self.written += 1


async def _check_course(exchange: Exchange, options: dict[str, str], content: bytes) -> None:
    server = _Server(content)
    memory: Any = {}
    try:
        for ahead in range(2):
            server.written = 0
            call = Call("https://x.invalid/a/", options, memory, _NOW + ahead)
            outcome = await exchange.sync(call, server, server)
            law(outcome.unchanged == (not server.written), "what changed comes in pages")
            memory = json.loads(json.dumps(outcome.memory))
    except FeedError as e:
        check_error(e)


def seeds() -> dict[str, bytes]:
    md5, sha256 = HEX["md5"].decode(), HEX["sha256"].decode()
    own = "indicator--00000000-0000-4000-8000-00000000000"
    time = "2025-01-01T00:00:00.000Z"
    base = {
        "type": "indicator",
        "created": time,
        "modified": time,
        "valid_from": time,
        "pattern_type": "stix",
    }
    simple = base | {"id": f"{own}1", "pattern": f"[file:hashes.MD5 = '{md5}']", "labels": ["a"]}
    both = f"[file:hashes.'SHA-256' IN ('{sha256}') AND file:hashes.MD5='{md5}'] OR ([file:size > 1])"
    other = base | {"id": f"{own}2", "pattern": both, "confidence": 5, "valid_until": time}
    revoked = base | {"id": f"{own}1", "revoked": True}
    bundle = {"type": "bundle", "objects": [simple, other, revoked, {"type": "file"}, 5]}
    attribute = {"uuid": own[11:] + "3", "type": "filename|md5", "value": f"a|{md5}", "to_ids": True}
    event = {"uuid": own[11:] + "4", "timestamp": "5", "Attribute": [attribute, attribute | {"deleted": "1"}]}
    event["Object"] = [{"Attribute": [attribute], "deleted": True}]
    found = {"response": {"Attribute": [attribute | {"Tag": [{"name": "x"}]}]}}
    table = f'uuid,type,value,to_ids,comment\n{attribute["uuid"]},md5,{md5},1,"a\nb"\n'
    page = json.dumps({"more": True, "next": "n", "objects": [simple]})
    manifest = json.dumps({event["uuid"]: {"timestamp": 5}})
    return {
        "stix": b"\0" + json.dumps(bundle).encode(),
        "stix_category": b"\1" + json.dumps(bundle).encode(),
        "stix_cut": b"\0" + json.dumps(bundle).encode()[:-9],
        "stix_deep": b"\0" + b'{"type":"bundle","x":' + b"[" * 300,
        "misp": b"\2" + json.dumps({"Event": event}).encode(),
        "misp_found": b"\3" + json.dumps(found).encode(),
        "misp_csv": b"\4" + table.encode(),
        "misp_cache": b"\4" + f"{md5},{event['uuid']}\n".encode(),
        "taxii": b"\5" + page.encode() + b"\0{}\0!",
        "taxii_circle": b"\5" + page.encode(),
        "misp_search": b"\7" + json.dumps(found).encode() + b"\0" + b'{"response":{"Attribute":[]}}',
        "misp_feed": b"\6" + manifest.encode() + b"\0" + json.dumps({"Event": event}).encode(),
    }


_TOKENS = (
    b"[file:hashes.",
    b" AND ",
    b" OR ",
    b" FOLLOWEDBY ",
    b"NOT ",
    b" IN ('",
    b"'] ",
    b"WITHIN 5 SECONDS",
)
_MEMBERS = (
    "modified",
    "pattern",
    "objects",
    "more",
    "next",
    "Event",
    "Attribute",
    "to_ids",
    "deleted",
    "Tag",
)
TARGET = Target(
    check, seeds, (*WORDS, *_TOKENS, *(f'"{key}":'.encode() for key in _MEMBERS), b"true,", b"[{")
)
