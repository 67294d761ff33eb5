"""Files of a tree as they are on the wire: gzip, bounded when unpacked."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator

from scanner.model.errors import FeedFormatError, FeedTransportError

MAX_PACKED = 16 << 20  # bytes of one file
MAX_UNPACKED = 64 << 20  # and of its lines


def pack(lines: bytes) -> bytes:
    """The file of some lines; equal lines make equal bytes."""
    return gzip.compress(lines, 6, mtime=0)


def unpack(packed: bytes, name: str = "a file of the tree") -> bytes:
    """The lines of a file, each with its sign and line feed.

    Raises:
        FeedFormatError: it is damaged, cut short, or unpacks to more than a file of a tree has.
    """
    inflate = zlib.decompressobj(wbits=31)  # gzip
    try:
        content = inflate.decompress(packed, MAX_UNPACKED)
    except zlib.error as e:
        raise FeedFormatError("it is damaged", where=name, remedy="Tell the publisher") from e
    if inflate.unconsumed_tail:
        raise FeedFormatError(f"it has more than {MAX_UNPACKED} bytes when unpacked", where=name)
    if not inflate.eof or inflate.unused_data or (content and not content.endswith(b"\n")):
        raise FeedFormatError("it is cut short", where=name, remedy="Tell the publisher")
    return content


def split(content: bytes) -> Iterator[bytes]:
    """Lines without their line feeds."""
    return iter(content.split(b"\n")[:-1])


def check(packed: bytes, sha256: str, size: int) -> None:
    """Whether this is the file that was named.

    Raises:
        FeedTransportError: it isn't.
    """
    if len(packed) != size or hashlib.sha256(packed).hexdigest() != sha256:
        raise FeedTransportError(
            "a file of the tree is not the one its notification names", remedy="Tell the publisher"
        )
