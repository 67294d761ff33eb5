"""ThreatExchange's `threat_updates`, as its public reference client knows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from simulators.serving import DAY, Handler, Service

GROUP = "1234567890"
TOKEN = "1111111111|abcdefghijklmnopqrstuvwxyz"
USER = f"Bearer {TOKEN}"
FORGOTTEN = 90 * DAY  # when tombstones are gone


def opinion(owner: int, status: str = "MALICIOUS", **more: Any) -> dict[str, Any]:
    told = {"id": str(owner * 100), "owner": {"id": str(owner)}, "status": status}
    return told | {"added_on": "2020-07-01T18:31:15+0000"} | more


def indicator(
    number: int, time: int, value: str, type: str = "HASH_MD5", *opinions: dict[str, Any], **more: Any
) -> dict[str, Any]:
    told = {"id": str(number), "type": type, "indicator": value, "last_updated": time, "should_delete": False}
    return told | {"descriptors": {"data": list(opinions or (opinion(1),))}} | more


class ThreatExchange(Service):
    """Updates in the order of their last change; tombstones are forgotten in time.

    Attributes:
        updates: the last state of each indicator.
        size: indicators of a page.
        following: tells the next page in another way, for a broken server.
    """

    base = "/v9.0"

    def __init__(self) -> None:
        super().__init__()
        self.updates: dict[str, dict[str, Any]] = {}
        self.size = 3
        self.following: str | None = None

    def paths(self) -> Mapping[str, Handler]:
        return {f"/{GROUP}/threat_updates/": self._updates}

    def tell(self, *updates: dict[str, Any]) -> None:
        self.updates |= {u["id"]: u for u in updates}

    async def _updates(self, request: web.Request) -> web.Response:
        query = request.query
        if request.headers.get("Authorization") != USER or "access_token" in query:
            return web.json_response({"error": {"code": 190}}, status=400)
        if "descriptors{" not in query["fields"]:
            return web.json_response({"error": {"code": 100}}, status=400)
        wanted = query.get("types")
        found = [
            u
            for u in self.updates.values()
            if u["last_updated"] >= int(query.get("start_time", "0"))
            and not (u["should_delete"] and self.clock - u["last_updated"] > FORGOTTEN)
            and (wanted is None or u["type"] in wanted.split(","))
        ]
        found.sort(key=lambda u: (u["last_updated"], u["id"]))
        at = int(query.get("after", "0"))
        size = min(self.size, int(query["limit"]))
        answer: dict[str, Any] = {"data": found[at : at + size]}
        if at + size < len(found):
            # Graph tells the whole address, with the token in it.
            following = request.url.update_query(after=str(at + size), access_token=TOKEN)
            answer["paging"] = {"cursors": {"after": "x"}, "next": str(following)}
            if self.following is not None:
                answer["paging"]["next"] = self.following
        return web.Response(body=json.dumps(answer).encode(), content_type="application/json")
