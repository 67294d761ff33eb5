"""MISP's search for attributes: pages, changes, what is taken back, and what only a reconciliation finds."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import pytest

from scanner.feeds import FormatOptions
from scanner.feeds.exchanges import Call, MispRestExchange, Outcome
from scanner.feeds.formats import MispEventFormat
from scanner.feeds.times import SECOND
from scanner.model.errors import FeedError
from scanner.model.feeds import Entry, ImportCounts
from tests.simulators.misp import MispSearch, attribute, uuid

NOW = 1_750_000_000
HOUR = 3600


def digits(number: int) -> str:
    return hashlib.md5(b"%d" % number).hexdigest()


class Feed:
    """A feed of one server: what is in use after each sync, as the index keeps it."""

    def __init__(self, server: MispSearch, **options: str) -> None:
        self.server = server
        self.options = {"limit": "2"} | options
        self.memory: Any = {}
        self.in_use: dict[str, Entry] = {}
        self.pages: list[bytes] = []

    async def write(self, page: bytes) -> None:
        self.pages.append(page)

    async def sync(self, seconds: int) -> Outcome:
        self.pages, self.server.asked = [], []
        call = Call("https://misp.invalid/", self.options, self.memory, seconds * SECOND)
        outcome = await MispRestExchange().sync(call, self.server, self)
        assert outcome.unchanged == (not self.pages)
        self.memory = json.loads(json.dumps(outcome.memory))
        if not outcome.partial:
            self.in_use = {}
        for page in self.pages:
            for item in MispEventFormat().parse(io.BytesIO(page), FormatOptions(), ImportCounts()):
                self.in_use.pop(item.key, None)
                if isinstance(item, Entry):
                    self.in_use[item.key] = item
        return outcome

    def values(self) -> set[str]:
        return {e.hashes[0][1].hex() for e in self.in_use.values()}


def serving(numbers: range) -> MispSearch:
    server = MispSearch()
    for number in numbers:
        server.put(attribute(number, digits(number)), NOW - HOUR + number)
    server.put(attribute(900, "x.invalid", "domain"), NOW - HOUR)
    return server


@pytest.mark.parametrize(("count", "pages"), [(5, 3), (4, 3), (1, 1)])
async def test_a_page_that_is_not_full_is_the_last(count, pages):
    feed = Feed(serving(range(count)))
    assert not (await feed.sync(NOW)).partial
    assert len(feed.values()) == count
    assert [asked["page"] for asked in feed.server.asked] == list(range(1, pages + 1))
    assert (await feed.sync(NOW + HOUR)).unchanged


async def test_what_changed_was_deleted_or_is_no_more_for_detection_is_applied():
    feed = Feed(serving(range(4)))
    await feed.sync(NOW)
    feed.server.put(attribute(0, digits(100)), NOW)
    feed.server.put(attribute(1, digits(1), deleted=True), NOW + 1)
    feed.server.put(attribute(2, digits(2), to_ids=False), NOW + 2)
    assert (await feed.sync(NOW + HOUR)).partial
    assert feed.values() == {digits(100), digits(3)}
    assert (await feed.sync(NOW + 2 * HOUR)).unchanged


async def test_an_attribute_that_is_stamped_before_it_can_be_found_is_not_missed():
    feed = Feed(serving(range(3)))
    await feed.sync(NOW)
    feed.server.put(attribute(7, digits(7)), NOW - HOUR - 30)
    await feed.sync(NOW + HOUR)
    assert digits(7) in feed.values()


async def test_what_was_deleted_for_good_goes_with_the_next_reconciliation_and_not_later():
    feed = Feed(serving(range(3)), reconcile="6h")
    await feed.sync(NOW)
    feed.server.attributes = [a for a in feed.server.attributes if a["uuid"] != uuid(1)]
    whole = [hour for hour in range(1, 9) if not (await feed.sync(NOW + hour * HOUR)).partial]
    assert whole == [6]
    assert feed.values() == {digits(0), digits(2)}


async def test_only_what_may_come_again_is_remembered(monkeypatch):
    monkeypatch.setattr("scanner.feeds.exchanges.misp_rest._RECENT", 5)
    feed = Feed(serving(range(200)), limit="9")
    await feed.sync(NOW)
    assert len(feed.memory["recent"]) == 5 * 12
    assert (await feed.sync(NOW + HOUR)).partial
    assert len(feed.values()) == 200


async def test_nothing_found_is_told_as_a_list_without_entries():
    feed = Feed(MispSearch())
    outcome = await feed.sync(NOW)
    assert (outcome.partial, outcome.unchanged, len(feed.pages)) == (False, False, 1)


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (json.dumps({"response": {"Attribute": [attribute(1, digits(1))] * 2}}).encode(), "same page again"),
        (b'{"errors":["no"],"message":"no"}', "page 1: .*list of attributes"),
        (b'{"response":{"Attribute":' + b'[{"x":' * 5000, "page 1: .*deeper|object"),
        (b'{"response":{"Attribute":[{"uuid":"x"}]}}', "page 1: .*UUID"),
        (b"<html>", "page 1: .*broken"),
    ],
)
async def test_answers_without_end_or_sense_end_in_an_error(answer, what):
    server = serving(range(3))
    server.answer = answer
    with pytest.raises(FeedError, match=what):
        await Feed(server).sync(NOW)


@pytest.mark.parametrize("memory", [{"last": "x"}, {"last": 5, "recent": "zz"}, {"recent": "", "last": -1}])
async def test_a_memory_that_can_not_be_means_all_anew(memory):
    feed = Feed(serving(range(2)))
    feed.memory = memory
    assert not (await feed.sync(NOW)).partial


def test_options_that_can_not_be_are_told():
    check = MispRestExchange().check
    assert check({"limit": "100", "reconcile": "7d"}) is None
    assert "options limit and reconcile" in (check({"x": "1"}) or "")
    assert "limit" in (check({"limit": "0"}) or "")
    assert "reconcile" in (check({"reconcile": "soon"}) or "")
