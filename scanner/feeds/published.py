"""A list as it was published, looked at before anything of it is read: its digest, for its signature."""

from __future__ import annotations

import hashlib
import os

from scanner.feeds.trust import MAX_LEGACY, Published
from scanner.model.errors import FeedRefusedError

_CHUNK = 1 << 20  # bytes read at once


def published(descriptor: int, *, content: bool = False) -> Published:
    """Digest a list by its descriptor, whose place is left alone; blocking.

    Args:
        content: have its bytes as well, unless they are too many.

    Raises:
        FeedRefusedError: it can't be read.
    """
    digest, kept, at = hashlib.blake2b(), bytearray(), 0
    try:
        while data := os.pread(descriptor, _CHUNK, at):
            digest.update(data)
            at += len(data)
            if content and at <= MAX_LEGACY:
                kept += data
    except OSError as e:
        raise FeedRefusedError(
            f"the list can't be read ({e.strerror})", remedy="Name a regular file that may be read"
        ) from e
    return Published(digest.digest(), bytes(kept) if content and at <= MAX_LEGACY else None)
