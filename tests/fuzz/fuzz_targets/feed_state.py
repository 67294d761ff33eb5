"""What is remembered of a feed: a ValueError, or a state that is written as it was read."""

from __future__ import annotations

import json

from fuzzing import Target, law

from scanner.feeds import FeedState
from scanner.feeds.state import from_json, to_json

_NAME = "police"


def check(data: bytes) -> None:
    try:
        state = from_json(_NAME, data)
    except ValueError:
        return
    law(state.name == _NAME, "it is the state of this feed")
    law("/" not in state.current + state.previous, "a snapshot is a name and no path")
    law(all(type(n) is int for n in state.results.values()), "results are numbers")
    law(from_json(_NAME, to_json(state)) == state, "a state is written as it was read")


def seeds() -> dict[str, bytes]:
    state = FeedState(
        _NAME, '"etag"', "", 5, 6, "", "0" * 64, "file:///x", "snapshot-00000002", "snapshot-00000001",
        "csv", {"entries": 3, "hashes": {"md5": 3}}, {"updated": 2}, "old",
    )  # fmt: skip
    return {
        "state": to_json(state),
        "new": to_json(FeedState(_NAME)),
        "version": json.dumps({"version": 2}).encode(),
        "deep": b"[" * 3000,
        "path": to_json(state).replace(b"snapshot-00000002", b"../../etc/passwd."),
    }


TARGET = Target(
    check, seeds, (b'"version": 1', b'"current":', b'"results":', b"snapshot-0", b"1e999", b"NaN")
)
