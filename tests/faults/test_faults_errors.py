"""A system call fails instead of being made: no room, a broken disk, a quota, a file system gone read-only.

What comes out is a result or an error of ours, never another exception; nothing is lost at that moment, and
the next start (with the disk mended) puts everything in order. The one call fails; or it and all after it; or
all after it on one of the disks: the customers', the vault's, that of our state.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle, product

import pytest
from fault_order import lint
from fault_points import error_points, everything, spread
from fault_scenarios import SCENARIOS, Scenario
from fault_site import Site
from fault_tracer import Event, Fault, can_inject_errors, run
from test_faults_kills import begin, check
from test_faults_order import of_site

MOST = 20  # points of a work in the default suite
ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS)


def ways(site: Site) -> list[tuple[int, bool, str]]:
    """(error, whether it stays, the disk it is about or "" for all)."""
    everywhere = list(product(ERRORS, (False, True), ("",)))
    disks = [str(d) for d in (site.root, site.vault_directory, site.state.path)]
    return everywhere + [(code, True, disk) for code, disk in product(ERRORS, disks)]  # disks vary fastest


def faults(site: Site, events: Sequence[Event], most: int) -> Iterator[Fault]:
    """Every error at every changing call; by default at each point one of them, by turns."""
    chosen: Iterable[tuple[int, tuple[int, bool, str]]]
    if everything():
        chosen = every_way(site, len(events))
    else:
        chosen = zip(spread(error_points(events), min(most, MOST)), cycle(ways(site)))
    for point, (code, on, disk) in chosen:
        yield Fault(point, error=code, on=on, below=disk)


def every_way(site: Site, last: int) -> Iterator[tuple[int, tuple[int, bool, str]]]:
    """Each error once and on at each call; and on at one disk alone, the errors by turns."""
    everywhere, alone = ways(site)[: 2 * len(ERRORS)], ways(site)[2 * len(ERRORS) :]
    disks = len(alone) // len(ERRORS)
    for point in range(1, last + 1):
        turn = point % len(ERRORS) * disks
        yield from ((point, way) for way in (*everywhere, *alone[turn : turn + disks]))


def is_one_of(fault: Fault) -> str:
    where = f", below {fault.below}" if fault.below else ""
    return f"{errno.errorcode[fault.error]} at call {fault.first}{' and all after it' * fault.on}{where}"


@pytest.mark.skipif(not can_inject_errors(), reason="errors can be injected on x86_64 only")
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_an_error_at_any_call_is_told_in_our_words_and_loses_nothing(
    scenario: Scenario, site: Site, tell: Callable[[str], None]
) -> None:
    events = begin(site, scenario)
    made = refused = untouched = 0
    for fault in faults(site, events, scenario.most):
        site.reset()
        scenario.before(site)
        result = run(lambda: scenario.work(site), fault, record=True)
        if not result.struck and fault.below:  # nothing of that disk was left to be done
            untouched += 1
            continue
        what = f"{is_one_of(fault)} ({result.struck[:1]})"
        assert result.struck, f"the fault came after the end: {what}"
        assert result.finished, what
        assert not result.raised or result.ours, f"{scenario.name}, {what}\n{result.text}"
        broken = {v.rule for v in lint(result.events, of_site(site), ended=False)}
        if site.has_open_steps():  # then no outcome was recorded, only that there is none yet
            broken -= {"act-before-outcome", "vault-before-outcome"}
        assert not broken, f"{scenario.name}, {what}: goes on as if it were on the disk"
        check(site, scenario, f"{what}\n{result.returned} {result.text}")
        made += 1
        refused += bool(result.raised)
    assert made > untouched
    tell(f"{scenario.name}: {made} errors at {len(events)} calls, {refused} came out as errors of ours")
