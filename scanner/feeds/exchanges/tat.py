"""Tech Against Terrorism's hash list, version 2.

What is known of it (python-threatexchange, `clients/techagainstterrorism`): a name and a password are
exchanged for a token that goes as bearer; records come in the order of their last change, and each page names
the place of its last record, "<seconds>,<id>", to go on behind it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from scanner.feeds.choices import wrong
from scanner.feeds.exchanges.base import Call, Client, Outcome, Pages, Reply
from scanner.feeds.exchanges.course import (
    OVERLAP,
    Course,
    News,
    document,
    is_ahead,
    is_stale,
    objects,
    second,
    server_now,
)
from scanner.model.errors import ConfigError, FeedFormatError, FeedTransportError

# Days after which all is fetched anew. How long deletions are told is not published; a month is what the most
# forgetful of the other services promises.
_STALE = 30
_MAX_TOKEN = 8 * 1024  # characters of a token; servers take no longer headers
_MAX_CHECKPOINT = 100  # characters
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class TatExchange:
    """Logs in, and follows the changes in their order."""

    @property
    def name(self) -> str:
        return "tat"

    @property
    def format(self) -> str:
        return "tat"

    def check(self, options: Mapping[str, str]) -> str | None:
        return wrong(options, {}, frozenset())

    async def sync(self, call: Call, client: Client, pages: Pages) -> Outcome:
        until = second(call.memory.get("until"))
        fresh = until >= 0 and not is_stale(call.memory, call, _STALE)
        start = max(until - OVERLAP, 0) if fresh else None
        asking = _Asking(call.url.rstrip("/"), client)
        reply = await asking.page(_after(start))
        if start is not None and is_ahead(until, server_now(reply, call)):
            start = None
            reply = await asking.page("")
        news, course = News(pages, call.memory, start), Course()
        while True:
            page = document(reply)
            records = objects(page, "results")
            await news.take(reply.body, [second(record.get("updated_on")) for record in records])
            if not page.get("next"):
                break
            checkpoint = _checkpoint(page)
            course.step(checkpoint)
            reply = await asking.page(checkpoint)
        latest = max(news.latest, until if start is not None else 0)
        return await news.outcome(min(latest, server_now(reply, call)), call)


def _after(start: int | None) -> str:
    return "" if start is None else f"{start},0"


def _checkpoint(page: Mapping[str, Any]) -> str:
    checkpoint = page.get("checkpoint")
    if not isinstance(checkpoint, str) or not 0 < len(checkpoint) <= _MAX_CHECKPOINT:
        raise FeedFormatError("the server has more records, and names no place to go on from")
    return checkpoint


class _Asking:
    """Requests with a token, which is got when it is needed, and once more where it ran out."""

    def __init__(self, base: str, client: Client) -> None:
        self._base = base
        self._client = client
        self._token = ""

    async def page(self, after: str) -> Reply:
        had = self._token
        if not had:
            await self._log_in()
        reply = await self._get(after)
        if reply.status == 401 and had:
            await self._log_in()
            reply = await self._get(after)
        if reply.status == 401:
            raise FeedTransportError(
                "the server refuses the token that it gave", remedy="Ask the publisher about the account"
            )
        return reply

    async def _get(self, after: str) -> Reply:
        return await self._client.get(
            f"{self._base}/api/hash-list/v2/all",
            params={"order": "asc", "after": after},
            headers={"Authorization": f"Bearer {self._token}"},
            accept=frozenset({401}),
        )

    async def _log_in(self) -> None:
        user, password = _user_and_password(self._client.authorization)
        body = urlencode({"username": user, "password": password, "resend": "False"}).encode()
        reply = await self._client.post(f"{self._base}/token-auth/tcap/", body, headers=_FORM)
        token = document(reply).get("token")
        if not isinstance(token, str) or not 0 < len(token) <= _MAX_TOKEN or not _is_plain(token):
            raise FeedFormatError("expected a `token` in the server's answer to the log-in")
        self._token = token


def _is_plain(token: str) -> bool:
    return token.isascii() and token.isprintable() and " " not in token


def _user_and_password(authorization: str) -> tuple[str, str]:
    scheme, _, coded = authorization.partition(" ")
    try:
        text = base64.b64decode(coded, validate=True).decode() if scheme == "Basic" else ""
    except (binascii.Error, ValueError):
        text = ""
    user, colon, password = text.partition(":")
    if not colon:
        raise ConfigError(
            "this protocol logs in with a user and a password", remedy="Set the feed's basic_file"
        )
    return user, password
