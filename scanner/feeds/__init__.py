"""Hash lists: fetching, recognising, reading, and the state of each feed."""

from scanner.feeds.formats import available_formats, our_formats
from scanner.feeds.formats.base import FeedFormat, FormatOptions
from scanner.feeds.importer import ImportResult, import_list
from scanner.feeds.state import FeedState
from scanner.feeds.store import FeedStore
from scanner.feeds.transport import Fetched, FetchPolicy, FetchRequest, Opened, fetch

__all__ = [
    "FeedFormat",
    "FeedState",
    "FeedStore",
    "FetchPolicy",
    "FetchRequest",
    "Fetched",
    "FormatOptions",
    "ImportResult",
    "Opened",
    "available_formats",
    "fetch",
    "import_list",
    "our_formats",
]
