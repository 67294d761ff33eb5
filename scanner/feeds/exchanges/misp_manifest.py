"""The manifest of a MISP feed: which events there are."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scanner.feeds.formats.misp_attribute import UUID, time_of
from scanner.feeds.times import SECOND
from scanner.model.errors import FeedFormatError

_SHA256 = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)
_MAX_EVENTS = 90_000  # each is a request, and a sync has 100,000


@dataclass(frozen=True, slots=True)
class Named:
    """What a manifest says of an event.

    Attributes:
        name: its UUID, as the manifest writes it.
        seconds: when it was last changed, UTC, since 1970.
        sha256: of its file, in hexadecimal; "" where the publisher gives none.
    """

    name: str
    seconds: int
    sha256: str

    @property
    def version(self) -> str:
        """What tells this version of the event from others."""
        return f"{self.seconds} {self.sha256[:8]}"


def read_manifest(body: bytes) -> dict[str, Named]:
    """The events by their UUID, in lower case.

    Raises:
        FeedFormatError: it is no manifest. A name that is no UUID spoils all of it: it would become a part of
            an address.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as e:  # its own text quotes what it met
        raise FeedFormatError("the manifest is no JSON, or is cut short", where="manifest.json") from e
    if not isinstance(found, dict):
        raise FeedFormatError("expected an object with a member for each event", where="manifest.json")
    if len(found) > _MAX_EVENTS:
        raise FeedFormatError(
            f"{len(found):,} events; at most {_MAX_EVENTS:,} can be asked for", where="manifest.json"
        )
    return {
        _uuid(name, number): _named(name, value, number) for number, (name, value) in enumerate(found.items())
    }


def _uuid(name: str, number: int) -> str:
    if not UUID.fullmatch(name):
        raise FeedFormatError("expected the UUID of an event", where=f"manifest.json, name {number + 1}")
    return name.lower()


def _named(name: str, value: Any, number: int) -> Named:
    where = f"manifest.json, event {number + 1}"
    if not isinstance(value, Mapping):
        raise FeedFormatError("expected an object", where=where)
    try:
        seconds = time_of(value) // SECOND
    except FeedFormatError as e:
        raise FeedFormatError(e.what, where=where) from e
    sha256 = value.get("integrity:sha256") or ""
    if not isinstance(sha256, str) or (sha256 and not _SHA256.fullmatch(sha256)):
        raise FeedFormatError("expected 64 hexadecimal digits as `integrity:sha256`", where=where)
    return Named(name, seconds, sha256.lower())
