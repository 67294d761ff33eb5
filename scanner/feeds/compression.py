"""gzip and zstd: unpacking a stream in pieces, none larger than a limit, whatever it unpacks to."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from typing import Protocol

from scanner.model.errors import FeedTransportError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["ACCEPTED", "Unpacker", "known_encoding", "zstd"]

ACCEPTED = "gzip, zstd"
"""What we tell a server that it may send."""

_PIECE = 256 * 1024  # bytes unpacked at once
_GZIP = 16 + zlib.MAX_WBITS  # zlib's way to say: a gzip header and trailer


class _Member(Protocol):
    """One gzip member or zstd frame; a file may have several, one after the other."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def known_encoding(header: str) -> str | None:
    """Of a Content-Encoding header: "gzip", "zstd", "" for none; None where it is something else."""
    name = header.strip().lower()
    return {"": "", "identity": "", "gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd"}.get(name)


class Unpacker:
    """Undoes one Content-Encoding.

    Args:
        encoding: "gzip" or "zstd".

    Raises (all methods):
        FeedTransportError: it is damaged or cut short.
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._member: _Member | None = None
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take what came; each piece has at most 256 KiB."""
        while data:
            if self._member is None:
                self._member = _gzip() if self._encoding == "gzip" else _zstd()
                self._begun = True
            member = self._member
            yield from self._unpacked(member, data)
            data = member.unused_data if member.eof else b""
            if member.eof:
                self._member = None

    def _unpacked(self, member: _Member, data: bytes) -> Iterator[bytes]:
        while not member.eof:
            try:
                piece = member.decompress(data, _PIECE)
            except (zlib.error, zstd.ZstdError) as e:
                raise _damaged("damaged") from e
            if piece:
                yield piece
            # zlib hands back what it did not take; zstd keeps it.
            data = getattr(member, "unconsumed_tail", b"")
            if not data and len(piece) < _PIECE:
                return

    def finish(self) -> None:
        """There is no more."""
        if self._member is not None or not self._begun:
            raise _damaged("cut short")


def _gzip() -> _Member:
    return zlib.decompressobj(_GZIP)


def _zstd() -> _Member:
    return zstd.ZstdDecompressor()


def _damaged(how: str) -> FeedTransportError:
    return FeedTransportError(
        f"the answer's compression is {how}",
        remedy="It is tried again at the next turn; else ask the publisher",
    )
