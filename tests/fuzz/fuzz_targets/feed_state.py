"""What is remembered of a feed: a ValueError, or a state that is written as it was read.

First byte: text, or edits of a whole state.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from fuzzing import Target, law

from fuzz_targets._edits import edited
from scanner.feeds import FeedState
from scanner.feeds.state import from_json, to_json
from scanner.feeds.trust.remembered import accepted_from
from scanner.feeds.trust.rules import Accepted

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
    law(not state.trust or accepted_from(state.trust), "why a list is believed is told whole")
    for record in state.accepted:
        texts = [record["who"], *record["findings"]]
        law(
            record["at_ns"] >= 0 and all(isinstance(t, str) for t in texts), "who accepted what is told whole"
        )
    law(from_json(_NAME, to_json(state)) == state, "a state is written as it was read")


def _state() -> FeedState:
    return FeedState(
        _NAME,
        etag='"etag"',
        last_success_ns=5,
        last_attempt_ns=6,
        source_sha256="0" * 64,
        origin="0" * 64,
        current="snapshot-00000002",
        previous="snapshot-00000001",
        format="csv",
        counts={"entries": 3, "hashes": {"md5": 3}},
        results={"updated": 2},
        trust=asdict(Accepted("minisign", "AB", 5, 7, "cd" * 64, "ef" * 32)),
        refusals={"rollback": 1},
        guard={"benign_feeds": 2},
        accepted=[{"at_ns": 5, "who": "uid 0", "findings": ["shrink: it lost most"]}],
        warning="old",
    )


def seeds() -> dict[str, bytes]:
    state = to_json(_state())
    return {
        "state": b"\0" + state,
        "new": b"\0" + to_json(FeedState(_NAME)),
        "edited": b"\xffetag=x\nresults.failed=1",
        "version": b"\xffversion=2",
        "trust": b"\xfftrust.serial=-1\nrefusals.frozen=2",
        "types": b"\xffetag=5\nresults.updated=true\ncounts=[]",
        "accepted": b"\xffaccepted=[{}]\nguard.left_out=x",
        "missing": b"\xffcurrent\ncounts",
        "path": b"\xffcurrent=../../etc/passwd",
        "deep": b"\0" + b"[" * 3000,
    }


_KEYS = ("current=", "results.", "counts.", "version=", "name=", "source_sha256=", "etag=", "trust.")
TARGET = Target(
    check, seeds, (*(key.encode() for key in _KEYS), b"snapshot-00000003", b"1e999", b"NaN", b"\n")
)
