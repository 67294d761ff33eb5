"""The laws of StopNCII's and Tech Against Terrorism's lists, each against a simulator."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from simulators import stopncii, tat
from simulators.serving import DAY, NOW, Follower, md5, pdq, read

from scanner.feeds.exchanges.stopncii import StopNciiExchange
from scanner.feeds.exchanges.tat import TatExchange
from scanner.feeds.formats.stopncii import StopNciiFormat
from scanner.feeds.formats.tat import TatFormat
from scanner.model.errors import ConfigError, FeedFormatError, FeedTransportError
from scanner.model.feeds import LISTED, Entry, ImportCounts, Removal


@pytest.fixture
async def ncii() -> AsyncIterator[stopncii.StopNcii]:
    async with stopncii.StopNcii() as made:
        yield made


@pytest.fixture
def follower(ncii: stopncii.StopNcii) -> Follower:
    return Follower(ncii, StopNciiExchange(), StopNciiFormat())


@pytest.fixture
async def terror() -> AsyncIterator[tat.Tat]:
    async with tat.Tat() as made:
        yield made


@pytest.fixture
def terror_follower(terror: tat.Tat) -> Follower:
    return Follower(terror, TatExchange(), TatFormat(), tat.USER)


def case(number: int, age: int = DAY, *more: str, **fields: Any) -> dict[str, Any]:
    return stopncii.record(md5(number), NOW - age, *more, **fields)


def terrorist(number: int, age: float = DAY, **more: Any) -> dict[str, Any]:
    return tat.record(number, NOW - age, md5(number), **more)


# StopNCII


def test_stopncii_types_statuses_and_feedback() -> None:
    feedback = [{"feedbackValue": "NotBlocked", "tags": ["nude", 3], "source": "x"}]
    records = [
        case(1),
        stopncii.record(pdq(2), NOW, "ImagePDQ", "Received", CSPFeedbacks=feedback),
        stopncii.record("x" * 4000, NOW, "VideoTMK"),
        stopncii.record("words", NOW, "Text"),
        case(5, DAY, "VideoMD5", "Unknown"),
        case(6, hashValue=None),
        case(7, lastModtimestamp=None),
    ]
    content = json.dumps({"hashRecords": records}).encode()
    counts = ImportCounts()
    items = read(StopNciiFormat(), [content], {}, counts)
    entries = [i for i in items if isinstance(i, Entry)]
    assert [e.hashes[0][0] for e in entries] == ["md5", "pdq"]
    assert entries[1].about and entries[1].about.labels == ("disputed", "nude")
    assert counts.unsupported == {"tmk": 1, "other": 1} and counts.refused == {"status": 1}
    assert counts.malformed == 2 and counts.first_malformed.startswith("hashRecords[5]: `hashValue`")
    assert not any(md5(1) in str(e.key) for e in entries)  # a key is written down; a hash is not told by it
    refusing = read(StopNciiFormat(), [content], {"refuse_disputed": "yes"}, ImportCounts())
    assert refusing[1] == Removal(entries[1].key, NOW * 10**9)


@pytest.mark.parametrize("status", ["Withdrawn", "Deleted"])
async def test_a_case_that_is_withdrawn_by_its_status_leaves_the_list(
    ncii: stopncii.StopNcii, follower: Follower, status: str
) -> None:
    ncii.tell(case(1), case(2))
    await follower.sync()
    ncii.tell(case(1, -60, "VideoMD5", status))
    ncii.clock = follower.now = NOW + 3600
    assert (await follower.sync()).partial
    assert follower.listed == [md5(2)] and follower.counts.removals == 1


async def test_stopncii_pages_are_read_while_there_are_more_and_no_token_is_kept(
    ncii: stopncii.StopNcii, follower: Follower
) -> None:
    ncii.tell(*(case(n, age=n * 1000 + 50) for n in range(10)))
    assert not (await follower.sync()).partial
    assert len(follower.listed) == 10 and len(follower.pages) == 4
    asked = ncii.asked("/FetchHashes")
    assert all((q["startTimestamp"], q["pageSize"]) == ("10", "800") for q in asked)
    assert set(follower.memory) == {"until", "fetched", "again"}
    assert follower.memory["until"] == NOW - 50  # as the last page named it
    ncii.clock = follower.now = NOW + DAY
    assert (await follower.sync()).unchanged
    assert ncii.asked("/FetchHashes")[-1]["startTimestamp"] == str(NOW - 50 - 600)


async def test_stopncii_what_became_visible_late_is_found_and_reading_twice_changes_nothing(
    ncii: stopncii.StopNcii, follower: Follower
) -> None:
    ncii.tell(case(1, 100))
    await follower.sync()
    once = dict(follower.records)
    ncii.tell(case(2, 300))
    assert not (await follower.sync()).unchanged
    assert once.items() <= follower.records.items() and len(follower.records) == 2
    assert (await follower.sync()).unchanged


async def test_stopncii_a_client_that_was_away_for_thirty_days_starts_afresh(
    ncii: stopncii.StopNcii, follower: Follower
) -> None:
    ncii.tell(case(1), case(2))
    await follower.sync()
    ncii.clock = follower.now = NOW + 29 * DAY
    ncii.tell(case(3, -28 * DAY))
    assert (await follower.sync()).partial
    ncii.clock = follower.now = NOW + 60 * DAY
    ncii.records.pop(("VideoMD5", md5(1)))  # withdrawn, and forgotten by now
    assert not (await follower.sync()).partial
    assert follower.listed == sorted([md5(2), md5(3)])


@pytest.mark.parametrize(
    ("broken", "error", "message"),
    [
        ({"token": f"0:{NOW}:t"}, FeedTransportError, "in a circle"),
        ({"named": -1}, FeedFormatError, "nextSetTimestamp"),
    ],
)
async def test_stopncii_answers_that_lead_nowhere_are_an_error(
    ncii: stopncii.StopNcii, follower: Follower, broken: dict[str, Any], error: type[Exception], message: str
) -> None:
    ncii.tell(*(case(n) for n in range(5)))
    for name, value in broken.items():
        setattr(ncii, name, value)
    with pytest.raises(error, match=message):
        await follower.sync()
    assert follower.memory == {} and len(ncii.requests) < 5


async def test_stopncii_a_cursor_in_the_servers_future_is_not_made_nor_believed(
    ncii: stopncii.StopNcii, follower: Follower
) -> None:
    ncii.tell(case(1))
    ncii.named = NOW + 900 * DAY
    await follower.sync()
    assert follower.memory["until"] == NOW
    follower.memory["until"] = NOW + 900 * DAY
    assert not (await follower.sync()).partial


async def test_stopncii_gets_its_two_keys(ncii: stopncii.StopNcii, follower: Follower) -> None:
    ncii.tell(case(1))
    ncii.keys = stopncii.KEYS
    with pytest.raises(FeedTransportError, match="401"):
        await follower.sync()
    follower.headers = dict(stopncii.KEYS)
    await follower.sync()
    assert follower.listed == [md5(1)]


# Tech Against Terrorism


def test_tat_algorithms_ideologies_and_deletions() -> None:
    records = [
        terrorist(1),
        tat.record(2, NOW, pdq(2), "PDQ", "islamist"),
        tat.record(3, NOW, "1f" * 20, "SHA-1", ""),
        tat.record(4, NOW, "x", "vPDQ"),
        terrorist(5, deleted=True),
        terrorist(6, hash_digest="12"),
        terrorist(7, id=None, hash_digest=None),
        terrorist(8, created_on="2024-01-01"),
    ]
    for content in (
        json.dumps({"results": records}),
        json.dumps(records),
    ):  # of version 2, and the older file
        counts = ImportCounts()
        items = read(TatFormat(), [content.encode()], {}, counts)
        assert [(i.hashes[0][0], i.category) for i in items if isinstance(i, Entry)] == [
            ("md5", "far-right"),
            ("pdq", "islamist"),
            ("sha1", LISTED),
            ("md5", "far-right"),
        ]
        assert Removal("5", (NOW - DAY) * 10**9) in items
        assert (counts.removals, counts.malformed, counts.unsupported) == (1, 2, {"vpdq": 1})


async def test_tat_logs_in_and_follows_the_places_to_the_last(
    terror: tat.Tat, terror_follower: Follower
) -> None:
    terror.tell(
        *(terrorist(n, age=5000) for n in range(1, 11))
    )  # of one second: the id is a part of the place
    assert not (await terror_follower.sync()).partial
    assert len(terror_follower.listed) == 10 and len(terror_follower.pages) == 4
    assert terror.log_ins == 1
    assert not any("word" in str(r.url) for r in terror.requests)
    assert terror_follower.memory["until"] == NOW - 5000


async def test_tat_a_token_that_runs_out_is_asked_for_anew_once(
    terror: tat.Tat, terror_follower: Follower
) -> None:
    terror.tell(*(terrorist(n) for n in range(1, 11)))
    terror.uses = 2
    await terror_follower.sync()
    assert len(terror_follower.listed) == 10 and terror.log_ins == 2
    terror.uses = 0
    with pytest.raises(FeedTransportError, match="refuses the token"):
        await terror_follower.sync()


async def test_tat_changes_and_deletions_are_merged_and_late_ones_found(
    terror: tat.Tat, terror_follower: Follower
) -> None:
    terror.tell(*(terrorist(n) for n in range(1, 5)))
    await terror_follower.sync()
    once = dict(terror_follower.records)
    terror.clock = terror_follower.now = NOW + DAY
    assert (await terror_follower.sync()).unchanged
    terror.tell(terrorist(1, -60, deleted=True), terrorist(9, DAY + 300))
    assert (await terror_follower.sync()).partial
    assert terror_follower.listed == sorted(md5(n) for n in (2, 3, 4, 9))
    assert {k: v for k, v in once.items() if k != "1"}.items() <= terror_follower.records.items()
    terror.clock = terror_follower.now = NOW + 40 * DAY
    assert not (await terror_follower.sync()).partial  # nobody says how long deletions are told


@pytest.mark.parametrize(
    ("checkpoint", "error", "message"),
    [("1,1", FeedTransportError, "in a circle"), ("9" * 200, FeedFormatError, "no place")],
)
async def test_tat_places_that_lead_nowhere_are_an_error(
    terror: tat.Tat, terror_follower: Follower, checkpoint: str, error: type[Exception], message: str
) -> None:
    terror.tell(*(terrorist(n) for n in range(1, 9)))
    terror.checkpoint = checkpoint
    with pytest.raises(error, match=message):
        await terror_follower.sync()
    assert len(terror.requests) < 6


async def test_tat_needs_a_user_and_a_password(terror: tat.Tat, terror_follower: Follower) -> None:
    terror_follower.authorization = "Bearer x"
    with pytest.raises(ConfigError, match="basic_file"):
        await terror_follower.sync()
    terror_follower.authorization = tat.USER
    terror.uses = 1
    terror.tell(terrorist(1))
    assert TatExchange().check({"x": "y"}) == "there is no option 'x'; known: none"
