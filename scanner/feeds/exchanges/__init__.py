"""Protocols of publishers: ours, and those that installed packages bring; each is loaded when needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from scanner.feeds.exchanges.base import (
    MAX_MEMORY,
    Asker,
    Call,
    Client,
    Exchange,
    Outcome,
    Pages,
    Question,
    Reply,
)
from scanner.feeds.plugins import with_plugins
from scanner.system.late import names_of

if TYPE_CHECKING:
    from scanner.feeds.exchanges.misp import MispExchange
    from scanner.feeds.exchanges.misp_rest import MispRestExchange
    from scanner.feeds.exchanges.taxii import TaxiiExchange

__all__ = [
    "MAX_MEMORY",
    "Asker",
    "Call",
    "Client",
    "Exchange",
    "MispExchange",
    "MispRestExchange",
    "Outcome",
    "Pages",
    "Question",
    "Reply",
    "TaxiiExchange",
    "available_exchanges",
    "our_exchanges",
]

GROUP = "hostsweep.feed_exchanges"

# Class and module, in the order in which they are named.
_OURS: Mapping[str, str] = {
    "NcmecExchange": "ncmec",
    "ThreatExchangeExchange": "threatexchange",
    "StopNciiExchange": "stopncii",
    "TatExchange": "tat",
    "TreeExchange": "tree",
    "TufExchange": "tuf",
    "HashCheckExchange": "hashcheck",
    "ShieldExchange": "shield",
    "PrefixExchange": "prefix",
    "TaxiiExchange": "taxii",
    "MispExchange": "misp",
    "MispRestExchange": "misp_rest",
}
__getattr__ = names_of(__name__, _OURS)


def our_exchanges() -> Mapping[str, Exchange]:
    """Those that are part of hostsweep, by name."""
    made: list[Exchange] = [__getattr__(name)() for name in _OURS]
    return {exchange.name: exchange for exchange in made}


def available_exchanges() -> Mapping[str, Exchange]:
    """All protocols by name.

    Raises:
        ConfigError: an installed package's protocol can't be loaded, or takes a name that is in use.
    """
    return with_plugins(our_exchanges(), GROUP, "protocol")
