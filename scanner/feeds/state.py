"""What is remembered of one feed between two fetches, and its form on disk."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from scanner.feeds.trust.remembered import accepted_from
from scanner.feeds.versioned import versioned

VERSION = 1  # of the form on disk
_MAX_ERROR = 1000  # characters kept of an error

SNAPSHOT_NAME = re.compile(r"snapshot-[0-9]{8}")
_SHA256 = re.compile(r"([0-9a-f]{64})?")


@dataclass(frozen=True, slots=True)
class FeedState:
    """The state of a feed.

    Attributes:
        name: the feed's.
        etag, last_modified: of the list in use, "" if there is none.
        last_success_ns: when the list in use was last known to be the publisher's current one; 0: never.
        last_attempt_ns: when it was last tried; 0: never.
        last_error: of the last attempt, "" if it succeeded.
        source_sha256: of the exact bytes of the list in use, in hexadecimal.
        origin: where that came from and how it was read, in the caller's words. Where it is no longer the
            same, neither the etag nor the digest says that the list in use is the right one.
        memory: what the publisher's protocol wants to know the next time, where that has changed since the
            list in use was made, which holds it else; JSON.
        current, previous: file names of snapshots, "" if there is none.
        format: the list in use was read with.
        counts: of the list in use, as ImportCounts has them.
        guard: what the guard counted of the list in use: entries of harmless content by what that is.
        accepted: the last lists that were taken although the guard found something: when (`at_ns`), by whom
            (`who`) and what it had found (`findings`, a text each).
        results: attempts by result: updated, not_modified, failed.
        trust: why the list in use was believed, as `scanner.feeds.trust.Accepted` has it; {} for an unsigned
        one.
        refusals: lists that were refused, by the guard's check or the reason of the FeedTrustError.
        warning: something to tell the operator, "" if all is well.
    """

    name: str
    etag: str = ""
    last_modified: str = ""
    last_success_ns: int = 0
    last_attempt_ns: int = 0
    last_error: str = ""
    source_sha256: str = ""
    origin: str = ""
    memory: str = ""
    current: str = ""
    previous: str = ""
    format: str = ""
    counts: Mapping[str, Any] = field(default_factory=dict)
    guard: Mapping[str, int] = field(default_factory=dict)
    accepted: Sequence[Mapping[str, Any]] = field(default_factory=list)
    results: Mapping[str, int] = field(default_factory=dict)
    trust: Mapping[str, Any] = field(default_factory=dict)
    refusals: Mapping[str, int] = field(default_factory=dict)
    warning: str = ""

    def counted(self, result: str) -> dict[str, int]:
        """The results with one more of this."""
        return {**self.results, result: self.results.get(result, 0) + 1}


def shortened(error: str) -> str:
    return error if len(error) <= _MAX_ERROR else f"{error[:_MAX_ERROR]}…"


def to_json(state: FeedState) -> bytes:
    return json.dumps({"version": VERSION, **asdict(state)}, indent=1, sort_keys=True).encode() + b"\n"


def from_json(name: str, data: bytes) -> FeedState:
    """The state of a feed from its form on disk; what is missing has its default.

    Raises:
        ValueError: it is damaged, or of another version.
    """
    found = versioned(data, VERSION)
    values = {}
    for key, default in asdict(FeedState(name)).items():
        value = found.get(key, default)
        if type(value) is not type(default):
            raise ValueError(f"'{key}' is of the wrong type")
        values[key] = value
    for key in ("current", "previous"):
        if values[key] and not SNAPSHOT_NAME.fullmatch(values[key]):
            raise ValueError(f"'{key}' is no name of a snapshot")
    if not _SHA256.fullmatch(values["source_sha256"]):
        raise ValueError("'source_sha256' is no digest")
    if values["name"] != name:
        raise ValueError("it is the state of another feed")
    for key in ("results", "guard", "refusals"):
        if not all(type(n) is int for n in values[key].values()):
            raise ValueError(f"'{key}' are no numbers")
    if not all(_is_record(item) for item in values["accepted"]):
        raise ValueError("'accepted' is no list of records")
    if values["trust"]:
        accepted_from(values["trust"])
    return FeedState(**values)


def _is_record(item: object) -> bool:
    """Whether it is a record of a list that was accepted: shown to people, so of exactly this form."""
    if not isinstance(item, dict) or item.keys() != {"at_ns", "who", "findings"}:
        return False
    at_ns, findings = item["at_ns"], item["findings"]
    if type(at_ns) is not int or not 0 <= at_ns < 1 << 63 or not isinstance(findings, list):
        return False
    return all(isinstance(text, str) for text in (item["who"], *findings))
