"""Following a published tree: deltas where they lead on from what we have, else the snapshot.

The pages are the notification, its signature (empty if there is none), and the files: deltas or parts of the
snapshot, in order and as published.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scanner.feeds.exchanges.base import Call, Client, Outcome, Pages
from scanner.feeds.tree.lines import LineSum
from scanner.feeds.tree.notification import (
    MAX_NOTIFICATION,
    MAX_POINTER,
    POINTER,
    SIGNATURE,
    Notification,
    TreeFile,
    parse_notification,
    parse_pointer,
)
from scanner.feeds.tree.packing import MAX_PACKED, check, split, unpack
from scanner.model.errors import FeedError, FeedTransportError

MAX_SIGNATURE = 4 << 10  # bytes; minisign's have some 400
# Bytes of deltas that are gathered before the first is used; more of them are more than most snapshots.
_MOST_DELTAS = 32 << 20
_GONE = frozenset({304, 404})


class TreeExchange:
    """A published tree (`hostsweep feed publish`): deltas where they lead on, else the snapshot."""

    @property
    def name(self) -> str:
        return "tree"

    @property
    def format(self) -> str:
        return "tree"

    def check(self, options: Mapping[str, str]) -> str | None:
        return f"it takes no options, found '{next(iter(options))}'" if options else None

    async def sync(self, call: Call, client: Client, pages: Pages) -> Outcome:
        memory = call.memory
        base = _base(call.url)
        asked = {"If-None-Match": str(memory["etag"])} if memory.get("etag") else {}
        found = await client.get(base + POINTER, headers=asked, limit=MAX_POINTER, accept=frozenset({304}))
        if found.status == 304:
            return Outcome(memory, unchanged=True)
        etag = {"etag": found.headers.get("etag", "")[:200]}
        path = parse_pointer(found.body)
        raw = (await client.get(base + path, limit=MAX_NOTIFICATION)).body
        told = parse_notification(raw)
        serial = _serial(memory, told)
        if serial == told.serial:
            return Outcome({**memory, **etag}, unchanged=True)
        signature_path = path.rsplit("/", 1)[0] + "/" + SIGNATURE
        signature = await client.get(base + signature_path, limit=MAX_SIGNATURE, accept=_GONE)
        await pages.write(raw)
        await pages.write(signature.body if signature.status == 200 else b"")
        total = await self._deltas(told, memory, serial, base, client, pages)
        partial = total is not None
        if total is None:
            total = await self._snapshot(told, base, client, pages)
        kept = {"session": told.session, "serial": told.serial, "sum": total.carry, **etag}
        return Outcome(kept, partial=partial)

    async def _deltas(
        self,
        told: Notification,
        memory: Mapping[str, Any],
        serial: int,
        base: str,
        client: Client,
        pages: Pages,
    ) -> LineSum | None:
        """Fetch and write the deltas. None, and nothing written, where they don't lead to the list."""
        steps = told.since(str(memory.get("session")), serial) if serial >= 0 else None
        if steps is None or sum(step.bytes for step in steps) > _MOST_DELTAS:
            return None
        try:
            total = LineSum(str(memory["sum"]))
            files = [await _file(step, base, client) for step in steps]
            for file in files:
                total.apply(split(unpack(file)))
        except (FeedError, KeyError, ValueError):
            return None  # the snapshot is there for that
        if total.checksum != told.checksum:
            return None
        for file in files:
            await pages.write(file)
        return total

    async def _snapshot(self, told: Notification, base: str, client: Client, pages: Pages) -> LineSum:
        total = LineSum()
        for part in told.snapshot:
            file = await _file(part, base, client)
            total.apply(split(unpack(file)))
            await pages.write(file)
        if total.checksum != told.checksum:
            raise FeedTransportError(
                "the snapshot is not the list that the notification tells of", remedy="Tell the publisher"
            )
        return total


def _base(url: str) -> str:
    """The address of the tree, whether the feed names it or its pointer."""
    return url.removesuffix(POINTER).rstrip("/") + "/"


def _serial(memory: Mapping[str, Any], told: Notification) -> int:
    """The serial number we have of this session, -1 for none.

    Raises:
        FeedTransportError: it is later than the publisher's: an old tree is shown to us.
    """
    serial = memory.get("serial")
    if memory.get("session") != told.session or not isinstance(serial, int):
        return -1
    if serial > told.serial:
        raise FeedTransportError(
            f"the publisher is at serial {told.serial}, and {serial} of the same session is in use",
            remedy="The list in use stays. An old state of the tree is served: ask the publisher",
        )
    return serial


async def _file(file: TreeFile, base: str, client: Client) -> bytes:
    packed = (await client.get(base + file.path, limit=min(file.bytes + 1, MAX_PACKED))).body
    check(packed, file.sha256, file.bytes)
    return packed
