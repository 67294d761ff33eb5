"""Killed at a system call and started again: every file is somewhere, whole, and the records tell the truth.

By default a work is killed where that leaves something else than a kill at the call before (`kill_points`):
the most important ones at all these points, others at some of them, evenly spread; the summary says how many.
`make test-faults` kills all of them at every single system call of any kind.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fault_points import everything, kill_points, spread
from fault_scenarios import SCENARIOS, Scenario
from fault_site import Site
from fault_tracer import Event, Fault, run, strike


def begin(site: Site, scenario: Scenario) -> list[Event]:
    """The calls of a work to its end, without faults, by which the points are chosen that are struck."""
    scenario.prepare(site)
    site.keep()
    scenario.before(site)
    whole = run(lambda: scenario.work(site), record=True)
    assert whole.finished
    assert whole.raised == "", whole.text
    events = [e for e in whole.events if e.call != "mark"]
    assert whole.calls == len(events) >= scenario.floor, whole.calls
    scenario.check(site)
    return events


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_killed_at_any_call_the_next_start_puts_everything_in_order(
    scenario: Scenario, site: Site, tell: Callable[[str], None]
) -> None:
    events = begin(site, scenario)
    if everything():
        killed = kill_everywhere(site, scenario)
        tell(f"{scenario.name}: killed at each of {killed} system calls")
        assert killed >= len(events)
        return
    different = kill_points(events)
    points = spread(different, scenario.most)
    for point in points:
        site.reset()
        scenario.before(site)
        strike(lambda: scenario.work(site), Fault(point))
        check(site, scenario, f"killed at changing call {point}")
    tell(f"{scenario.name}: killed at {len(points)} of {len(different)} points that differ")


def test_a_kill_loses_nothing_with_the_vault_on_another_file_system(
    tmp_path: Path, memory: Path, tell: Callable[[str], None]
) -> None:
    """Volume and state on a disk, the vault in memory: what is copied then goes over a border."""
    site = Site(tmp_path, memory / "vault")
    site.build()
    if site.root.stat().st_dev == site.vault_directory.stat().st_dev:
        pytest.skip("the test's directory and /dev/shm are one file system here")
    scenario = next(s for s in SCENARIOS if s.name == "secure")
    events = begin(site, scenario)
    points = kill_points(events) if everything() else spread(kill_points(events), 8)
    for point in points:
        site.reset()
        strike(lambda: scenario.work(site), Fault(point))
        check(site, scenario, f"killed at changing call {point}")
    tell(f"secure, vault on another file system: killed at {len(points)} points that differ")


def kill_everywhere(site: Site, scenario: Scenario) -> int:
    """Kill at the first call, the second …, until the work comes to its end; returns how many there were."""
    point = 1
    while True:
        site.reset()
        scenario.before(site)
        killed = run(lambda: scenario.work(site), Fault(point, every_call=True))
        if killed.finished:
            return point - 1
        assert killed.killed
        check(site, scenario, f"killed at call {point}")
        point += 1


def check(site: Site, scenario: Scenario, what: str) -> None:
    try:
        scenario.at_once(site)
        scenario.check(site)
    except BaseException as e:
        e.add_note(f"{scenario.name}, {what}")
        raise
