"""What is remembered of a feed: a ValueError, or a state that is written as it was read.

First byte: text, or edits of a whole state.
"""

from __future__ import annotations

import json

from fuzzing import Target, law

from fuzz_targets._edits import edited
from scanner.feeds import FeedState
from scanner.feeds.state import from_json, to_json

_NAME = "police"


def check(data: bytes) -> None:
    raw = data[1:]
    try:
        if data[:1] >= b"\x80":
            raw = json.dumps(edited(json.loads(to_json(_state())), raw)).encode()
        state = from_json(_NAME, raw)
    except ValueError:
        return
    law(state.name == _NAME, "it is the state of this feed")
    law("/" not in state.current + state.previous, "a snapshot is a name and no path")
    law(all(type(n) is int for n in state.results.values()), "results are numbers")
    law(from_json(_NAME, to_json(state)) == state, "a state is written as it was read")


def _state() -> FeedState:
    return FeedState(
        _NAME, '"etag"', "", 5, 6, "", "0" * 64, "file:///x", "snapshot-00000002", "snapshot-00000001",
        "csv", {"entries": 3, "hashes": {"md5": 3}}, {"updated": 2}, "old",
    )  # fmt: skip


def seeds() -> dict[str, bytes]:
    state = to_json(_state())
    return {
        "state": b"\0" + state,
        "new": b"\0" + to_json(FeedState(_NAME)),
        "edited": b"\xffetag=x\nresults.failed=1",
        "version": b"\xffversion=2",
        "types": b"\xffetag=5\nresults.updated=true\ncounts=[]",
        "missing": b"\xffcurrent\ncounts",
        "path": b"\xffcurrent=../../etc/passwd",
        "deep": b"\0" + b"[" * 3000,
    }


_KEYS = ("current=", "results.", "counts.", "version=", "name=", "source_sha256=", "etag=")
TARGET = Target(
    check, seeds, (*(key.encode() for key in _KEYS), b"snapshot-00000003", b"1e999", b"NaN", b"\n")
)
