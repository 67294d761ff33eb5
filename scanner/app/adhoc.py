"""Lists named on the command line: without a configuration, kept by their content for the next time."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from scanner.app.formats import check_file_name
from scanner.app.importing import Importer, opened_list
from scanner.app.listkeys import ListKeys, stored_under
from scanner.config import FeedConfig
from scanner.feeds import FetchRequest
from scanner.index import OpenFeed, Snapshot
from scanner.model.errors import FeedRefusedError, StorageError
from scanner.model.feeds import FeedTerms
from scanner.model.names import unused_name


class AdhocLists:
    """Fetches, imports and opens them."""

    def __init__(self, importer: Importer, keys: ListKeys) -> None:
        self._importer = importer
        self._keys = keys

    async def open(self, text: str, taken: Sequence[str]) -> OpenFeed:
        """A list named on the command line: a file or a URL, its format detected; kept for the next time.

        Raises:
            FeedError: it can't be used.
        """
        staged: Path | None = None
        source = Path(text)
        check_file_name(source.name.split("?", 1)[0])
        if "://" in text:
            staged = source = self._importer.work / f"adhoc-{self._importer.ids.new()}"
            request = FetchRequest(feed=text, url=text, now_ns=self._importer.now_ns())
            await self._importer.processes.fetch(request, self._importer.work, staged)
        name = unused_name(Path(text.split("?", 1)[0]).name.split(".", 1)[0] or "list", taken)
        try:
            snapshot = await self._snapshot(source)
        finally:
            if staged is not None:
                staged.unlink(missing_ok=True)
        return OpenFeed(FeedTerms(name), snapshot)

    async def _snapshot(self, source: Path) -> Snapshot:
        with opened_list(source) as descriptor:
            return await self._opened(source, descriptor)

    async def _opened(self, source: Path, descriptor: int) -> Snapshot:
        store = self._importer.store
        digest = await asyncio.to_thread(_file_digest, source, descriptor)
        store_name = f"adhoc-{digest[:32]}"
        feed = FeedConfig.model_construct(
            name=store_name,
            max_shrink=1.0,
            format="auto",
            columns={},
            values={},
            header=True,
            member=None,
            delimiter=None,
            encoding=None,
            hash=None,
            max_bytes=1 << 40,
            exchange=None,
            max_malformed=0.0,
            polarity="illegal",
        )
        key = await asyncio.to_thread(self._keys.made)
        if not await asyncio.to_thread(stored_under, key, store.current(store_name)):
            await self._importer.by_hand(feed, source, descriptor, key=key)
        path = store.current(store_name)
        if path is None:
            raise StorageError("an imported list is gone again", where=str(source))
        return await asyncio.to_thread(Snapshot.open, path, key=key)


def _file_digest(path: Path, descriptor: int) -> str:
    """SHA-256 in hexadecimal of a list; its descriptor is at the beginning again."""
    try:
        with open(descriptor, "rb", closefd=False) as f:
            digest = hashlib.file_digest(f, "sha256").hexdigest()
        os.lseek(descriptor, 0, os.SEEK_SET)
    except OSError as e:
        raise FeedRefusedError(
            f"the list can't be read ({e.strerror})", where=str(path), remedy="Name a regular file"
        ) from e
    return digest
