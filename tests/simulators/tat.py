"""Tech Against Terrorism's hash list, version 2, as its public reference client knows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from simulators.serving import Handler, Service, basic

USER = basic("name", "pass:word&x=1")


def record(
    number: int, time: float, value: str, algorithm: str = "MD5", ideology: str = "far-right", **more: Any
) -> dict[str, Any]:
    told = {"id": number, "hash_digest": value, "algorithm": algorithm, "ideology": ideology}
    return told | {"file_type": "mp4", "deleted": False, "updated_on": time, "created_on": time} | more


class Tat(Service):
    """Records in the order of their last change, for whoever logged in.

    Attributes:
        records: the last state of each.
        size: records of a page.
        uses: requests after which a token has run out.
        checkpoint: tells this place always, for a broken server.
    """

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[int, dict[str, Any]] = {}
        self.size = 3
        self.uses = 100
        self.log_ins = 0
        self.checkpoint: str | None = None
        self._left = 0

    def paths(self) -> Mapping[str, Handler]:
        return {"/token-auth/tcap/": self._log_in, "/api/hash-list/v2/all": self._all}

    def tell(self, *records: dict[str, Any]) -> None:
        self.records |= {r["id"]: r for r in records}

    async def _log_in(self, request: web.Request) -> web.Response:
        told = await request.post()
        if request.method != "POST" or (told.get("username"), told.get("password")) != (
            "name",
            "pass:word&x=1",
        ):
            return web.Response(status=400)
        self.log_ins += 1
        self._left = self.uses
        return web.json_response({"user": {}, "token": f"token{self.log_ins}"})

    async def _all(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer token{self.log_ins}" or not self._left:
            return web.Response(status=401)
        self._left -= 1
        if request.query.get("order") != "asc":
            return web.Response(status=400)
        after = request.query.get("after") or "0,0"
        seconds, number = after.split(",")
        place = (int(seconds), int(number))
        found = sorted(self.records.values(), key=lambda r: (int(r["updated_on"]), r["id"]))
        found = [r for r in found if (int(r["updated_on"]), r["id"]) > place]
        results, more = found[: self.size], len(found) > self.size
        last = f"{int(results[-1]['updated_on'])},{results[-1]['id']}" if results else ""
        following = f"{self.url}/api/hash-list/v2/all?limit={self.size}&offset={self.size}" if more else None
        answer = {"count": len(found), "next": following, "previous": None}
        return web.json_response(answer | {"checkpoint": self.checkpoint or last, "results": results})
