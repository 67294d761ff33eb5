"""Publishers' protocols as the configuration names them."""

from __future__ import annotations

from collections.abc import Iterator

from scanner.config import Config
from scanner.config.problems import Problem, error_of
from scanner.feeds.exchanges import Asker, available_exchanges


def check_exchanges(config: Config) -> None:
    """Check that each feed's protocol exists and takes the feed's options.

    Raises:
        ConfigError: with the line, the feed and the key.
    """
    if problems := list(_problems(config)):
        raise error_of(config.origin, problems)


def _problems(config: Config) -> Iterator[Problem]:
    known = available_exchanges() if any(feed.exchange for feed in config.feeds) else {}
    for number, feed in enumerate(config.feeds):
        if feed.exchange is None:
            continue
        exchange = known.get(feed.exchange)
        if exchange is None:
            names = ", ".join(sorted(known))
            yield Problem(("feeds", number, "exchange"), f"feed {feed.name}: there is none; known: {names}")
        elif isinstance(exchange, Asker) and config.sync.by == "service":
            yield Problem(
                ("feeds", number, "exchange"),
                f"feed {feed.name}: this service is asked about known files, and a service that only syncs "
                "knows none: sync.by: daemon",
            )
        elif wrong := exchange.check(feed.options):
            yield Problem(("feeds", number, "options"), f"feed {feed.name}: {wrong}")
