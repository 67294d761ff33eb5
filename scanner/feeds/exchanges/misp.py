"""A MISP feed: a directory on a web server, with a manifest of its events and a file for each.

Laws (MISP's feed generator, misp-core-format):
- the manifest names each event by its UUID, with the time it was last changed; what is not named any more is
  withdrawn;
- an event that changed replaces what it was before, attribute by attribute: what it leaves out is withdrawn.

Only the manifest tells what changed, and nothing tells which attributes an event had before. So where
events were only added, those are changes to the list in use; where one was changed or went, all events are
read again, and are the whole list.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from typing import Any

from yarl import URL

from scanner.feeds.exchanges.base import Call, Client, Outcome, Pages, Reply
from scanner.feeds.exchanges.misp_manifest import Named, read_manifest
from scanner.feeds.formats.misp_attribute import time_of, uuid_of
from scanner.feeds.pages import MAX_PAGE
from scanner.feeds.shallow import Shallow
from scanner.feeds.times import SECOND
from scanner.model.errors import FeedFormatError, FeedTransportError

_MANIFEST = "manifest.json"
_NOT_MODIFIED = 304
_MAX_TAG = 1024  # characters of an ETag that are kept
# Events that are remembered one by one: 70 bytes each. Of more only a digest is: any change is one of all.
_REMEMBERED = 14_000
_MIB = 1 << 20
_REMEDY = "It may be in the middle of a change: the next sync asks again. If it stays so, tell the publisher"


class MispExchange:
    """The address is that of the directory or of its manifest.

    Option: `max_event`, bytes of one event's file as a number of MiB; 64 at most, and by default.
    """

    @property
    def name(self) -> str:
        return "misp"

    @property
    def format(self) -> str:
        return "misp-event"

    def check(self, options: Mapping[str, str]) -> str | None:
        for key in options:
            if key != "max_event":
                return "misp has one option, max_event"
        size = options.get("max_event", "64")
        if not re.fullmatch("[1-9][0-9]?", size) or int(size) > MAX_PAGE // _MIB:
            return f"max_event: expected MiB, from 1 to {MAX_PAGE // _MIB}"
        return None

    async def sync(self, call: Call, client: Client, pages: Pages) -> Outcome:
        manifest = await _manifest(call, client)
        if manifest is None:
            return Outcome(call.memory, partial=True, unchanged=True)
        events, etag = manifest
        memory = _memory(events, etag)
        added = _added(call.memory, events)
        if added is not None and not added:
            return Outcome(memory, partial=True, unchanged=True)
        largest = int(call.options.get("max_event", "64")) * _MIB
        for uuid in events if added is None else added:
            await pages.write(await _event(call.url, client, uuid, events[uuid], largest))
        return Outcome(memory, partial=added is not None)


async def _manifest(call: Call, client: Client) -> tuple[dict[str, Named], str] | None:
    """What the manifest names, and its ETag; None where it did not change."""
    etag = call.memory.get("etag")
    known = isinstance(etag, str) and etag and ("events" in call.memory or "digest" in call.memory)
    reply = await client.get(
        _beside(call.url, _MANIFEST),
        headers={"Accept": "application/json"} | ({"If-None-Match": str(etag)} if known else {}),
        limit=MAX_PAGE,
        accept=frozenset({_NOT_MODIFIED}),
    )
    if reply.status == _NOT_MODIFIED:
        if not known:
            raise FeedTransportError("the server says 304 (not modified) to what was not asked before")
        return None
    tag = reply.headers.get("etag", "")
    return read_manifest(reply.body), tag if len(tag) <= _MAX_TAG and tag.isascii() else ""


async def _event(url: str, client: Client, uuid: str, named: Named, largest: int) -> bytes:
    """The file of one event, checked to be the one that the manifest means.

    Raises:
        FeedFormatError: it is another, an older one, or not what its digest says.
    """
    reply = await client.get(
        _beside(url, f"{named.name}.json"), headers={"Accept": "application/json"}, limit=largest
    )
    where = f"event {uuid}"
    if named.sha256 and hashlib.sha256(reply.body).hexdigest() != named.sha256:
        raise FeedFormatError(
            "the file is not the one whose SHA-256 stands in the manifest",
            where=where,
            remedy=_REMEDY,
        )
    try:
        own, changed_ns = _identity(reply)
    except FeedFormatError as e:
        raise FeedFormatError(e.what, where=f"{where}: {e.where}", remedy=e.remedy) from e
    if own != uuid or changed_ns < named.seconds * SECOND:
        raise FeedFormatError(
            "the file is that of another event"
            if own != uuid
            else "the file is older than the manifest says",
            where=where,
            remedy=_REMEDY,
        )
    return reply.body


def _identity(reply: Reply) -> tuple[str, int]:
    place = ("Event",)
    shallow = Shallow({place: frozenset({"uuid", "timestamp"})}, max_value=MAX_PAGE)
    found = [records[-1] for _, records in shallow.read(io.BytesIO(reply.body))]
    if len(found) != 1:
        raise FeedFormatError("expected one Event", where="the outermost object")
    try:
        return uuid_of(found[0], "an event"), time_of(found[0])
    except FeedFormatError as e:
        raise FeedFormatError(e.what, where="Event") from e


def _added(memory: Mapping[str, Any], events: Mapping[str, Named]) -> list[str] | None:
    """The events that are new, where the others are as they were; None where all has to be read."""
    if memory.get("digest") == _digest(events):
        return []
    before = memory.get("events")
    if not isinstance(before, dict) or not before:
        return None
    if any(uuid not in events or events[uuid].version != version for uuid, version in before.items()):
        return None
    return [uuid for uuid in events if uuid not in before]


def _memory(events: Mapping[str, Named], etag: str) -> dict[str, Any]:
    told: dict[str, Any] = {"etag": etag, "digest": _digest(events)}
    if len(events) <= _REMEMBERED:
        told["events"] = {uuid: named.version for uuid, named in events.items()}
    return told


def _digest(events: Mapping[str, Named]) -> str:
    lines = sorted(f"{uuid} {named.version}\n" for uuid, named in events.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _beside(url: str, name: str) -> str:
    """The address of a file of the directory; what stands after a ? stays."""
    start = URL(url)
    folder = start.path.removesuffix(_MANIFEST)
    return str(start.with_path(f"{folder.rstrip('/')}/{name}").with_query(start.query))
