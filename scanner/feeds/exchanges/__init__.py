"""Protocols of publishers: ours, and those that installed packages bring."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

from scanner.feeds.exchanges.base import MAX_MEMORY, Call, Client, Exchange, Outcome, Pages, Reply
from scanner.feeds.exchanges.tuf import TufExchange
from scanner.model.errors import ConfigError

__all__ = [
    "MAX_MEMORY",
    "Call",
    "Client",
    "Exchange",
    "Outcome",
    "Pages",
    "Reply",
    "available_exchanges",
]

GROUP = "hostsweep.feed_exchanges"

_OURS: tuple[Exchange, ...] = (TufExchange(),)


def available_exchanges() -> Mapping[str, Exchange]:
    """All protocols by name.

    Raises:
        ConfigError: an installed package's protocol can't be loaded, or takes a name that is in use.
    """
    found: dict[str, Exchange] = {e.name: e for e in _OURS}
    for point in entry_points(group=GROUP):
        try:
            loaded = point.load()
            added: Exchange = loaded() if isinstance(loaded, type) else loaded
            name = added.name
        except Exception as e:  # a package of somebody else's: anything may come out of it
            raise ConfigError(
                f"the protocol '{point.name}' can't be loaded ({type(e).__name__}: {e})",
                where=f"entry point {point.value}",
                remedy="Mend or remove the package that brings it",
            ) from e
        if name in found:
            raise ConfigError(
                f"the protocol '{name}' exists already",
                where=f"entry point {point.value}",
                remedy="Remove the package that brings it, or have it renamed",
            )
        found[name] = added
    return found
