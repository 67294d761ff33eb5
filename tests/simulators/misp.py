"""A MISP feed's directory in memory, and events as its generator writes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from scanner.feeds.exchanges import Reply

FOLDER = "https://misp.invalid/feed/"


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def attribute(number: int, value: str, type: str = "md5", **members: Any) -> dict[str, Any]:
    return {
        "uuid": uuid(number), "type": type, "value": value, "to_ids": True, "deleted": False,
        "category": "Payload delivery", "timestamp": "1700000000", "comment": "a \"comment\",\nof two lines",
    } | members  # fmt: skip


def event(
    number: int, *attributes: dict[str, Any], seconds: int = 1_700_000_000, **members: Any
) -> dict[str, Any]:
    return {
        "Event": {
            "uuid": uuid(number),
            "info": "synthetic",
            "timestamp": str(seconds),
            "Attribute": attributes,
        }
        | members
    }


@dataclass
class MispDirectory:
    """Serves `FOLDER` from `events`, with an ETag for the manifest; `asked` has the names of files."""

    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    with_digests: bool = True
    asked: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)  # in place of those made of `events`
    authorization: str = ""

    def put(self, *events: dict[str, Any]) -> None:
        for one in events:
            self.events[one["Event"]["uuid"]] = one

    def manifest(self) -> dict[str, Any]:
        told = {}
        for name, one in self.events.items():
            told[name] = {"info": "synthetic", "Orgc": {"name": "x"}, "timestamp": one["Event"]["timestamp"]}
            if self.with_digests:
                told[name]["integrity:sha256"] = hashlib.sha256(json.dumps(one).encode()).hexdigest()
        return told

    async def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = 64 << 20,
        accept: frozenset[int] = frozenset(),
    ) -> Reply:
        path = urlsplit(url).path
        assert path.startswith("/feed/"), "nothing outside the directory is asked for"
        name = path.removeprefix("/feed/")
        self.asked.append(name)
        own = self.manifest() if name == "manifest.json" else self.events.get(name.removesuffix(".json"))
        body = self.files.get(name, json.dumps(own).encode())
        assert len(body) <= limit, "the client would refuse"
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"' if name == "manifest.json" else ""
        if tag and (headers or {}).get("If-None-Match") == tag:
            assert 304 in accept
            return Reply(304, {"etag": tag}, b"", url)
        return Reply(200, {"content-type": "application/json", "etag": tag}, body, url)

    async def post(self, *_: Any, **__: Any) -> Reply:
        raise AssertionError("nothing is sent to a directory")


@dataclass
class MispSearch:
    """`attributes/restSearch` of a MISP server; `asked` has the bodies of the requests."""

    attributes: list[dict[str, Any]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    answer: bytes | None = None  # in place of what was found
    authorization: str = "Bearer the-key"

    def put(self, one: dict[str, Any], seconds: int) -> None:
        """Add an attribute, or change it."""
        self.attributes = [a for a in self.attributes if a["uuid"] != one["uuid"]]
        self.attributes.append(one | {"timestamp": str(seconds)})

    async def get(self, *_: Any, **__: Any) -> Reply:
        raise AssertionError("a search is a POST")

    async def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str] | None = None, limit: int = 0, **_: Any
    ) -> Reply:
        assert (headers or {}).get("Authorization") == "the-key"
        assert url == "https://misp.invalid/attributes/restSearch"
        wanted = json.loads(body)
        self.asked.append(wanted)
        found = [
            a
            for a in self.attributes
            if a["type"] in wanted["type"]
            and int(a["timestamp"]) >= int(wanted.get("timestamp", 0))
            and (not a["deleted"] or "1" in wanted.get("deleted", []))
            and (a["to_ids"] or not wanted.get("to_ids"))
        ]
        start = (wanted["page"] - 1) * wanted["limit"]
        page = {"response": {"Attribute": found[start : start + wanted["limit"]]}}
        return Reply(200, {"content-type": "application/json"}, self.answer or json.dumps(page).encode(), url)
