"""Services that are asked hash by hash: only a literal "no" is a no, an error never is; each has its pace."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
from collections.abc import Callable, Mapping

import pytest

from scanner.feeds.exchanges import Asker, Call, Outcome, Question, Reply
from scanner.feeds.exchanges.asking import Pace
from scanner.feeds.exchanges.hashcheck import HashCheckExchange
from scanner.feeds.exchanges.prefix import PrefixExchange
from scanner.feeds.exchanges.shield import ShieldExchange
from scanner.feeds.formats.answers import AnswersFormat
from scanner.feeds.formats.base import FormatOptions
from scanner.model.errors import FeedError, FeedFormatError, FeedTransportError
from scanner.model.feeds import ImportCounts

FAST = {"per_second": "10000"}
URL = "https://check.example/service"


class Service:
    """A client whose answers a test gives."""

    def __init__(self, answer: Callable[[str, bytes], bytes]) -> None:
        self._answer = answer
        self.asked: list[tuple[str, bytes]] = []

    async def get(self, url: str, **more: object) -> Reply:
        return await self.post(url, b"", **more)

    async def post(self, url: str, body: bytes, **_: object) -> Reply:
        assert url.startswith(URL + "/")
        self.asked.append((url.removeprefix(URL), body))
        return Reply(200, {}, self._answer(*self.asked[-1]), url)


class _Pages:
    def __init__(self) -> None:
        self.pages: list[bytes] = []

    async def write(self, page: bytes) -> None:
        self.pages.append(page)


def run(
    exchange: Asker, service: Service, questions: list[Question], options: Mapping[str, str] = FAST
) -> tuple[Outcome, dict[str, str]]:
    """The outcome, and the category of each hash that was answered."""
    assert exchange.check(options) is None
    pages = _Pages()
    call = Call(URL, options, {}, 1234, questions)
    outcome = asyncio.run(exchange.sync(call, service, pages))
    found = {}
    for page in pages.pages:
        for item in AnswersFormat().parse(io.BytesIO(page), FormatOptions(), ImportCounts()):
            assert item.changed_ns == 1234
            found[item.key] = item.category
    return outcome, found


def questions(*values: bytes) -> list[Question]:
    return [Question(value, value) for value in values]


def sha1(n: int) -> bytes:
    return hashlib.sha1(b"%d" % n).digest()


def test_true_is_listed_and_false_is_remembered_as_of_no_category() -> None:
    service = Service(lambda _, body: b"true\n" if body == sha1(1).hex().encode() else b"false")
    outcome, found = run(HashCheckExchange(), service, questions(sha1(1), sha1(2)))
    assert found == {sha1(1).hex(): "listed", sha1(2).hex(): ""}
    assert outcome.partial and not outcome.unchanged
    assert service.asked[0] == ("/v1/check/sha1", sha1(1).hex().encode())


def test_the_test_address_and_the_kind_are_options() -> None:
    service = Service(lambda *_: b"false")
    options = {**FAST, "test": "true", "kind": "md5"}
    run(HashCheckExchange(), service, questions(bytes(range(16))), options)
    assert service.asked[0][0] == "/v1/test/check/md5"


@pytest.mark.parametrize("said", [b"", b"TRUE!", b"1", b"<html>", b"null", b"false, but", b"\xff"])
def test_an_answer_that_is_neither_is_an_error_and_never_a_no(said: bytes) -> None:
    with pytest.raises(FeedTransportError, match="neither true nor false"):
        run(HashCheckExchange(), Service(lambda *_: said), questions(sha1(1)))


def test_after_an_error_what_was_answered_is_kept_and_the_rest_stays_open() -> None:
    service = Service(lambda _, body: b"oops" if body == sha1(2).hex().encode() else b"true")
    outcome, found = run(HashCheckExchange(), service, questions(*map(sha1, range(5))))
    assert found == {sha1(0).hex(): "listed", sha1(1).hex(): "listed"}
    assert outcome.memory == {"unanswered": 3}


def test_nothing_to_ask_is_nothing_new() -> None:
    outcome, found = run(HashCheckExchange(), Service(lambda *_: b"true"), [])
    assert outcome.unchanged and not found


def test_shield_is_asked_in_batches_and_answers_by_class() -> None:
    values = [hashlib.sha256(b"%d" % n).digest() for n in range(40)]
    texts = [base64.b64encode(v).decode() for v in values]

    def answer(_: str, body: bytes) -> bytes:
        asked = json.loads(body)["hashes"]
        told: dict[str, object] = {text: None for text in asked}
        told |= {t: {"classification": "no-known-match", "match_type": None} for t in asked if t == texts[1]}
        told |= {t: {"classification": "csam", "match_type": "near"} for t in asked if t == texts[2]}
        told |= {t: {"classification": "new-class", "match_type": "exact"} for t in asked if t == texts[33]}
        return json.dumps({"scanned_hashes": told}).encode()

    service = Service(answer)
    _, found = run(ShieldExchange(), service, questions(*values))
    assert len(service.asked) == 2
    assert {key: category for key, category in found.items() if category} == {
        values[2].hex(): "csam",
        values[33].hex(): "new-class",
    }
    assert len(found) == 40
    assert AnswersFormat().default_categories == {"listed", "csam"}  # a class that is new acts only if named


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"scanned_hashes": {}}', b'{"scanned_hashes": {"x": {}}}', b"[" * 50_000]
    + [json.dumps({"scanned_hashes": {"A" * 43 + "=": x}}).encode() for x in (1, {}, "csam")],
)  # fmt: skip
def test_what_shield_does_not_say_is_no_answer(body: bytes) -> None:
    with pytest.raises(FeedTransportError):
        run(ShieldExchange(), Service(lambda *_: body), questions(bytes(32)))


def test_a_prefix_tells_the_service_a_few_bits_and_the_rest_is_compared_here() -> None:
    listed, other = hashlib.sha256(b"listed").hexdigest(), hashlib.sha256(b"other").hexdigest()
    neighbour = listed[:6] + other[6:]

    def answer(path: str, _: bytes) -> bytes:
        assert len(path.rsplit("/", 1)[1]) == 6
        rest = [listed[6:]] if path.endswith(listed[:6]) else []
        return "".join(f"{line}\n" for line in [*rest, "0" * 58]).encode()

    asked = [Question(sha1(n), bytes.fromhex(text)) for n, text in enumerate((listed, other, neighbour))]
    service = Service(answer)
    _, found = run(PrefixExchange(), service, asked, {**FAST, "kind": "sha1"})
    assert found == {sha1(0).hex(): "listed", sha1(1).hex(): "", sha1(2).hex(): ""}
    assert service.asked[0][0] == f"/v1/prefix/sha1/{listed[:6]}"
    assert not any(listed[6:] in path for path, _ in service.asked)


@pytest.mark.parametrize("said", [b"x\n", b"true", b"0" * 57 + b"\n", b"<html>"])
def test_a_prefix_answer_that_is_no_list_is_an_error(said: bytes) -> None:
    with pytest.raises(FeedTransportError):
        run(
            PrefixExchange(),
            Service(lambda *_: said),
            [Question(sha1(1), bytes(32))],
            {**FAST, "kind": "sha1"},
        )


@pytest.mark.parametrize(
    ("exchange", "options", "names"),
    [
        (HashCheckExchange(), {"kind": "sha256"}, "kind"), (HashCheckExchange(), {"tset": "true"}, "tset"),
        (HashCheckExchange(), {"test": "yes"}, "test"), (PrefixExchange(), {"digits": "4"}, "digits"),
        (PrefixExchange(), {"kind": "pdq"}, "kind"), (ShieldExchange(), {"per_second": "0"}, "per_second"),
        (ShieldExchange(), {"per_second": "nan"}, "per_second"), (ShieldExchange(), {"most": "-1"}, "most"),
    ],
)  # fmt: skip
def test_options_that_can_not_be_are_named(exchange: Asker, options: dict[str, str], names: str) -> None:
    assert names in (exchange.check(options) or "")


def test_the_pace_is_kept_whatever_the_answers_take() -> None:
    now, waits = [100.0], []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    async def ask() -> None:
        pace = Pace(4, now=lambda: now[0], sleep=sleep)
        await pace.turn()
        await pace.turn()
        now[0] += 0.2
        await pace.turn()
        now[0] += 9
        await pace.turn()

    asyncio.run(ask())
    assert waits == pytest.approx([0.25, 0.05])


@pytest.mark.parametrize(
    "page",
    [b"", b"{}", b"[]", b'{"answers":[["00",""]],"kind":"md5","time":1}', b"[" * 9,
     b'{"answers":[1],"kind":"md5","time":1}',
     b'{"answers":[],"kind":"x","time":1}', b'{"answers":{},"kind":"md5","time":1}', b"[" * 50_000],
)  # fmt: skip
def test_answers_of_another_form_are_refused(page: bytes) -> None:
    with pytest.raises((FeedFormatError, FeedError)):
        list(AnswersFormat().parse(io.BytesIO(page), FormatOptions(), ImportCounts()))
