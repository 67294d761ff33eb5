"""Hash lists as read-only, memory-mapped snapshots, and the question whether a file is in them."""

from scanner.index.acting import OpenFeed, Threshold, acting_categories
from scanner.index.build import SnapshotBuilder, SnapshotInfo
from scanner.index.compare import Repeats
from scanner.index.delta import Delta, acting_values, added
from scanner.index.index import MAX_MATCHES, Index
from scanner.index.inspecting import (
    Change,
    changes,
    entries_of_keys,
    entry_keys,
    most_repeated,
    nothing_shown,
    shared_entries,
)
from scanner.index.keyed import KEY_SIZE, ListKey
from scanner.index.layout import KindMeta, Meta, Origin
from scanner.index.native import native_search
from scanner.index.opening import right_key
from scanner.index.records import RecordChanges
from scanner.index.snapshot import EntryInfo, Snapshot

__all__ = [
    "KEY_SIZE",
    "MAX_MATCHES",
    "Change",
    "Delta",
    "EntryInfo",
    "Index",
    "KindMeta",
    "ListKey",
    "Meta",
    "OpenFeed",
    "Origin",
    "RecordChanges",
    "Repeats",
    "Snapshot",
    "SnapshotBuilder",
    "SnapshotInfo",
    "Threshold",
    "acting_categories",
    "acting_values",
    "added",
    "changes",
    "entries_of_keys",
    "entry_keys",
    "most_repeated",
    "native_search",
    "nothing_shown",
    "right_key",
    "shared_entries",
]
