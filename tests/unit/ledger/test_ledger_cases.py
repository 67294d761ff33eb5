"""Cases: kept whole, found again, never multiplied by scanning again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scanner.cli.hits import full_json
from scanner.cli.reporters import case_json
from scanner.ledger import Ledger
from scanner.ledger.codec import read_case
from scanner.model.errors import LedgerError, NotFoundError
from scanner.model.hashes import Digests, PerceptualHash
from scanner.model.matches import Action, Case, CaseState, Match

DIGESTS = Digests(
    size=4711,
    media_type="image/jpeg",
    exact={"md5": b"\x01" * 16, "sha1": b"\x02" * 20, "sha256": b"\x03" * 32},
    perceptual=(
        PerceptualHash("pdq", "full", b"\xaa" * 32, 100),
        PerceptualHash("pdq", "grid512", b"\xab" * 32, 97),
    ),
    problem="",
)
MATCH = Match("sha256", "police", "17", "1")
OTHER = Match(
    "pdq", "hotline", "#9", "A2", distance=12, view="grid512", quality=97, exact=False,
    severity="high", labels=("video", "é"), source="https://hotline.example/9",
    value=b"\xab" * 32, views=3,
)  # fmt: skip
CASE = Case(
    id="018f00000000aaaa0001",
    opened_ns=1_000,
    updated_ns=1_000,
    volume="web",
    root=b"/srv/w\xffw",
    path=b"customer/\xe9t\xe9\n.jpg",
    shown_as="/srv/w\udcffw",
    customer="customer",
    size=4711,
    mtime_ns=-5,
    digests=DIGESTS,
    match=MATCH,
    others=(OTHER,),
    action=Action.REPORTED,
    reason="feed says report",
    state=CaseState.OPEN,
)


def again(**changes: object) -> Case:
    """The same file met by a later scan."""
    return replace(CASE, id="018f0000000fffff0002", opened_ns=2_000, updated_ns=2_000, **changes)  # type: ignore[arg-type]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite") as opened:
        yield opened


def types(ledger: Ledger) -> list[str]:
    return [e.type for e in ledger.events()]


def test_a_case_comes_back_whole_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        assert ledger.open_case(CASE) == (CASE, True)
    with Ledger.open(path, read_only=True) as ledger:
        assert ledger.get(CASE.id) == CASE


def test_what_a_publisher_tells_stands_in_an_event_only_where_it_tells_something(ledger: Ledger) -> None:
    ledger.open_case(CASE)
    (event,) = [e for e in ledger.events() if e.type == "case_opened"]
    case = event.payload
    assert set(case["match"]) == {
        "kind", "feed", "entry", "category", "distance", "view", "quality", "exact",
    }  # fmt: skip
    (other,) = case["others"]
    assert (other["severity"], other["labels"]) == ("high", ["video", "é"])
    for wrong in ({"labels": "ab"}, {"labels": [1]}, {"severity": 3}, {"other": ""}):
        with pytest.raises(LedgerError):
            read_case(json.dumps({**case, "match": {**case["match"], **wrong}}))


def test_a_hit_in_json_tells_what_the_publisher_tells() -> None:
    told = {"severity": "high", "labels": ["video", "é"], "source": "https://hotline.example/9"}
    shown = full_json(replace(CASE, match=OTHER, others=(OTHER, MATCH)))
    for match in (shown["match"], shown["others"][0]):  # type: ignore[index]
        assert {k: match[k] for k in told} == told
    assert not told.keys() & shown["others"][1].keys()  # type: ignore[index]
    assert not told.keys() & case_json(CASE, b"/x")["match"].keys()


def test_the_same_content_at_the_same_path_is_the_same_case_and_no_event(ledger: Ledger) -> None:
    ledger.open_case(CASE)
    head = ledger.head()
    assert ledger.open_case(again(mtime_ns=99)) == (CASE, False)
    assert ledger.head() == head


@pytest.mark.parametrize(
    "changes",
    [
        {"volume": "mail"},
        {"path": b"elsewhere.jpg"},
        {"digests": DIGESTS._replace(exact={**DIGESTS.exact, "sha256": b"\x04" * 32})},
    ],
)
def test_another_volume_path_or_content_is_another_case(ledger: Ledger, changes: dict[str, object]) -> None:
    ledger.open_case(CASE)
    assert ledger.open_case(again(**changes))[1]
    assert len(ledger.list()) == 2


def test_a_case_met_again_with_news_keeps_its_id_state_and_vault_item(ledger: Ledger) -> None:
    ledger.open_case(CASE)
    ledger.set_action(CASE.id, Action.QUARANTINED, "exact match", "q1", 1_100)
    ledger.resolve(CASE.id, CaseState.CONFIRMED, "seen by K. M.", "uid 7", 1_200)
    found, new = ledger.open_case(again(action=Action.FAILED, reason="securing", others=()))
    assert not new
    assert found == replace(
        CASE,
        updated_ns=2_000,
        others=(),
        action=Action.FAILED,
        reason="securing",
        state=CaseState.CONFIRMED,
        note="seen by K. M.",
        quarantine_id="q1",
    )
    assert types(ledger) == ["case_opened", "case_acted", "case_resolved", "case_seen"]


def test_a_file_that_can_never_be_secured_does_not_fill_the_ledger(ledger: Ledger) -> None:
    for scan in range(5):
        case, _ = ledger.open_case(again(action=Action.FAILED, reason="securing"))
        ledger.set_action(case.id, Action.FAILED, "immutable", "", 3_000 + scan)
    assert types(ledger) == ["case_opened", "case_acted"]
    assert ledger.list()[0].reason == "immutable"


def test_a_list_that_only_renumbers_its_entries_is_no_news(ledger: Ledger) -> None:
    ledger.open_case(CASE)
    ledger.open_case(again(others=(replace(OTHER, entry="#10"),)))
    assert types(ledger) == ["case_opened"]
    ledger.open_case(again(others=(replace(OTHER, distance=11),)))
    assert types(ledger) == ["case_opened", "case_seen"]


def test_the_strongest_exact_digest_stands_for_the_content_where_sha256_was_not_hashed(
    ledger: Ledger,
) -> None:
    weak = DIGESTS._replace(exact={"md5": b"\x01" * 16, "sha1": b"\x02" * 20})
    ledger.open_case(replace(CASE, digests=weak))
    assert not ledger.open_case(again(digests=weak._replace(exact={"sha1": b"\x02" * 20})))[1]


def test_a_case_without_exact_digests_is_one_case_for_its_path_and_can_be_no_exception(
    ledger: Ledger,
) -> None:
    blurry = DIGESTS._replace(exact={})
    ledger.open_case(replace(CASE, digests=blurry))
    assert not ledger.open_case(again(digests=blurry))[1]
    with pytest.raises(LedgerError, match="needs an exact digest"):
        ledger.add_exception(blurry, CASE.id, "", "uid 0", 1)
    assert not ledger.is_exception(blurry)


def test_setting_an_action_twice_is_one_event_and_an_empty_vault_id_keeps_the_item(ledger: Ledger) -> None:
    ledger.open_case(CASE)
    ledger.set_action(CASE.id, Action.QUARANTINED, "exact match", "q1", 1_100)
    ledger.set_action(CASE.id, Action.QUARANTINED, "exact match", "q1", 1_200)
    case = ledger.set_action(CASE.id, Action.FAILED, "vanished", quarantine_id="", now_ns=1_300)
    assert (case.quarantine_id, case.updated_ns) == ("q1", 1_300)
    assert types(ledger) == ["case_opened", "case_acted", "case_acted"]


def test_a_unique_beginning_of_an_id_finds_the_case_and_others_are_told_apart(ledger: Ledger) -> None:
    ledger.open_case(CASE)
    twin = replace(CASE, id="018f00000000aaaa0002", path=b"twin")
    ledger.open_case(twin)
    assert ledger.get("018f00000000aaaa0002") == twin
    assert ledger.get(CASE.id) == CASE
    with pytest.raises(NotFoundError, match=f"several cases begin so: {CASE.id}, {twin.id}"):
        ledger.get("018f00")
    with pytest.raises(NotFoundError, match="6 characters or more"):
        ledger.get("018f0")
    with pytest.raises(NotFoundError, match="no such case"):
        ledger.get("ffffff")


@pytest.mark.parametrize("verb", ["set_action", "resolve", "add_exception"])
def test_nothing_is_recorded_about_a_case_that_is_not_there(ledger: Ledger, verb: str) -> None:
    arguments = {
        "set_action": ("nope", Action.FAILED, "", "", 1),
        "resolve": ("nope", CaseState.CONFIRMED, "", "uid 0", 1),
        "add_exception": (DIGESTS, "nope", "", "uid 0", 1),
    }
    with pytest.raises(NotFoundError):
        getattr(ledger, verb)(*arguments[verb])
    assert ledger.head().seq == 0


def test_lists_and_counts_tell_what_is_still_in_its_place(ledger: Ledger) -> None:
    for n, (action, state) in enumerate(
        [
            (Action.REPORTED, CaseState.OPEN),
            (Action.FAILED, CaseState.CONFIRMED),
            (Action.QUARANTINED, CaseState.OPEN),
            (Action.REPORTED, CaseState.FALSE_POSITIVE),
        ]
    ):
        ledger.open_case(
            replace(CASE, id=f"case-{n}", path=b"%d" % n, opened_ns=n, action=action, state=state)
        )
    assert [c.id for c in ledger.list()] == ["case-3", "case-2", "case-1", "case-0"]
    assert [c.id for c in ledger.list(limit=2, offset=1)] == ["case-2", "case-1"]
    assert [c.id for c in ledger.list(unsecured=True)] == ["case-1", "case-0"]
    assert [c.id for c in ledger.list(CaseState.OPEN, unsecured=True)] == ["case-0"]
    assert ledger.count_unsecured() == 2
    assert ledger.counts()[CaseState.OPEN, Action.QUARANTINED] == 1
    assert sum(ledger.counts().values()) == 4


def test_an_exception_holds_for_the_content_anywhere_and_for_no_other(ledger: Ledger) -> None:
    ledger.open_case(CASE)
    ledger.add_exception(DIGESTS, CASE.id, "a holiday", "uid 0 (root)", 5)
    ledger.add_exception(DIGESTS, CASE.id, "a holiday, again", "uid 0 (root)", 6)
    assert ledger.is_exception(Digests(1, "", {"sha256": b"\x03" * 32}))
    # An equal md5 alone is no proof of equal content, so it is no exception.
    assert not ledger.is_exception(Digests(1, "", {"md5": b"\x01" * 16, "sha256": b"\x05" * 32}))
    (record,) = ledger.exceptions()
    assert (record.kind, record.note, record.actor, record.at_ns) == (
        "sha256",
        "a holiday",
        "uid 0 (root)",
        5,
    )


def test_confirming_a_case_takes_back_its_exception(ledger: Ledger) -> None:
    ledger.open_case(CASE)
    ledger.add_exception(DIGESTS, CASE.id, "a mistake", "uid 0", 5)
    ledger.resolve(CASE.id, CaseState.FALSE_POSITIVE, "a mistake", "uid 0", 6)
    ledger.resolve(CASE.id, CaseState.CONFIRMED, "looked again", "uid 0", 7)
    assert not ledger.is_exception(DIGESTS)
    assert types(ledger)[-2:] == ["case_resolved", "exception_removed"]


def test_events_tell_who_did_what_to_a_case_in_order(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite", actor="daemon") as ledger:
        ledger.open_case(CASE)
        ledger.engage_brake("elsewhere", 2)
        ledger.note("called the hotline", "uid 7 (km)", 3, CASE.id)
        mine = ledger.events(case_id=CASE.id)
        assert [(e.seq, e.type, e.actor) for e in mine] == [
            (1, "case_opened", "daemon"),
            (3, "note", "uid 7 (km)"),
        ]
        assert [e.seq for e in ledger.events(after=1, limit=1)] == [2]
