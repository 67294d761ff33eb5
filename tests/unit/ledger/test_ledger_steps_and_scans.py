"""Steps, scans and the brake."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scanner.ledger import BrakeState, Ledger
from scanner.model.errors import LedgerError
from scanner.model.hashes import Digests
from scanner.model.matches import Action, Case, CaseState, Match
from scanner.model.steps import Step, StepJournal, StepKind, StepState

STEP = Step(
    "s1", StepKind.SECURE, "case-1", "q1", "owner", 50, {"path": "YQ==", "inode": 1 << 63, "uid": None}
)


def a_case(case_id: str) -> Case:
    return Case(
        id=case_id, opened_ns=1, updated_ns=1, volume="web", root=b"/srv", path=b"a.jpg", shown_as="/srv",
        customer="", size=1, mtime_ns=1, digests=Digests(1, "", {"sha256": b"s" * 32}),
        match=Match("sha256", "list", "1", ""), others=(), action=Action.FAILED, reason="securing",
        state=CaseState.OPEN,
    )  # fmt: skip


class FixedClock:
    def now_ns(self) -> int:
        return 777


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite", clock=FixedClock()) as opened:
        yield opened


def test_begun_steps_are_open_oldest_first_until_they_are_finished(ledger: Ledger) -> None:
    journal: StepJournal = ledger
    journal.begin(STEP)
    older = replace(STEP, id="s2", kind=StepKind.RESTORE, started_ns=40)
    journal.begin(older)
    assert journal.open_steps() == [older, STEP]
    journal.finish("s2", StepState.UNDONE, "exists")
    assert journal.open_steps() == [STEP]
    finished = ledger.events()[-1]
    assert (finished.at_ns, finished.payload["outcome"]) == (777, "exists")


def test_a_step_is_begun_once_and_finished_once(ledger: Ledger) -> None:
    ledger.begin(STEP)
    with pytest.raises(LedgerError):
        ledger.begin(STEP)
    ledger.finish("s1", StepState.DONE, "")
    with pytest.raises(LedgerError, match="finished before, as done"):
        ledger.finish("s1", StepState.UNDONE, "")
    assert ledger.head().seq == 2


@pytest.mark.parametrize(("step_id", "state"), [("unknown", StepState.DONE), ("s1", StepState.INTENT)])
def test_finishing_what_was_never_begun_or_without_an_end_is_misuse(
    ledger: Ledger, step_id: str, state: StepState
) -> None:
    ledger.begin(STEP)
    with pytest.raises(RuntimeError):
        ledger.finish(step_id, state, "")
    assert ledger.open_steps() == [STEP]


def test_the_brake_keeps_its_first_reason_until_it_is_released(ledger: Ledger) -> None:
    assert ledger.brake() is None
    assert ledger.engage_brake("900 hits among 1000 files on volume w\udcff", 10)
    assert not ledger.engage_brake("more", 11)
    assert ledger.brake() == BrakeState("900 hits among 1000 files on volume w\udcff", 10)
    assert ledger.release_brake("uid 0 (root)", 12)
    assert not ledger.release_brake("uid 0 (root)", 13)
    assert ledger.brake() is None
    assert [e.type for e in ledger.events()] == ["brake_engaged", "brake_released"]


def test_the_last_and_the_last_complete_scan_of_each_volume_are_told(ledger: Ledger) -> None:
    ledger.scan_started("a", "web", "full", 1)
    ledger.scan_finished("a", {"files": 3, "skipped": {"own": 1}}, complete=True, now_ns=2)
    ledger.scan_started("b", "web", "normal", 3)
    ledger.scan_finished("b", {"files": 2}, complete=False, now_ns=4)
    ledger.scan_started("c", "mail\udcff", "normal", 5)
    last = ledger.last_scans()
    assert set(last) == {"web", "mail\udcff"}
    complete = last["web"].last_complete
    assert complete is not None and (complete.id, complete.counts["skipped"]) == ("a", {"own": 1})
    assert (last["web"].last.id, last["web"].finished_ns) == ("b", 4)
    assert (last["mail\udcff"].finished_ns, last["mail\udcff"].last_complete) == (0, None)


def test_an_interrupted_scan_has_not_come_to_its_end(ledger: Ledger) -> None:
    ledger.scan_started("a", "web", "full", 1)
    ledger.scan_finished("a", {"interrupted": True}, complete=False, now_ns=2)
    assert ledger.last_scans()["web"].finished_ns == 0


def test_a_scan_ends_once_and_only_if_it_began(ledger: Ledger) -> None:
    ledger.scan_started("a", "web", "full", 1)
    ledger.scan_finished("a", {}, complete=True, now_ns=2)
    for scan_id in ("a", "b"):
        with pytest.raises(RuntimeError):
            ledger.scan_finished(scan_id, {}, complete=False, now_ns=3)


def test_a_step_is_untold_from_its_end_until_its_case_is_told(ledger: Ledger) -> None:
    case = a_case("case-1")
    ledger.open_case(case)
    assert ledger.untold_steps() == []
    ledger.begin(STEP)
    assert ledger.untold_steps() == []
    ledger.finish(STEP.id, StepState.DONE, "secured")
    assert [(s.id, s.state) for s in ledger.untold_steps()] == [(STEP.id, StepState.DONE)]
    ledger.set_action(case.id, Action.QUARANTINED, "policy", STEP.quarantine_id, 60)
    assert ledger.untold_steps() == []


def test_of_a_case_told_of_an_older_step_the_newer_one_is_untold(ledger: Ledger) -> None:
    case = a_case("case-1")
    ledger.open_case(case)
    for number, state in enumerate((StepState.UNDONE, StepState.DONE)):
        step = replace(STEP, id=f"s{number}")
        ledger.begin(step)
        ledger.finish(step.id, state, "ended")
        if state is StepState.UNDONE:
            ledger.set_action(case.id, Action.FAILED, "vault_full", "", 60)
    assert [s.id for s in ledger.untold_steps()] == ["s1"]
