"""The laws of ThreatExchange's updates, each against a simulator that would show it broken."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from simulators.serving import DAY, NOW, Follower, md5, pdq, read
from simulators.threatexchange import GROUP, TOKEN, USER, ThreatExchange, indicator, opinion

from scanner.feeds.exchanges.threatexchange import ThreatExchangeExchange
from scanner.feeds.formats.threatexchange import ThreatExchangeFormat
from scanner.model.errors import FeedFormatError, FeedTransportError
from scanner.model.feeds import Entry, ImportCounts, Removal

FORMAT = ThreatExchangeFormat()


def hash_of(number: int, age: int = DAY, *opinions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return indicator(number, NOW - age, md5(number), "HASH_MD5", *opinions, **more)


def parsed(*updates: dict[str, Any], **options: str) -> tuple[list[Any], ImportCounts]:
    counts = ImportCounts()
    return read(FORMAT, [json.dumps({"data": updates}).encode()], options, counts), counts


@pytest.fixture
async def service() -> AsyncIterator[ThreatExchange]:
    async with ThreatExchange() as made:
        yield made


@pytest.fixture
def follower(service: ThreatExchange) -> Follower:
    return Follower(service, ThreatExchangeExchange(), FORMAT, USER, {"privacy_group": GROUP})


# What a page says


def test_types_are_hash_kinds_and_the_hash_of_an_address_is_none() -> None:
    told = {
        "HASH_MD5": md5(1),
        "HASH_VIDEO_MD5": md5(2).upper(),
        "HASH_SHA1": "1f" * 20,
        "HASH_VIDEO_SHA256": pdq(4),
        "HASH_PDQ": pdq(5),
        "HASH_TMK": "x" * 5000,
        "HASH_URL_MD5": md5(7),
        "URI": "https://example.org/" + "x" * 3000,
        "TEXT_STRING": "words",
    }
    items, counts = parsed(*(indicator(n, NOW, v, t) for n, (t, v) in enumerate(told.items())))
    kinds = [item.hashes[0][0] for item in items if isinstance(item, Entry)]
    assert kinds == ["md5", "md5", "sha1", "sha256", "pdq"]
    assert counts.unsupported == {"tmk": 1, "other": 3} and not counts.malformed
    assert [i.key for i in items[5:]] == ["5", "6", "7", "8"]  # what was said of them before is taken back


def test_tags_are_labels_in_both_of_their_forms() -> None:
    tags = {"data": [{"id": "1", "text": "media_type_video"}]}
    items, _ = parsed(hash_of(1, DAY, opinion(1, tags=tags), opinion(2, tags=["b", "a", None])))
    assert items[0].about.labels == ("a", "b", "media_type_video")
    assert (items[0].about.source, items[0].about.added_ns) == ("1", 1593628275 * 10**9)
    assert (items[0].id, items[0].category, items[0].changed_ns) == ("1", "MALICIOUS", (NOW - DAY) * 10**9)


@pytest.mark.parametrize(
    "gone",
    [
        {"should_delete": True},
        {"should_delete": "true"},
        {"descriptors": None},
        {"descriptors": {"data": []}},
    ],
)
def test_a_deletion_is_said_outright_or_by_the_absence_of_every_opinion(gone: dict[str, Any]) -> None:
    items, counts = parsed(hash_of(1, **gone))
    assert items == [Removal("1", (NOW - DAY) * 10**9)] and counts.removals == 1
    update = hash_of(1)
    del update["descriptors"]
    assert parsed(update)[0] == items


DISAGREES = {"reactions": [{"key": "DISAGREE_WITH_TAGS", "value": "8, 9"}]}
HELPED = {"reactions": [{"key": "HELPFUL", "value": "7"}, {"key": "DISAGREE_WITH_TAGS", "value": "7"}]}
SPLIT = (opinion(1), opinion(2), opinion(3, "NON_MALICIOUS"))


@pytest.mark.parametrize(
    ("opinions", "options", "kept", "reason"),
    [
        ((opinion(1),), {}, True, ""),
        ((opinion(1, "SUSPICIOUS"),), {}, False, "status"),
        ((opinion(1, "UNKNOWN"), opinion(2)), {}, True, ""),
        ((opinion(1, "SUSPICIOUS"),), {"statuses": "MALICIOUS,SUSPICIOUS"}, True, ""),
        ((opinion(1), opinion(2, "NON_MALICIOUS")), {}, False, "disputed"),
        ((opinion(1, **DISAGREES),), {}, False, "disputed"),
        ((opinion(1, **HELPED),), {"opinions": "unanimous"}, True, ""),
        ((opinion(1, **DISAGREES), opinion(8), opinion(9)), {}, True, ""),
        (SPLIT, {}, True, ""),
        (SPLIT, {"opinions": "unanimous"}, False, "disputed"),
        ((opinion(1, **DISAGREES),), {"opinions": "any"}, True, ""),
    ],
)
def test_opinions_are_weighed_as_the_operator_chose(
    opinions: tuple[dict[str, Any], ...], options: dict[str, str], kept: bool, reason: str
) -> None:
    items, counts = parsed(hash_of(1, DAY, *opinions), **options)
    assert isinstance(items[0], Entry) is kept and items[0].key == "1"
    assert counts.refused == ({reason: 1} if reason else {})


def test_records_that_are_not_as_they_should_be_are_counted_and_the_rest_is_read() -> None:
    items, counts = parsed(
        hash_of(1, last_updated="yesterday"),
        hash_of(2, indicator="12"),
        hash_of(3) | {"id": None, "type": None},
        hash_of(4),
    )
    assert [i.id for i in items] == ["4"]
    assert counts.malformed == 3 and counts.first_malformed.startswith("data[0]: expected a time")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"data":[' + b"[" * 100, "expected an object"),
        (b'{"data":[{"a":' + b"[" * 200_000, "nested deeper"),
        (b'{"data":[{"a":"' + b"x" * (9 << 20), "without the end of a record"),
        (b'{"data":{}}', "expected a list"),
        (b'{"paging":{"data":[]}}', "expected a list `data`, found none"),
        (b'{"data":[],"data":[]}', "twice"),
        (b'{"data":[{"id":"1"}', "cut short or broken"),
        (b'"data"', "a JSON object or list"),
        (b"", "cut short or broken"),
    ],
)
def test_json_that_is_cut_short_or_a_bomb_ends_at_a_limit(content: bytes, message: str) -> None:
    with pytest.raises(FeedFormatError, match=message) as caught:
        read(FORMAT, [content], {}, ImportCounts())
    assert caught.value.where


# The course of a sync


async def test_pages_are_followed_to_the_last_and_the_token_stays_out_of_addresses(
    service: ThreatExchange, follower: Follower
) -> None:
    service.tell(*(hash_of(n, age=100 * n) for n in range(10)))
    outcome = await follower.sync()
    assert not outcome.partial and follower.listed == sorted(md5(n) for n in range(10))
    assert len(follower.pages) == 4
    assert not any(TOKEN in str(r.url) or "access_token" in r.query for r in service.requests)
    assert follower.memory["until"] == NOW  # the latest change, by the server's clock
    assert TOKEN not in json.dumps(follower.memory)


async def test_changes_and_tombstones_since_the_last_time_are_merged(
    service: ThreatExchange, follower: Follower
) -> None:
    service.tell(*(hash_of(n) for n in range(4)))
    await follower.sync()
    service.clock = follower.now = NOW + DAY
    service.tell(
        hash_of(1, -60, should_delete=True), hash_of(2, -60, opinion(1, "NON_MALICIOUS")), hash_of(9, -60)
    )
    outcome = await follower.sync()
    assert outcome.partial and len(follower.pages) == 2  # two of the list are in the overlap and come again
    assert follower.listed == sorted(md5(n) for n in (0, 3, 9))


async def test_a_client_that_was_away_for_longer_than_deletions_are_kept_starts_afresh(
    service: ThreatExchange, follower: Follower
) -> None:
    service.tell(hash_of(1), hash_of(2))
    await follower.sync()
    service.tell(hash_of(1, -DAY, should_delete=True))
    service.clock = follower.now = NOW + 84 * DAY
    assert (await follower.sync()).partial
    assert follower.listed == [md5(2)]
    service.tell(hash_of(2, -85 * DAY, should_delete=True), hash_of(3, -85 * DAY))
    service.clock = follower.now = NOW + (84 + 91) * DAY  # the tombstone is forgotten
    assert not (await follower.sync()).partial
    assert follower.listed == [md5(3)]


async def test_what_lies_in_the_overlap_is_read_again_and_is_no_news(
    service: ThreatExchange, follower: Follower
) -> None:
    service.tell(hash_of(1, 300), hash_of(2, 200), hash_of(3, 5000))
    await follower.sync()
    once = dict(follower.records)
    service.clock = follower.now = NOW + 3600
    assert (await follower.sync()).unchanged
    assert service.asked("/")[-1]["start_time"] == str(NOW - 200 - 600)
    service.tell(hash_of(4, 250))  # it became visible late
    assert not (await follower.sync()).unchanged
    assert follower.listed == sorted(md5(n) for n in (1, 2, 3, 4))
    assert once.items() <= follower.records.items()  # reading twice changed nothing
    service.tell(hash_of(5, 200))  # late as well, and of a second of which another was known
    assert not (await follower.sync()).unchanged
    assert (await follower.sync()).unchanged


@pytest.mark.parametrize("ours", [NOW - 20 * DAY, NOW + 20 * DAY])
async def test_the_cursor_is_the_servers_time_whatever_our_clock_says(
    service: ThreatExchange, follower: Follower, ours: int
) -> None:
    follower.now = ours
    service.tell(hash_of(1))
    await follower.sync()
    service.clock += 3600
    service.tell(hash_of(2, -60))
    assert (await follower.sync()).partial
    assert follower.listed == sorted([md5(1), md5(2)])


async def test_after_a_clock_went_back_all_is_fetched_anew(
    service: ThreatExchange, follower: Follower
) -> None:
    service.tell(hash_of(1))
    await follower.sync()
    follower.now = NOW - 10 * DAY  # ours
    assert not (await follower.sync()).partial
    service.clock = NOW + 20 * DAY  # theirs was ahead, and is corrected
    service.updates.clear()
    service.tell(hash_of(2, -20 * DAY))
    await follower.sync()
    service.clock = NOW + DAY
    service.updates.clear()
    service.tell(hash_of(3, -3600))
    assert not (await follower.sync()).partial
    assert follower.listed == [md5(3)]


@pytest.mark.parametrize(
    ("following", "message"),
    [
        (f"/v9.0/{GROUP}/threat_updates/", "no address"),
        ("SAME", "in a circle"),
        ("https://elsewhere.example/x", "another host"),
        ("http://[", "no address"),
    ],
)
async def test_a_next_page_that_goes_round_or_elsewhere_is_an_error(
    service: ThreatExchange, follower: Follower, following: str, message: str
) -> None:
    service.tell(*(hash_of(n) for n in range(5)))
    same = f"{service.url}/{GROUP}/threat_updates/?limit=1&fields=descriptors%7Bid%7D"
    service.following = same if following == "SAME" else following
    with pytest.raises(FeedTransportError, match=message):
        await follower.sync()
    assert len(service.requests) < 4 and follower.memory == {}


async def test_only_the_chosen_types_are_asked_for(service: ThreatExchange, follower: Follower) -> None:
    service.tell(hash_of(1), indicator(2, NOW - 60, pdq(2), "HASH_PDQ"))
    follower.options |= {"types": "HASH_PDQ, HASH_SHA1", "page_size": "50"}
    await follower.sync()
    assert follower.listed == [pdq(2)]
    assert service.asked("/")[0]["limit"] == "50"


def test_options_are_checked_and_the_key_is_named() -> None:
    check = ThreatExchangeExchange().check
    assert check({}) == "privacy_group is missing"
    assert check({"privacy_group": "x"}) == "privacy_group: expected whole numbers with commas between them"
    assert "opinions: expected majority or any" in (check({"privacy_group": "1", "opinions": "x"}) or "")
