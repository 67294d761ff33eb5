"""Whether the daemon can do its work: lists fresh, index loaded, vault writable."""

from __future__ import annotations

from collections.abc import Mapping

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
    checks = [_feed(keeper, feed.name, feed.max_age, now, unusable) for feed in config.feeds]
    loaded = lists is not None and bool(lists.feeds)
    checks.append(Check("index", loaded, "" if loaded else "no list is loaded"))
    try:
        vault.prepare()
        checks.append(Check("vault", True))
    except ScannerError as e:
        checks.append(Check("vault", False, e.what))
    return Readiness(tuple(checks))


def _feed(keeper: ListKeeper, name: str, max_age: float, now_ns: int, unusable: Mapping[str, str]) -> Check:
    state = keeper.store.state(name)
    if keeper.store.current(name) is None or not state.last_success_ns:
        return Check(f"feed:{name}", False, "has no list yet")
    if name in unusable:
        return Check(f"feed:{name}", False, unusable[name])
    hours = (now_ns - state.last_success_ns) / 3.6e12
    if hours * 3600 > max_age:
        return Check(
            f"feed:{name}", False, f"the list is {hours:.1f} hours old, at most {max_age / 3600:.1f} wanted"
        )
    return Check(f"feed:{name}", True)
