"""The Dutch hash check service (EOKM, now Offlimits: HashCheckService, Instant Image Identifier).

`POST /v1/check/<md5|sha1>` with the bare hash as the body and HTTP Basic; the answer is literally `true` or
`false`. Anything else is an error, and an error is never a "no". Known from two public clients (SCART,
Shimmie2), of which one takes errors for "no" and switches off the check of certificates; the batch form and
the quotas are not public.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scanner.feeds.exchanges.asking import Answer, Pace, ask_all, pace_of, wrong_option
from scanner.feeds.exchanges.base import Call, Client, Outcome, Pages, Question
from scanner.model.errors import FeedTransportError
from scanner.model.feeds import LISTED

_KINDS = ("md5", "sha1")
_MOST_BYTES = 64  # of an answer: it has four or five
_ANSWERS = {b"true": LISTED, b"false": ""}


class HashCheckExchange:
    """The Dutch hash check, asked hash by hash.

    Options: `kind` (md5, sha1), `test` (true asks the service's test address), `per_second`,
    `remember_days`, `most`."""

    @property
    def name(self) -> str:
        return "hashcheck"

    @property
    def format(self) -> str:
        return "answers"

    @property
    def keyed(self) -> bool:
        return False

    def kind(self, options: Mapping[str, str]) -> str:
        return options.get("kind", "sha1")

    def check(self, options: Mapping[str, str]) -> str | None:
        if self.kind(options) not in _KINDS:
            return "kind: expected md5 or sha1"
        if options.get("test", "false") not in ("true", "false"):
            return "test: expected true or false"
        return wrong_option(options, ("kind", "test"))

    async def sync(self, call: Call, client: Client, pages: Pages) -> Outcome:
        kind, pace = self.kind(call.options), Pace(pace_of(call.options))
        test = "test/" if call.options.get("test") == "true" else ""
        address = f"{call.url.rstrip('/')}/v1/{test}check/{kind}"

        async def ask(batch: Sequence[Question]) -> Sequence[Answer]:
            (question,) = batch
            await pace.turn()
            reply = await client.post(
                address,
                question.asked.hex().encode("ascii"),
                headers={"Content-Type": "text/plain"},
                limit=_MOST_BYTES,
            )
            answer = _ANSWERS.get(reply.body.strip())
            if answer is None:
                raise FeedTransportError(
                    "the service answered neither true nor false",
                    remedy="It is asked again at the next turn; until then these files count as not asked",
                )
            return (answer,)

        return await ask_all(call.questions, kind, call.now_ns, pages, ask, 1)
