"""NCMEC's hash-sharing API, version 2, as its public reference client knows it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from aiohttp import web
from simulators.serving import Handler, Service, basic

USER = basic("member", "secret")
NAMESPACE = "https://hashsharing.ncmec.org/hashsharing/v2"


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@dataclass(frozen=True)
class Record:
    """One state of what a member says of a file; `hashes` are tag and text, a text of "@" is an address."""

    member: int
    id: str
    time: float
    hashes: Mapping[str, str] = field(default_factory=dict)
    classification: str = "A1"
    kind: str = "image"
    deleted: bool = False
    disputed: bool = False

    def xml(self, prefix: str = "") -> str:
        p = prefix
        name = f"{p}{'deleted' + self.kind.title() if self.deleted else self.kind}"
        parts = [
            f"<{p}member id={quoteattr(str(self.member))}>Member &amp; {self.member}</{p}member>",
            f"<{p}timestamp>{stamp(self.time)}</{p}timestamp><{p}id>{escape(self.id)}</{p}id>",
        ]
        if not self.deleted:
            if self.classification:
                parts.append(f"<{p}classification>{self.classification}</{p}classification>")
            parts.append(f"<{p}fingerprints>{''.join(self._fingerprints(p))}</{p}fingerprints>")
            parts.append(self._feedback(p))
        return f"<{name}>{''.join(parts)}</{name}>"

    def _fingerprints(self, p: str) -> list[str]:
        return [
            f'<{p}{tag} rel="self" href="/v2/entries/1/fingerprints/X"/>'
            if text == "@"
            else f"<{p}{tag}>{text}</{p}{tag}>"
            for tag, text in self.hashes.items()
        ]

    def _feedback(self, p: str) -> str:
        if not self.disputed:
            return f"<{p}feedback />"
        return (
            f'<{p}feedback><{p}negativeFeedback type="Md5"><{p}reasons><{p}reason guid="1" name="x"/>'
            f'<{p}members><{p}member id="9">N</{p}member></{p}members></{p}reasons></{p}negativeFeedback>'
            f"</{p}feedback>"
        )


def page(records: list[Record], following: str = "", prefix: str = "") -> bytes:
    """A document; an empty section has no maxTimestamp."""
    p = prefix
    namespace = f"xmlns:{p[:-1]}" if p else "xmlns"
    sections = []
    for kind in ("image", "video"):
        own = [r for r in records if r.kind == kind]
        latest = f" maxTimestamp={quoteattr(stamp(max(r.time for r in own)))}" if own else ""
        content = "".join(r.xml(p) for r in own)
        sections.append(f'<{p}{kind}s count="{len(own)}"{latest}>{content}</{p}{kind}s>')
    paging = f"<{p}paging><{p}next>{escape(following)}</{p}next></{p}paging>" if following else ""
    root = f'<{p}queryResult {namespace}="{NAMESPACE}">{"".join(sections)}{paging}</{p}queryResult>'
    return f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n{root}'.encode()


class Ncmec(Service):
    """Entries of a range come in no order; ranges with more than `bearable` records are too much for it.

    Attributes:
        records: all states that it tells; of one entry it may tell several.
        size: records of a page.
        bearable: records of a range beyond which it fails.
        announced: what it says of how many records a range has, None for the truth.
        following: tells the next page in another way, for a broken server.
    """

    base = "/hashsharing"

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Record] = []
        self.size = 3
        self.bearable = 1_000_000
        self.announced: int | None = None
        self.following: str | None = None

    def paths(self) -> Mapping[str, Handler]:
        return {"/v2/status": self._status, "/v2/entries": self._entries}

    async def _status(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != USER:
            return web.Response(status=401)
        return web.Response(text=f'<status xmlns="{NAMESPACE}"><member id="1">m</member></status>')

    async def _entries(self, request: web.Request) -> web.Response:
        query = request.query
        first, later = {"from", "to"}, {"from", "to", "start", "size", "max"}
        if request.headers.get("Authorization") != USER:
            return web.Response(status=401)
        if set(query) not in (first, later):
            return web.Response(status=400)
        start, end = seconds(query["from"]), seconds(query["to"])
        found = [r for r in self.records if start <= r.time < end]
        if len(found) > self.bearable:
            return web.Response(status=500)
        random.Random(len(found)).shuffle(found)
        at = int(query.get("start", "1")) - 1
        following = ""
        if at + self.size < len(found):
            most = self.announced if self.announced and end - start > 3600 else len(found)
            following = (
                f"/v2/entries?from={quote(query['from'])}&to={quote(query['to'])}"
                f"&start={at + self.size + 1}&size={self.size}&max={most}"
            )
        if self.following is not None and following:
            following = self.following.replace("N", str(len(self.requests)))
        return web.Response(body=page(found[at : at + self.size], following))

    def ranges(self) -> list[tuple[float, float]]:
        """What was asked for, without next pages."""
        return [(seconds(q["from"]), seconds(q["to"])) for q in self.asked("/entries") if "start" not in q]
