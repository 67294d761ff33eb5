"""What commands load late, loaded before they become another user."""

from __future__ import annotations

from importlib import import_module

_LATE = (
    "adhoc",
    "benign",
    "cases",
    "cataloguing",
    "checking",
    "decisions",
    "explaining",
    "forgetting",
    "orphans",
    "publishing",
    "rehearsing",
    "service",
    "status",
    "syncing",
)


def load_all() -> None:
    """Load what is loaded late, while it can be: another user may not be let in where we are installed."""
    from scanner.feeds.exchanges import our_exchanges
    from scanner.feeds.formats import our_formats

    for name in _LATE:
        import_module(f"scanner.app.{name}")
    our_formats()
    our_exchanges()
