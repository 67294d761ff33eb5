"""StopNCII's hash API, version 1, as its public reference client knows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from simulators.serving import Handler, Service

KEYS = {"x-functions-key": "function", "Ocp-Apim-Subscription-Key": "subscription"}
SHORT = 600  # seconds a token is good for


def record(
    value: str, time: int, type: str = "VideoMD5", status: str = "Active", **more: Any
) -> dict[str, Any]:
    told = {"lastModtimestamp": time, "signalType": type, "hashValue": value, "hashStatus": status}
    return told | {"caseNumbers": {"c1": status}, "CSPFeedbacks": []} | more


class StopNcii(Service):
    """Changes since a time, in pages that are named by tokens which are soon worth nothing.

    Attributes:
        records: the last state of each hash.
        size: records of a page.
        keys: headers that are wanted; None: not looked at.
        token: tells this one always, for a broken server.
        named: the time for the next turn, None for the latest change.
    """

    base = "/v1"

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[tuple[str, str], dict[str, Any]] = {}
        self.size = 3
        self.keys: Mapping[str, str] | None = None
        self.token: str | None = None
        self.named: int | None = None

    def paths(self) -> Mapping[str, Handler]:
        return {"/FetchHashes": self._fetch}

    def tell(self, *records: dict[str, Any]) -> None:
        self.records |= {(r["signalType"], r["hashValue"]): r for r in records}

    async def _fetch(self, request: web.Request) -> web.Response:
        query = request.query
        if self.keys is not None and any(request.headers.get(k) != v for k, v in self.keys.items()):
            return web.Response(status=401)
        start = int(query["startTimestamp"])
        if start < 1:
            return web.Response(status=400)
        found = [r for r in self.records.values() if r["lastModtimestamp"] >= start]
        found.sort(key=lambda r: (r["lastModtimestamp"], r["hashValue"]))
        at = 0
        if token := query.get("nextPageToken"):
            number, made, _ = token.split(":")
            at = int(number)
            if self.clock - int(made) > SHORT:
                return web.Response(status=400)
        size = min(self.size, int(query["pageSize"]))
        more = at + size < len(found)
        latest = max([start, *(r["lastModtimestamp"] for r in found)])
        answer = {
            "count": len(found[at : at + size]),
            "nextPageToken": (self.token or f"{at + size}:{self.clock}:t") if more else None,
            "nextSetTimestamp": latest if self.named is None else self.named,
            "hasMoreRecords": more,
            "hashRecords": found[at : at + size],
        }
        return web.json_response(answer)
