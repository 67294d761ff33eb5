"""PDQ queries in the manner of Project Arachnid's Shield: `POST v1/pdq/` with hashes in base64.

Known from the public SDK (arachnid-shield-sdk): {"hashes": [base64]} is answered by {"scanned_hashes":
{base64: {"classification", "match_type", …} or null}}. Only hashes are sent; its other
endpoints take pictures and are not used.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence

from scanner.feeds.exchanges.asking import Answer, Pace, ask_all, pace_of, wrong_option
from scanner.feeds.exchanges.base import Call, Client, Outcome, Pages, Question
from scanner.model.errors import FeedTransportError

_AT_ONCE = 32  # hashes in a request; the service's limit is not public, and this is modest
_MOST_BYTES = 1 << 20
_NO_MATCH = "no-known-match"
_CLASS = re.compile(r"[a-z0-9-]{1,64}")


class ShieldExchange:
    """PDQ queries in the manner of Project Arachnid's Shield.

    Options: `per_second`, `remember_days`, `most`.
    """

    @property
    def name(self) -> str:
        return "shield"

    @property
    def format(self) -> str:
        return "answers"

    @property
    def keyed(self) -> bool:
        return False

    def kind(self, options: Mapping[str, str]) -> str:
        return "pdq"

    def check(self, options: Mapping[str, str]) -> str | None:
        return wrong_option(options, ())

    async def sync(self, call: Call, client: Client, pages: Pages) -> Outcome:
        pace = Pace(pace_of(call.options))
        address = f"{call.url.rstrip('/')}/v1/pdq/"

        async def ask(batch: Sequence[Question]) -> Sequence[Answer]:
            await pace.turn()
            texts = [base64.b64encode(question.asked).decode("ascii") for question in batch]
            reply = await client.post(
                address,
                json.dumps({"hashes": texts}).encode("ascii"),
                headers={"Content-Type": "application/json", "Accept": "application/json"},
                limit=_MOST_BYTES,
            )
            return _answers(reply.body, texts)

        return await ask_all(call.questions, "pdq", call.now_ns, pages, ask, _AT_ONCE)


def _answers(body: bytes, asked: Sequence[str]) -> list[Answer]:
    """The classification of each hash, "" where it is not known there.

    Raises:
        FeedTransportError: a hash has no answer, or one of a form that is not known.
    """
    try:
        scanned = json.loads(body)["scanned_hashes"]
        return [_classification(scanned[text]) for text in asked]
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        raise FeedTransportError(
            "the service's answer is not as it is known", remedy="Ask the service what changed"
        ) from e


def _classification(found: object) -> Answer:
    if found is None:
        return ""
    if not isinstance(found, dict):
        raise ValueError
    told = found["classification"]
    if told in (None, _NO_MATCH):
        return ""
    if not isinstance(told, str) or not _CLASS.fullmatch(told):
        raise ValueError
    return told
