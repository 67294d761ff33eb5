"""What all readers of JSON as a stream of events share: a limit on silence, and one way to say what broke."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ijson

from scanner.feeds.layers import Readable
from scanner.model.errors import FeedFormatError

CHUNK = 64 * 1024
"""Bytes given to the JSON parser at once: it answers with all their events in memory."""

# Bytes without a single JSON event: one value this long is no list, and the parser holds it whole.
MAX_VALUE = 16 * 1024 * 1024

BEGINS = frozenset({"start_map", "start_array"})
ENDS = frozenset({"end_map", "end_array"})


class Guarded:
    """A stream that ends when the parser swallows too much without an answer.

    Args:
        limit: bytes.
        what: what there is more than `limit` of, as in "a single value of more than 3 bytes".

    Attributes:
        silent: bytes since the last answer; whoever gets one sets it to 0.
    """

    def __init__(
        self, stream: Readable, limit: int = MAX_VALUE, what: str = "a single value of more than {} bytes"
    ) -> None:
        self._stream = stream
        self._limit = limit
        self._what = what
        self.silent = 0

    def read(self, size: int = -1) -> bytes:
        if self.silent > self._limit:
            raise FeedFormatError(self._what.format(self._limit))
        piece = self._stream.read(size)
        self.silent += len(piece)
        return piece


@contextmanager
def located(where: Callable[[], str]) -> Iterator[None]:
    """Name the place in errors, also in those of the parser.

    Args:
        where: the JSON path that reading has come to; never a value.
    """
    try:
        yield
    except (ijson.JSONError, UnicodeDecodeError) as e:  # their own texts quote the list
        raise broken(where()) from e
    except FeedFormatError as e:
        raise FeedFormatError(e.what, where=e.where or where(), remedy=e.remedy) from e


def broken(where: str) -> FeedFormatError:
    """The error of a document that is no whole JSON."""
    return FeedFormatError(
        "here the JSON is cut short or broken",
        where=where,
        remedy="Fetch the list again; if it stays so, tell the publisher",
    )
