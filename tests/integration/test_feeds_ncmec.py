"""The laws of NCMEC's hash sharing, each against a simulator of the service that would show it broken."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from simulators.ncmec import USER, Ncmec, Record, page
from simulators.serving import DAY, NOW, Follower, md5, pdq, read, status

from scanner.feeds import FormatOptions
from scanner.feeds.exchanges.ncmec import NcmecExchange
from scanner.feeds.formats.ncmec import NcmecFormat
from scanner.model.errors import ConfigError, FeedFormatError, FeedRefusedError, FeedTransportError
from scanner.model.feeds import LISTED, Entry, ImportCounts, Removal
from scanner.model.hashes import KINDS, HashKind

FORMAT = NcmecFormat()


def image(number: int, age: float = DAY, member: int = 42, **more: Any) -> Record:
    return Record(member, f"i{number}", NOW - age, more.pop("hashes", {"md5": md5(number)}), **more)


def parsed(content: bytes, **options: str) -> tuple[list[Any], ImportCounts]:
    counts = ImportCounts()
    return read(FORMAT, [content], options, counts), counts


@pytest.fixture
async def service() -> AsyncIterator[Ncmec]:
    async with Ncmec() as made:
        yield made


@pytest.fixture
def follower(service: Ncmec) -> Follower:
    return Follower(service, NcmecExchange(most_pages=30), FORMAT, USER)


# What a page says


@pytest.mark.parametrize("prefix", ["", "h:", "any.thing:"])
def test_names_count_whatever_their_prefix(prefix: str) -> None:
    video = Record(7, "v1", NOW, {"sha1": "1f" * 20}, "B2", kind="video")
    items, counts = parsed(page([image(1), video, image(2, deleted=True)], prefix=prefix))
    first, second, third = items
    assert isinstance(first, Entry)
    assert (first.hashes, first.category, first.key) == (
        (("md5", bytes.fromhex(md5(1))),),
        "A1",
        "42/i1",
    )
    assert (first.id, first.changed_ns) == ("i1", (NOW - DAY) * 10**9)
    assert first.about is not None and (first.about.source, first.about.labels) == ("Member & 42", ("image",))
    assert second == Removal("42/i2", (NOW - DAY) * 10**9)
    assert isinstance(third, Entry) and third.hashes == (("sha1", b"\x1f" * 20),)
    assert (third.category, third.about and third.about.labels) == ("B2", ("video",))
    assert (counts.entries, counts.removals) == (2, 1)


def test_a_fingerprint_told_by_address_or_empty_is_counted_and_never_a_hash() -> None:
    hashes = {"md5": md5(1), "tmk-pdqf": "@", "sha1": "", "pdq": pdq(1), "ssvh-pdna": "AAAA", "netclean": "x"}
    items, counts = parsed(page([image(1, hashes=hashes)]))
    assert [kind for kind, _ in items[0].hashes] == ["md5", "pdq"]
    assert counts.unsupported == {"linked": 1, "empty": 1, "other": 1, "netclean": 1}


@pytest.mark.parametrize("form", ["hex", "base64"])
def test_photodna_is_kept_where_a_hasher_brings_it_and_counted_as_unsupported_else(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = bytes(range(144))
    text = value.hex() if form == "hex" else base64.b64encode(value).decode()
    content = page([image(1, hashes={"pdna": text, "md5": md5(1)})])
    items, counts = parsed(content)
    assert counts.unsupported == {"photodna": 1} and len(items[0].hashes) == 1
    monkeypatch.setitem(KINDS._kinds, "photodna", HashKind("photodna", 144, exact=False))
    items, counts = parsed(content)
    assert ("photodna", value) in items[0].hashes and not counts.unsupported


def test_a_section_without_entries_has_no_time_and_is_no_error() -> None:
    content = page([])
    assert b'count="0"' in content and b"maxTimestamp" not in content
    assert parsed(content)[0] == []


def test_an_entry_without_classification_never_acts_unless_the_operator_says_so() -> None:
    content = page([image(1, classification="")])
    assert parsed(content)[0][0].category == ""
    assert parsed(content, unclassified="act")[0][0].category == LISTED
    assert LISTED in (FORMAT.default_categories or ())


def test_a_disputed_entry_is_kept_and_marked_or_left_out_and_counted() -> None:
    content = page([image(1, disputed=True), image(2)])
    content = content.replace(b"<feedback />", b"<feedback><negativeFeedback/></feedback>")  # says nothing
    items, _ = parsed(content)
    assert [i.about.labels for i in items] == [("disputed", "image"), ("image",)]
    items, counts = parsed(content, refuse_disputed="yes")
    assert items[0] == Removal("42/i1", (NOW - DAY) * 10**9) and isinstance(items[1], Entry)
    assert counts.refused == {"disputed": 1}
    with pytest.raises(ConfigError, match="yes or no"):
        parsed(content, refuse_disputed="perhaps")


def test_records_that_are_not_as_they_should_be_are_counted_and_the_rest_is_read() -> None:
    wrong = [
        image(1).xml().replace('id="42"', 'id="x"'),
        image(2).xml().replace("<id>i2</id>", ""),
        image(3, hashes={"md5": "12"}).xml(),
        image(4, hashes={}).xml(),
        image(5).xml().replace("<timestamp>", "<timestamp>x"),
    ]
    content = page([image(6)]).replace(b"</images>", "".join(wrong).encode() + b"</images>")
    items, counts = parsed(content)
    assert [i.id for i in items] == ["i6"]
    assert counts.malformed == 5 and counts.first_malformed.startswith("line 2: expected a member")
    assert md5(1) not in counts.first_malformed


BOMB = (
    b'<!DOCTYPE q [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
    b"<queryResult><images><image><id>&b;</id></image></images></queryResult>"
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB, "document type declaration"),
        (b"<queryResult>" + b"<images>" * 40, "nested deeper"),
        (b"<queryResult><images><image>" + b"<a/>" * 20_000, "elements in one record"),
        (b"<queryResult><images><image><id>" + b"x" * 100_000, "a text of more than"),
        (b"<queryResult><images x='" + b"y" * (3 << 20), "bytes without the end of a tag"),
        (b"<queryResult><!--" + b"y" * (3 << 20), "bytes without the end of a tag"),
        (page([image(1), image(2)])[:-40], "cut short or broken"),
        (b"<html><body>", "expected <queryResult>"),
        (b"", "cut short or broken"),
        (b'<?xml version="1.0" encoding="UTF-16"?><queryResult>\xff', "cut short or broken"),
    ],
)
def test_xml_that_is_cut_short_or_a_bomb_ends_at_a_limit(content: bytes, message: str) -> None:
    with pytest.raises(FeedFormatError, match=message) as caught:
        list(FORMAT.parse(io.BytesIO(content), FormatOptions(), ImportCounts()))
    assert caught.value.where.startswith("line ")


# The course of a sync


async def test_a_tombstone_takes_away_one_members_entry_only(service: Ncmec, follower: Follower) -> None:
    same = {"md5": md5("same")}
    service.records = [image(1, member=n, hashes=same) for n in (1, 2)]
    await follower.sync()
    assert follower.listed == [md5("same")] * 2
    for left, member in ((1, 1), (0, 2)):
        service.clock += DAY
        gone = replace(image(1, member=member), deleted=True, time=service.clock - 3600)
        service.records.append(gone)
        assert (await follower.sync()).partial
        assert follower.listed == [md5("same")] * left


async def test_next_pages_lie_below_the_base_path_and_need_no_other_parameters(
    service: Ncmec, follower: Follower
) -> None:
    service.records = [image(n) for n in range(10)]
    outcome = await follower.sync()
    assert not outcome.partial and len(follower.listed) == 10 and len(follower.pages) == 4
    assert all(r.path.startswith("/hashsharing/v2/") for r in service.requests)
    service.following = "/hashsharing/v2/entries?from=2026-01-01&to=2026-01-02&start=1&size=N&max=1"
    follower.memory = {}  # a server that tells the whole path is understood as well
    await follower.sync()


async def test_a_cursor_is_remembered_for_an_exhausted_range_only(service: Ncmec, follower: Follower) -> None:
    service.records = [image(n) for n in range(3)]
    await follower.sync()
    before = dict(follower.memory)
    service.clock += DAY
    service.records += [image(n, age=-3600) for n in range(3, 10)]
    ok = service.paths()["/v2/entries"]
    service.troubles = [service.paths()["/v2/status"], ok, *[status(503)] * 3]  # gone at the second page
    with pytest.raises(FeedTransportError, match="503"):
        await follower.sync()
    assert follower.memory == before
    await follower.sync()
    assert follower.listed == sorted(md5(n) for n in range(10))


@pytest.mark.parametrize("newest_first", [True, False])
async def test_of_two_states_of_one_entry_in_a_range_the_newest_counts(
    service: Ncmec, follower: Follower, newest_first: bool
) -> None:
    states = [
        image(1, age=3 * DAY),
        image(1, age=2 * DAY, deleted=True),
        image(2, age=3 * DAY, deleted=True),
        image(2, age=2 * DAY, classification="B1"),
    ]
    service.records = states[::-1] if newest_first else states
    service.size = 1
    await follower.sync()
    assert follower.listed == [md5(2)] and follower.entries[0].category == "B1"


async def test_what_became_visible_late_is_found_by_reading_a_part_of_the_time_again(
    service: Ncmec, follower: Follower
) -> None:
    service.records = [image(1)]
    await follower.sync()
    late = image(2, age=40)  # in the range that was read, but it was not there yet
    service.clock += 3600
    service.records.append(late)
    assert not (await follower.sync()).unchanged
    assert follower.listed == sorted([md5(1), md5(2)])
    service.clock += 3600
    assert (await follower.sync()).unchanged  # and is not brought for ever
    assert len(follower.listed) == 2


async def test_reading_twice_changes_nothing(service: Ncmec, follower: Follower) -> None:
    service.records = [image(n) for n in range(5)]
    await follower.sync()
    once = dict(follower.records)
    follower.memory["until"] = NOW - 2 * DAY
    assert not (await follower.sync()).unchanged
    assert follower.records == once


async def test_times_are_in_utc_whatever_the_time_zone_of_the_machine(
    service: Ncmec, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        service.records = [image(1, age=60)]
        await follower.sync()
    finally:
        monkeypatch.undo()
        time.tzset()
    assert service.ranges() == [(0, NOW - 30)]
    assert follower.entries[0].changed_ns == (NOW - 60) * 10**9


@pytest.mark.parametrize("ours", [NOW - 900 * DAY, NOW + 900 * DAY])
async def test_ranges_end_by_the_servers_clock_not_by_ours(
    service: Ncmec, follower: Follower, ours: int
) -> None:
    follower.now = ours
    service.records = [image(1)]
    await follower.sync()
    assert service.ranges() == [(0, NOW - 30)]
    service.clock += 3600
    service.records.append(image(2, age=-60))  # between the first sync and the second
    await follower.sync()
    assert follower.listed == sorted([md5(1), md5(2)])


async def test_a_cursor_in_the_servers_future_is_not_believed(service: Ncmec, follower: Follower) -> None:
    service.clock = NOW + 30 * DAY  # the server's clock was wrong
    service.records = [image(1)]
    await follower.sync()
    service.clock = NOW + DAY
    service.records = [image(2, age=-3600)]
    assert not (await follower.sync()).partial
    assert follower.listed == [md5(2)]


async def test_a_range_that_is_too_much_is_made_smaller_until_it_is_not(
    service: Ncmec, follower: Follower
) -> None:
    service.records = [image(n, age=DAY * (n + 1)) for n in range(20)]
    service.bearable = 4
    await follower.sync()
    assert len(follower.listed) == 20
    assert not follower.waits  # a smaller range is asked for at once
    assert follower.memory == {"until": NOW - 30}
    ranges = service.ranges()
    assert ranges[0] == (0, NOW - 30) and min(b - a for a, b in ranges) < 10 * DAY


async def test_an_answer_with_too_many_bytes_makes_the_range_smaller(service: Ncmec) -> None:
    service.records = [image(n, age=DAY * (n + 1)) for n in range(40)]
    service.size = 1000  # it heeds no page size
    follower = Follower(service, NcmecExchange(most_bytes=8192), FORMAT, USER)
    await follower.sync()
    assert len(follower.listed) == 40 and max(map(len, follower.pages)) <= 8192
    service.records = [image(n) for n in range(40)]  # of one second: no smaller range would do
    follower.memory = {}
    with pytest.raises(FeedRefusedError, match="more than 8192 bytes"):
        await follower.sync()


async def test_a_range_that_announces_too_much_is_not_read_to_its_end(
    service: Ncmec, follower: Follower
) -> None:
    service.records = [image(n, age=60 * (n + 2)) for n in range(8)]
    service.announced = 500_000_000
    await follower.sync()
    assert len(follower.listed) == 8
    of_whole = [q for q in service.asked("/entries") if q["from"].startswith("1970") and "start" in q]
    assert not of_whole


async def test_a_server_in_trouble_is_asked_again_and_in_the_end_told_of(
    service: Ncmec, follower: Follower
) -> None:
    service.bearable = -1  # even an empty range
    with pytest.raises(FeedTransportError, match="500"):
        await follower.sync()
    assert follower.waits and len(service.requests) < 40
    assert follower.memory == {}


async def test_too_many_requests_are_answered_with_the_wait_the_server_wants(
    service: Ncmec, follower: Follower
) -> None:
    service.records = [image(1)]
    service.troubles = [service.paths()["/v2/status"], status(429, Retry_After="17")]
    await follower.sync()
    assert follower.listed == [md5(1)] and 17 <= follower.waits[0] < 20


@pytest.mark.parametrize(
    ("following", "message"),
    [
        ("/v2/entries?from=2026-01-01&to=2026-01-02&start=1&size=1&max=1", "in a circle"),
        ("/v2/entries?from=2026-01-01&to=2026-01-02&start=1&size=N&max=1", "don't end"),
        ("//elsewhere.example/v2/entries?start=1", "no path below"),
        ("https://elsewhere.example/v2/entries?start=1", "no path below"),
        ("http://[", "no path below"),
    ],
)
async def test_pages_that_go_in_a_circle_or_on_for_ever_or_elsewhere_are_an_error(
    service: Ncmec, follower: Follower, following: str, message: str
) -> None:
    service.records = [image(n, age=DAY) for n in range(9)]
    service.following = following
    if "N" in following or "circle" in message:
        service.records += [
            Record(1, f"x{n}", 1767225600 + n, {"md5": md5(n)}) for n in range(9)
        ]  # in the range named there
    with pytest.raises(FeedTransportError, match=message):
        await follower.sync()
    assert len(service.requests) < 40


async def test_only_chosen_members_and_days_are_asked_for(service: Ncmec, follower: Follower) -> None:
    service.records = [image(1), image(2, member=7), image(3, member=7, age=60 * DAY)]
    follower.options = {"members": "7, 8", "since": "2026-09-01"}
    await follower.sync()
    assert follower.listed == [md5(2)]
    assert follower.counts.refused == {"other_member": 1}
    assert service.ranges()[0][0] == 1788220800
    follower.options, follower.memory = {"since": "2026-12-31"}, {}
    with pytest.raises(ConfigError, match="since"):
        await follower.sync()


async def test_an_entry_that_becomes_disputed_leaves_the_list(service: Ncmec, follower: Follower) -> None:
    follower.options = {"refuse_disputed": "yes"}
    service.records = [image(1), image(2)]
    await follower.sync()
    service.clock += DAY
    service.records.append(image(1, age=-3600, disputed=True))
    await follower.sync()
    assert follower.listed == [md5(2)]


async def test_a_first_sync_may_be_spread_over_several(service: Ncmec, follower: Follower) -> None:
    service.records = [image(n, age=DAY * (n + 1)) for n in range(20)]
    service.bearable, follower.options = 4, {"pages_per_sync": "3"}
    partial, sizes = [], []
    for _ in range(30):
        outcome = await follower.sync()
        partial.append(outcome.partial)
        sizes.append(len(follower.listed))
        if follower.memory["until"] == NOW - 30:
            break
    assert sizes[-1] == 20 and sizes == sorted(sizes) and len(sizes) > 2
    assert partial == [False, *[True] * (len(sizes) - 1)]


async def test_a_first_sync_that_is_spread_does_not_end_before_the_first_entry(
    service: Ncmec, follower: Follower
) -> None:
    service.records = [image(n, age=60 * (n + 2)) for n in range(20)]
    service.bearable, follower.options = 4, {"pages_per_sync": "1"}
    await follower.sync()
    assert follower.listed and follower.memory["until"] < NOW - 120
    before, service.bearable, service.size = follower.memory["until"], 1000, 1
    ok = service.paths()
    service.troubles = [ok["/v2/status"], *[ok["/v2/entries"]] * 2, status(502)]  # it fails on the way
    await follower.sync()
    assert follower.memory["until"] > before  # pages of a range that was given up don't use up the turn


async def test_a_service_that_refuses_us_is_told_of_and_nothing_else_asked(service: Ncmec) -> None:
    follower = Follower(service, NcmecExchange(), FORMAT, "Basic eDp5")
    with pytest.raises(FeedTransportError, match="401"):
        await follower.sync()
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"since": "yesterday"}, "since: expected a day"),
        ({"members": "a"}, "members: expected whole numbers"),
        ({"refuse_disputed": "1"}, "refuse_disputed: expected yes or no"),
        ({"pages_per_sync": "0"}, "pages_per_sync: expected a whole number from 1"),
        ({"sinse": "2020-01-01"}, "no option 'sinse'; known: members"),
    ],
)
def test_options_are_checked_and_the_key_is_named(options: dict[str, str], problem: str) -> None:
    assert problem in (NcmecExchange().check(MappingProxyType(options)) or "")
