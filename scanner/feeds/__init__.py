"""Hash lists: fetching, recognising, reading, and the state of each feed."""

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
