"""A TAXII 2.1 server in memory, with the habits of real ones, as a client of the exchanges' seam.

The collection holds objects by the date they were added; pages are cut by `limit`, named by `next`, and
filters are as OASIS TAXII 2.1 says, except where a habit is on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from scanner.feeds.exchanges import Reply
from scanner.feeds.times import SECOND, rfc3339, rfc3339_ns

MEDIA_TYPE = "application/taxii+json;version=2.1"
ROOT = "https://taxii.invalid/api1/"
COLLECTION = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"


@dataclass
class Habits:
    """What servers do differently.

    Attributes:
        most: objects of one page, whatever is asked for.
        same_next: `next` is one word for the whole list.
        no_next: pages after the first are to be asked for by date.
        next_without_more: the last page names a `next`, and its page is the last one again.
        no_dates: the header with the date of the last object is missing.
        forgets: `next` is not known any more after so many uses, in all.
    """

    most: int = 2
    same_next: bool = False
    no_next: bool = False
    next_without_more: bool = False
    no_dates: bool = False
    forgets: int | None = None


@dataclass
class TaxiiSimulator:
    """Serves `ROOT`; `asked` has the parameters of every request for objects."""

    habits: Habits = field(default_factory=Habits)
    objects: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    answer: Callable[[Mapping[str, str]], Reply] | None = None
    collections: list[dict[str, Any]] = field(
        default_factory=lambda: [{"id": COLLECTION, "title": "hashes", "can_read": True}]
    )
    authorization: str = ""
    _lists: dict[str, list[tuple[int, dict[str, Any]]]] = field(default_factory=dict)
    _used: int = 0

    def add(self, record: dict[str, Any], ns: int) -> None:
        self.objects.append((ns, record))
        self.objects.sort(key=lambda pair: pair[0])

    def delete(self, own_id: str) -> None:
        """As DELETE does: gone, and nothing tells of it."""
        self.objects = [(ns, record) for ns, record in self.objects if record["id"] != own_id]

    async def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = 64 << 20,
        accept: frozenset[int] = frozenset(),
    ) -> Reply:
        reply = self._reply(url, dict(params or {}), dict(headers or {}))
        assert reply.status // 100 == 2 or reply.status in accept, "the client would raise"
        return reply

    async def post(self, *_: Any, **__: Any) -> Reply:
        raise AssertionError("nothing is sent to a TAXII server")

    def _reply(self, url: str, params: dict[str, str], headers: dict[str, str]) -> Reply:
        if headers.get("Accept") != MEDIA_TYPE:
            return told(406, "Not Acceptable")
        path = urlsplit(url).path
        if path == "/taxii2/":
            return document({"title": "x", "default": ROOT, "api_roots": [ROOT]})
        if path == "/api1/collections/":
            return document({"collections": self.collections} if self.collections else {})
        if path != f"/api1/collections/{COLLECTION}/objects/":
            return told(404, "Not Found")
        self.asked.append(params)
        return self.answer(params) if self.answer is not None else self._objects(params)

    def _objects(self, params: dict[str, str]) -> Reply:
        word = params.get("next", "")
        if word:
            self._used += 1
            if word not in self._lists or (
                self.habits.forgets is not None and self._used > self.habits.forgets
            ):
                self._lists.clear()
                self._used = 0
                return told(400, "'next' not valid")
        found = self._lists.get(word) if word else self._listed(params)
        assert found is not None
        size = min(self.habits.most, int(params.get("limit", "100")))
        page, rest = found[:size], found[size:]
        envelope: dict[str, Any] = {"objects": [record for _, record in page]} if page else {}
        if rest:
            envelope["more"] = True
        if (rest and not self.habits.no_next) or (self.habits.next_without_more and page):
            name = "n" if self.habits.same_next else f"n{len(self._lists)}"
            self._lists[name] = rest
            envelope["next"] = name
        dated = page and not self.habits.no_dates
        return document(envelope, {"x-taxii-date-added-last": rfc3339(page[-1][0])} if dated else {})

    def _listed(self, params: dict[str, str]) -> list[tuple[int, dict[str, Any]]]:
        after = rfc3339_ns(params["added_after"]) if "added_after" in params else -1
        assert after is not None
        found = [(ns, r) for ns, r in self.objects if ns > after and r["type"] == params["match[type]"]]
        if params.get("match[version]", "last") == "all":
            return found
        newest: dict[str, str] = {}
        for _, record in found:
            newest[record["id"]] = max(record["modified"], newest.get(record["id"], ""))
        return [(ns, r) for ns, r in found if r["modified"] == newest[r["id"]]]


def document(value: Any, headers: Mapping[str, str] | None = None, status: int = 200) -> Reply:
    return Reply(status, {"content-type": MEDIA_TYPE, **(headers or {})}, json.dumps(value).encode(), ROOT)


def told(status: int, title: str) -> Reply:
    return document({"title": title, "http_status": str(status)}, status=status)


def indicator(number: int, value: str, modified_ns: int, **members: Any) -> dict[str, Any]:
    """An indicator of one MD5, given as digits."""
    time = rfc3339(modified_ns // SECOND * SECOND)
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--00000000-0000-4000-8000-{number:012d}",
        "created": time,
        "modified": time,
        "pattern": f"[file:hashes.MD5 = '{value}']",
        "pattern_type": "stix",
        "valid_from": time,
    } | members
