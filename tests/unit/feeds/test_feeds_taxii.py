"""TAXII 2.1: each law of the protocol, and each habit of its servers, against a simulator."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import pytest

from scanner.feeds import FormatOptions
from scanner.feeds.exchanges import Call, Outcome, Reply, TaxiiExchange
from scanner.feeds.formats import StixFormat
from scanner.feeds.times import SECOND
from scanner.model.errors import FeedError, FeedFormatError, FeedTransportError
from scanner.model.feeds import Entry, ImportCounts, Removal
from tests.simulators.taxii import COLLECTION, ROOT, Habits, TaxiiSimulator, document, indicator, told

NOW = 1_750_000_000 * SECOND
HOUR = 3600 * SECOND
OPTIONS = {"collection": COLLECTION}


def digits(number: int) -> str:
    return hashlib.md5(b"%d" % number).hexdigest()


def record(number: int, at: int, value: int | None = None, **members: Any) -> dict[str, Any]:
    return indicator(number, digits(number if value is None else value), at, **members)


class Feed:
    """A feed of one collection: what is in use after each sync, as the index keeps it."""

    def __init__(self, server: TaxiiSimulator, **options: str) -> None:
        self.server = server
        self.options = OPTIONS | options
        self.url = ROOT
        self.memory: Any = {}
        self.in_use: dict[str, Entry] = {}
        self.pages: list[bytes] = []

    async def write(self, page: bytes) -> None:
        self.pages.append(page)

    async def sync(self, now_ns: int) -> Outcome:
        self.pages = []
        call = Call(self.url, self.options, self.memory, now_ns)
        outcome = await TaxiiExchange().sync(call, self.server, self)
        assert outcome.unchanged == (not self.pages)
        self.memory = json.loads(json.dumps(outcome.memory))
        if not outcome.partial:
            self.in_use = {}
        for page in self.pages:
            for item in StixFormat().parse(io.BytesIO(page), FormatOptions(now_ns=now_ns), ImportCounts()):
                self._take(item)
        return outcome

    def _take(self, item: Any) -> None:
        old = self.in_use.get(item.key)
        if isinstance(item, Removal):
            self.in_use.pop(item.key, None)
        elif old is None or item.changed_ns >= old.changed_ns:
            self.in_use[item.key] = item

    def values(self) -> set[str]:
        return {value.hex() for entry in self.in_use.values() for _, value in entry.hashes}


def serving(numbers: range, habits: Habits | None = None, at: int = NOW - HOUR) -> TaxiiSimulator:
    server = TaxiiSimulator(habits or Habits())
    for number in numbers:
        server.add(record(number, at + number * SECOND), at + number * SECOND)
    return server


@pytest.mark.parametrize(
    "habits",
    [
        Habits(),
        Habits(most=1),
        Habits(most=1000),
        Habits(same_next=True),
        Habits(no_next=True),
        Habits(next_without_more=True),
        Habits(next_without_more=True, same_next=True),
        Habits(no_dates=True),
        Habits(forgets=3),
        Habits(forgets=1),
        Habits(no_next=True, most=3),
    ],
    ids=repr,
)
async def test_all_objects_come_whatever_habits_the_server_has(habits):
    feed = Feed(serving(range(11), habits))
    outcome = await feed.sync(NOW)
    assert not outcome.partial
    assert feed.values() == {digits(n) for n in range(11)}


async def test_a_poll_asks_for_what_was_added_since_with_an_overlap_and_reads_nothing_twice():
    server = serving(range(5), Habits(most=100))
    feed = Feed(server)
    await feed.sync(NOW)
    again = await feed.sync(NOW + HOUR)
    assert (again.partial, again.unchanged) == (True, True)
    # The last was added at second 4 of the hour before, the overlap is 5 seconds.
    assert server.asked[-1]["added_after"] == "2025-06-15T14:06:39.000000Z"
    server.add(record(9, NOW), NOW - HOUR + 3 * SECOND)  # added by a part of the server whose clock is behind
    changed = await feed.sync(NOW + 2 * HOUR)
    assert (changed.partial, changed.unchanged) == (True, False)
    assert digits(9) in feed.values()
    assert (await feed.sync(NOW + 3 * HOUR)).unchanged


async def test_only_what_may_come_again_is_remembered(monkeypatch):
    feed = Feed(serving(range(40), Habits(most=3)))
    await feed.sync(NOW)
    assert len(feed.memory["recent"]) // 12 in range(6, 9)  # five seconds and the pages they stand in
    monkeypatch.setattr("scanner.feeds.exchanges.taxii._RECENT", 4)
    feed.memory = {}
    await feed.sync(NOW)
    assert len(feed.memory["recent"]) // 12 == 4
    await feed.sync(NOW + HOUR)
    assert len(feed.values()) == 40


async def test_the_newest_version_counts_and_a_revoked_indicator_goes():
    server = serving(range(3))
    feed = Feed(server)
    await feed.sync(NOW)
    server.add(record(0, NOW + 9 * SECOND, value=100), NOW + 10 * SECOND)
    server.add(record(1, NOW + 9 * SECOND, revoked=True), NOW + 11 * SECOND)
    assert (await feed.sync(NOW + HOUR)).partial
    assert feed.values() == {digits(100), digits(2)}


@pytest.mark.parametrize("version", ["last", "all"])
async def test_of_all_versions_in_any_order_the_newest_is_in_use(version):
    server = TaxiiSimulator()
    server.add(record(1, NOW - 100 * SECOND, value=12), NOW - 50 * SECOND)
    server.add(record(1, NOW - 200 * SECOND, value=11), NOW - 40 * SECOND)
    feed = Feed(server, version=version)
    await feed.sync(NOW)
    assert feed.values() == {digits(12)}
    assert server.asked[0]["match[version]"] == version
    assert server.asked[0]["match[type]"] == "indicator"


async def test_what_vanished_goes_with_the_next_reconciliation_and_not_later():
    server = serving(range(4))
    feed = Feed(server, reconcile="24h")
    await feed.sync(NOW)
    server.delete(record(2, NOW)["id"])
    whole = []
    for hour in range(1, 30):
        if not (await feed.sync(NOW + hour * HOUR)).partial:
            whole.append(hour)
            assert feed.values() == {digits(n) for n in (0, 1, 3)}
    assert whole == [24]


@pytest.mark.parametrize(("every", "whole"), [(5, [20]), (7, [21]), (13, [13, 26]), (30, [30])])
async def test_a_reconciliation_that_would_come_too_late_at_the_next_poll_is_done_now(every, whole):
    feed = Feed(serving(range(2)), reconcile="24h")
    await feed.sync(NOW)
    done = []
    for hour in range(every, 31, every):
        if not (await feed.sync(NOW + hour * HOUR)).partial:
            done.append(hour)
    assert done == whole


async def test_without_dates_each_sync_reads_the_whole_collection():
    feed = Feed(serving(range(3), Habits(no_dates=True)))
    await feed.sync(NOW)
    assert feed.memory == {}
    feed.server.delete(record(2, NOW)["id"])
    assert not (await feed.sync(NOW + HOUR)).partial
    assert feed.values() == {digits(0), digits(1)}


async def test_an_empty_answer_is_no_change():
    feed = Feed(serving(range(3)), overlap="0s")
    await feed.sync(NOW)
    feed.server.answer = lambda params: document({})
    outcome = await feed.sync(NOW + HOUR)
    assert (outcome.partial, outcome.unchanged) == (True, True)
    assert feed.memory["last_ns"] == NOW - HOUR + 2 * SECOND


async def test_an_empty_collection_is_told_as_a_list_without_entries_and_not_as_no_change():
    feed = Feed(TaxiiSimulator())
    outcome = await feed.sync(NOW)
    assert (outcome.partial, outcome.unchanged, feed.pages) == (False, False, [b"{}"])


async def test_a_next_that_expired_goes_on_from_the_last_date_that_was_told():
    server = serving(range(20), Habits(most=4, forgets=1))
    feed = Feed(server, overlap="0s")
    await feed.sync(NOW)
    begun = [params.get("added_after", "") for params in server.asked if "next" not in params]
    assert len(begun) > 2
    assert begun == sorted(set(begun))
    assert feed.values() == {digits(n) for n in range(20)}


async def test_a_next_that_expired_in_a_poll_goes_on_from_the_stored_date():
    server = serving(range(2))
    feed = Feed(server)
    await feed.sync(NOW)
    pages = [document({"more": True, "next": "a"}), told(400, "'next' not valid"), document({})]
    server.answer = lambda params: pages.pop(0)
    await feed.sync(NOW + HOUR)
    first, expired, again = server.asked[-3:]
    assert expired["next"] == "a"
    assert again == first


async def test_objects_that_were_added_at_one_moment_are_never_lost_between_pages():
    server = TaxiiSimulator(Habits(most=3, no_next=True))
    for number in range(5):
        server.add(record(number, NOW), NOW - HOUR)
    with pytest.raises(FeedTransportError, match="at one moment"):
        await Feed(server).sync(NOW)
    server.habits.most = 6
    for number in range(5, 12):
        server.add(record(number, NOW), NOW - HOUR + number * SECOND)
    feed = Feed(server)
    await feed.sync(NOW)
    assert len(feed.values()) == 12


async def test_a_date_that_lies_ahead_hides_nothing_that_is_added_later():
    server = serving(range(1), at=NOW + 1000 * HOUR)
    feed = Feed(server)
    await feed.sync(NOW)
    server.add(record(7, NOW), NOW + 30 * SECOND)
    await feed.sync(NOW + HOUR)
    assert digits(7) in feed.values()


def circle(params: Any) -> Reply:
    number = int(params.get("next", "n0")[1:])
    page = {"more": True, "next": f"n{(number + 1) % 3}", "objects": [record(number, NOW)]}
    return document(page)


def empty(params: Any) -> Reply:
    return document({"more": True, "next": f"n{int(params.get('next', 'n0')[1:]) + 1}"})


def one_word(params: Any) -> Reply:
    return document({"more": True, "next": "a", "objects": [record(1, NOW)]})


def forgetful(params: Any) -> Reply:
    return told(400, "gone") if "next" in params else document({"more": True, "next": "a"})


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (circle, "the same page again"),
        (one_word, "the same page again"),
        (empty, "20 empty pages"),
        (forgetful, "forgets its pages"),
        (lambda p: document({"more": True, "objects": [record(1, NOW)]}), "not how to get it"),
        (lambda p: document({"more": "yes"}), "page 1: more: expected true or false"),
        (lambda p: document({"next": "x" * 5000}), "page 1: next: expected a text"),
        (lambda p: document({"objects": {}}), "page 1: objects: expected a list"),
        (lambda p: Reply(200, {}, b'{"objects":' + b'[{"a":' * 90_000, ""), "page 1: .*deeper|cut short"),
        (lambda p: Reply(200, {}, b'{"objects":[{"id":"x"}', ""), "page 1: .*cut short"),
        (lambda p: Reply(200, {"content-type": "text/html"}, b"<html>", ""), "HTML"),
        (lambda p: Reply(200, {"content-type": "application/vnd.oasis.stix+json"}, b"{}", ""), "TAXII 2.0"),
        (lambda p: told(401, "Unauthorized"), r"\(401\): Unauthorized"),
        (lambda p: told(403, digits(1)), r"\(403\): \(a digest\)"),
        (lambda p: Reply(404, {}, b"<html>", ""), r"collection \(404\)"),
        (lambda p: told(406, "x"), r"TAXII 2.1 \(406\)"),
        (lambda p: told(413, "x"), r"\(413\).*limit"),
        (lambda p: told(416, "x"), r"\(416\)"),
        (lambda p: told(400, "added_after"), r"\(400\): added_after"),
    ],
)
async def test_a_course_without_end_or_sense_ends_in_an_error(answer, what):
    server = TaxiiSimulator(answer=answer)
    with pytest.raises(FeedError, match=what) as caught:
        await Feed(server).sync(NOW)
    assert isinstance(caught.value, FeedTransportError | FeedFormatError)
    assert len(server.asked) <= 21


async def test_the_collection_is_found_by_address_by_discovery_or_because_there_is_one():
    for url, options in (
        (f"{ROOT}collections/{COLLECTION}/", {}),
        (f"{ROOT}collections/{COLLECTION}/objects/", {}),
        (ROOT, {}),
        ("https://taxii.invalid/taxii2/", {"api_root": "default"}),
        ("https://taxii.invalid/taxii2/", {"api_root": "/api1/", "collection": COLLECTION}),
        ("https://taxii.invalid/taxii2/", {"api_root": ROOT}),
    ):
        feed = Feed(serving(range(1)))
        feed.url, feed.options = url, options
        await feed.sync(NOW)
        assert feed.values() == {digits(0)}, url


@pytest.mark.parametrize(
    "collections", [[], [{"id": "a"}, {"id": "b"}], [{"id": "a", "can_read": False}], [{"id": "../x"}]]
)
async def test_which_collection_is_never_guessed(collections):
    feed = Feed(TaxiiSimulator(collections=collections))
    feed.options = {}
    with pytest.raises(FeedTransportError, match="Name one in the option collection"):
        await feed.sync(NOW)


@pytest.mark.parametrize(
    "memory",
    [
        {"collection": "another", "last_ns": 1, "whole_ns": 1, "synced_ns": 1, "recent": ""},
        {"last_ns": NOW},
        {"recent": 5, "collection": [], "last_ns": "x"},
    ],
)
async def test_a_memory_that_is_not_of_this_collection_means_all_anew(memory):
    feed = Feed(serving(range(2)))
    feed.memory = memory
    assert not (await feed.sync(NOW)).partial


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"collektion": "x"}, "no option of taxii; known: api_root, collection"),
        ({"limit": "0"}, "limit"),
        ({"reconcile": "0h"}, "reconcile"),
        ({"overlap": "soon"}, "overlap"),
        ({"version": "first"}, "version"),
        ({"collection": "../../x"}, "collection"),
    ],
)
def test_options_that_can_not_be_are_told(options, what):
    assert what in (TaxiiExchange().check(options) or "")
    assert TaxiiExchange().check(OPTIONS | {"reconcile": "1d12h", "limit": "500"}) is None
