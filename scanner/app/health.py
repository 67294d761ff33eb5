"""Whether the daemon can do its work: lists fresh, index loaded, vault writable."""

from __future__ import annotations

from scanner.app.freshness import all_fresh
from scanner.app.lists import ListKeeper, Lists
from scanner.config import Config
from scanner.http import Check, Readiness
from scanner.model.errors import ScannerError
from scanner.model.ports import Clock
from scanner.securer import Keeper


def readiness(
    config: Config, keeper: ListKeeper, vault: Keeper, lists: Lists | None, clock: Clock
) -> Readiness:
    """One look at everything a scan that secures needs; blocking, but only for some system calls."""
    now = clock.now_ns()
    unusable = lists.unusable if lists else {}
    checks = [
        Check(f"feed:{f.feed}", not f.overdue and f.feed not in unusable, f.text or unusable.get(f.feed, ""))
        for f in all_fresh(keeper, config, now)
    ]
    loaded = lists is not None and bool(lists.feeds)
    checks.append(Check("index", loaded, "" if loaded else "no list is loaded"))
    try:
        vault.prepare()
        checks.append(Check("vault", True))
    except ScannerError as e:
        checks.append(Check("vault", False, e.what))
    return Readiness(tuple(checks))
