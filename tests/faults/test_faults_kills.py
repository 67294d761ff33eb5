"""Killed at a system call and started again: every file is somewhere, whole, and the records tell the truth.

By default each work is killed at every call that changes a file system, of a row of equal calls (a database
writes page after page) at the first and the last. `make test-faults` kills at every single call of any kind.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fault_points import everything, points_of
from fault_scenarios import SCENARIOS, Scenario
from fault_site import Site
from fault_tracer import Fault, run, strike


def count(site: Site, scenario: Scenario) -> list[int]:
    """The points at which a work is struck; the work itself must come to its end without faults."""
    scenario.prepare(site)
    site.keep()
    scenario.before(site)
    whole = run(lambda: scenario.work(site), record=True)
    assert whole.finished
    assert whole.raised == "", whole.text
    assert whole.calls == len(whole.events) >= scenario.floor, whole.calls
    scenario.check(site)
    return points_of(whole.events)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_killed_at_any_call_the_next_start_puts_everything_in_order(
    scenario: Scenario, site: Site, tell: Callable[[str], None]
) -> None:
    points = count(site, scenario)
    if everything():
        killed = kill_everywhere(site, scenario)
        tell(f"{scenario.name}: killed at each of {killed} system calls")
        assert killed >= len(points)
        return
    for point in points:
        site.reset()
        scenario.before(site)
        strike(lambda: scenario.work(site), Fault(point))
        check(site, scenario, f"killed at changing call {point}")
    tell(f"{scenario.name}: killed at {len(points)} calls, the last is number {points[-1]}")


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
