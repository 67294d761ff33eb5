"""One sync by a publisher's protocol, into a file of pages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scanner.feeds.exchanges import MAX_MEMORY, Call, Client, available_exchanges
from scanner.feeds.pages import PageWriter
from scanner.feeds.staging import staged
from scanner.feeds.transport import Fetched, FetchRequest
from scanner.model.errors import ConfigError, FeedTransportError


async def gather(
    request: FetchRequest, client: Client, staging: Path, files: Mapping[str, bytes] | None = None
) -> Fetched:
    """Sync by `request.exchange`; as `scanner.feeds.fetch` otherwise.

    Args:
        files: as `Call` has them.

    Raises:
        FeedError, ConfigError, StorageError: as `fetch` does.
    """
    exchange = available_exchanges().get(request.exchange)
    if exchange is None:
        raise ConfigError(f"there is no protocol '{request.exchange}'", where=f"feed {request.feed}")
    if wrong := exchange.check(request.options):
        raise ConfigError(wrong, where=f"feed {request.feed}: options")
    call = Call(request.url, request.options, _memory(request.memory), request.now_ns, files or {})
    async with staged(staging, request.max_bytes) as target:
        pages = PageWriter(target)
        outcome = await exchange.sync(call, client, pages)
    memory = json.dumps(outcome.memory, sort_keys=True)
    if len(memory) > MAX_MEMORY:
        raise FeedTransportError(f"more than {MAX_MEMORY} bytes would have to be remembered")
    if outcome.unchanged or not pages.pages:
        await asyncio.to_thread(staging.unlink, missing_ok=True)
        return Fetched(None, "", "", not_modified=True, memory=memory)
    return Fetched(
        staging, "", "", bytes=target.bytes, sha256=target.sha256, memory=memory, partial=outcome.partial
    )


def _memory(text: str) -> dict[str, Any]:
    """What was remembered; nothing where it is damaged: then all is fetched anew."""
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
