"""A system call fails instead of being made: no room, a broken disk, a quota, a file system gone read-only.

What comes out is a result or an error of ours, never another exception; nothing is lost at that moment, and
the next start (with the disk mended) puts everything in order. The one call fails; or it and all after it; or
all after it on one of the disks: the customers', the vault's, that of our state.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from itertools import cycle, product

import pytest
from fault_points import everything
from fault_scenarios import SCENARIOS, Scenario
from fault_site import Site
from fault_tracer import Fault, can_inject_errors, run
from test_faults_kills import check, count

ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS)


def ways(site: Site) -> list[tuple[int, bool, str]]:
    """(error, whether it stays, the disk it is about or "" for all)."""
    everywhere = list(product(ERRORS, (False, True), ("",)))
    disks = [str(d) for d in (site.root, site.vault_directory, site.state.path)]
    return everywhere + [(code, True, disk) for code, disk in product(ERRORS, disks)]


def faults(site: Site, points: list[int]) -> Iterator[Fault]:
    """Every error at every changing call; by default at each point one of them, by turns."""
    if everything():
        chosen = product(range(1, points[-1] + 1), ways(site))
    else:
        chosen = zip(points, cycle(ways(site)))
    for point, (code, on, disk) in chosen:
        yield Fault(point, error=code, on=on, below=disk)


def is_one_of(fault: Fault) -> str:
    where = f", below {fault.below}" if fault.below else ""
    return f"{errno.errorcode[fault.error]} at call {fault.first}{' and all after it' * fault.on}{where}"


@pytest.mark.skipif(not can_inject_errors(), reason="errors can be injected on x86_64 only")
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_an_error_at_any_call_is_told_in_our_words_and_loses_nothing(
    scenario: Scenario, site: Site, tell: Callable[[str], None]
) -> None:
    points = count(site, scenario)
    made = refused = untouched = 0
    for fault in faults(site, points):
        site.reset()
        scenario.before(site)
        result = run(lambda: scenario.work(site), fault)
        if not result.struck and fault.below:  # nothing of that disk was left to be done
            untouched += 1
            continue
        what = f"{is_one_of(fault)} ({result.struck[:1]})"
        assert result.struck, f"the fault came after the end: {what}"
        assert result.finished, what
        assert not result.raised or result.ours, f"{scenario.name}, {what}\n{result.text}"
        check(site, scenario, f"{what}\n{result.returned} {result.text}")
        made += 1
        refused += bool(result.raised)
    assert made > untouched
    tell(f"{scenario.name}: {made} errors at {points[-1]} calls, {refused} came out as errors of ours")
