"""Asking another hostsweep (`hostsweep feed serve`) by the first bits of a keyed digest.

The service learns 20 to 32 bits of HMAC-SHA-256 of a hash under a key that both have; it sends what it has
under these bits, and the comparing is done here. In the manner of "Have I Been Pwned" and of Safe Browsing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from scanner.feeds.exchanges.asking import Answer, Pace, ask_all, pace_of, wrong_option
from scanner.feeds.exchanges.base import Call, Client, Outcome, Pages, Question
from scanner.model.errors import FeedTransportError
from scanner.model.feeds import LISTED
from scanner.model.hashes import EXACT_KINDS

_DIGITS = ("5", "6", "7", "8")  # of 4 bits
_MOST_BYTES = 4 << 20  # 60,000 values: at 20 bits of a list of thousands of millions
_LINE = re.compile(rb"[0-9a-f]{16,128}")


class PrefixExchange:
    """Another hostsweep, asked by a few bits of a keyed hash.

    Options: `kind` (an exact hash kind), `digits` (5 to 8 hexadecimal digits are told), `per_second`,
    `remember_days`, `most`."""

    @property
    def name(self) -> str:
        return "prefix"

    @property
    def format(self) -> str:
        return "answers"

    @property
    def keyed(self) -> bool:
        return True

    def kind(self, options: Mapping[str, str]) -> str:
        return options.get("kind", "sha256")

    def check(self, options: Mapping[str, str]) -> str | None:
        if self.kind(options) not in EXACT_KINDS:
            return f"kind: expected one of {', '.join(EXACT_KINDS)}"
        if options.get("digits", "6") not in _DIGITS:
            return "digits: expected 5, 6, 7 or 8"
        return wrong_option(options, ("kind", "digits"))

    async def sync(self, call: Call, client: Client, pages: Pages) -> Outcome:
        kind, pace = self.kind(call.options), Pace(pace_of(call.options))
        digits = int(call.options.get("digits", "6"))

        async def ask(batch: Sequence[Question]) -> Sequence[Answer]:
            (question,) = batch
            await pace.turn()
            keyed = question.asked.hex()
            prefix, rest = keyed[:digits], keyed[digits:].encode("ascii")
            address = f"{call.url.rstrip('/')}/v1/prefix/{kind}/{prefix}"
            reply = await client.get(address, limit=_MOST_BYTES)
            lines = reply.body.split()
            if any(len(line) != len(rest) or not _LINE.fullmatch(line) for line in lines):
                raise FeedTransportError("the service's answer is no list of keyed digests")
            return (LISTED if rest in lines else "",)

        return await ask_all(call.questions, kind, call.now_ns, pages, ask, 1)
