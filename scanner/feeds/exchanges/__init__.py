"""Protocols of publishers: ours, and those that installed packages bring."""

from __future__ import annotations

from collections.abc import Mapping

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
from scanner.feeds.exchanges.hashcheck import HashCheckExchange
from scanner.feeds.exchanges.misp import MispExchange
from scanner.feeds.exchanges.misp_rest import MispRestExchange
from scanner.feeds.exchanges.ncmec import NcmecExchange
from scanner.feeds.exchanges.prefix import PrefixExchange
from scanner.feeds.exchanges.shield import ShieldExchange
from scanner.feeds.exchanges.stopncii import StopNciiExchange
from scanner.feeds.exchanges.tat import TatExchange
from scanner.feeds.exchanges.taxii import TaxiiExchange
from scanner.feeds.exchanges.threatexchange import ThreatExchangeExchange
from scanner.feeds.exchanges.tree import TreeExchange
from scanner.feeds.exchanges.tuf import TufExchange
from scanner.feeds.plugins import with_plugins

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
]

GROUP = "hostsweep.feed_exchanges"

_OURS: tuple[Exchange, ...] = (
    NcmecExchange(),
    ThreatExchangeExchange(),
    StopNciiExchange(),
    TatExchange(),
    TreeExchange(),
    TufExchange(),
    HashCheckExchange(),
    ShieldExchange(),
    PrefixExchange(),
    TaxiiExchange(),
    MispExchange(),
    MispRestExchange(),
)


def available_exchanges() -> Mapping[str, Exchange]:
    """All protocols by name.

    Raises:
        ConfigError: an installed package's protocol can't be loaded, or takes a name that is in use.
    """
    return with_plugins({e.name: e for e in _OURS}, GROUP, "protocol")
