"""Hash lists: fetching, recognising, reading, and the state of each feed.

Each name is loaded when it is asked for: what a feed is like can be told without fetching or reading a list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scanner.system.late import names_of

if TYPE_CHECKING:
    from scanner.feeds.fetching import Fetched, FetchPolicy, FetchRequest, ObjectStore, Traffic
    from scanner.feeds.formats import available_formats, our_formats
    from scanner.feeds.formats.base import FeedFormat, FormatOptions
    from scanner.feeds.importer import ImportResult, import_list
    from scanner.feeds.opening import Opened
    from scanner.feeds.state import FeedState
    from scanner.feeds.store import FeedStore
    from scanner.feeds.transport import fetch

__all__ = [
    "FeedFormat",
    "FeedState",
    "FeedStore",
    "FetchPolicy",
    "FetchRequest",
    "Fetched",
    "FormatOptions",
    "ImportResult",
    "ObjectStore",
    "Opened",
    "Traffic",
    "available_formats",
    "fetch",
    "import_list",
    "our_formats",
]

# Where each is.
_OURS = {
    "FeedFormat": "formats.base",
    "FeedState": "state",
    "FeedStore": "store",
    "FetchPolicy": "fetching",
    "FetchRequest": "fetching",
    "Fetched": "fetching",
    "FormatOptions": "formats.base",
    "ImportResult": "importer",
    "ObjectStore": "fetching",
    "Opened": "opening",
    "Traffic": "fetching",
    "available_formats": "formats",
    "fetch": "transport",
    "import_list": "importer",
    "our_formats": "formats",
}
__getattr__ = names_of(__name__, _OURS)
