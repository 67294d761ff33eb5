"""The process that fetches one hash list: `python -I -m scanner.pipeline.fetch_process`.

It talks to a server of somebody else's, so it gives up all power but that of connecting (see
`feed_confinement`) once it has opened what this machine gives to a fetch: the file with the secret, or the
list where it is a local file. The order comes as JSON on stdin; the list is written to the current directory,
and the answer goes as JSON to stdout.
"""

from __future__ import annotations

import asyncio
import base64

# What the first thread and the first look-up of a host load, when that may be out of reach.
import concurrent.futures.thread  # noqa: F401
import encodings.idna  # noqa: F401
import importlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from scanner.feeds import Fetched, FetchRequest, Opened, fetch
from scanner.feeds.client import HttpClient
from scanner.feeds.exchanges import our_exchanges, tuf
from scanner.feeds.gathering import gather
from scanner.feeds.signatures import fetch_signature
from scanner.feeds.wire import open_session
from scanner.pipeline import feed_confinement
from scanner.pipeline.feed_child import answer_orders
from scanner.pipeline.feed_confinement import Confinement

LIST = "list"
"""Name of what was fetched in the process's directory."""


def run(order: dict[str, Any]) -> dict[str, Any]:
    """Open what is needed, give up all power, and fetch.

    Raises:
        FeedError, ConfigError, StorageError: as `fetch` does.
    """
    request = FetchRequest.of(order["request"])
    opened = Opened.for_request(request)
    if opened.source is None:  # a local list needs none of it, and it is most of all loading
        importlib.import_module("aiohttp")
    if request.exchange:
        our_exchanges()  # loads them
    if request.exchange == tuf.NAME:
        tuf.load_tuf()
    feed_confinement.enter(
        Confinement.of(order["confinement"]),
        network=opened.source is None,
        keep=() if opened.source is None else {opened.source},
    )
    fetched = asyncio.run(_fetch(request, opened))
    return {
        "not_modified": fetched.not_modified,
        "etag": fetched.etag,
        "last_modified": fetched.last_modified,
        "bytes": fetched.bytes,
        "sha256": fetched.sha256,
        "memory": fetched.memory,
        "partial": fetched.partial,
        "traffic": asdict(fetched.traffic),
        "signature": base64.b64encode(fetched.signature).decode(),
    }


async def _fetch(request: FetchRequest, opened: Opened) -> Fetched:
    if opened.source is not None:
        fetched = await fetch(request, None, Path(LIST), opened=opened)
        return replace(fetched, signature=opened.signature)
    async with open_session() as session:
        if request.exchange:
            client = HttpClient(request, session, opened)
            gathered = await gather(request, client, Path(LIST), opened.files)
            return replace(gathered, traffic=client.traffic)
        fetched = await fetch(request, session, Path(LIST), opened=opened)
        if not request.signature:
            return fetched
        client = HttpClient(request, session, opened)
        return replace(fetched, signature=await fetch_signature(request.signature, client))


if __name__ == "__main__":
    answer_orders(run)
