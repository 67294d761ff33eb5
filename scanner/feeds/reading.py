"""Opening a list: size limits, gzip and text encodings, so that a format sees plain UTF-8 or bytes."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from scanner.feeds.decrypting import AGE, Decrypted
from scanner.feeds.pages import MAGIC, read_pages
from scanner.model.errors import FeedFormatError, FeedRefusedError

HEAD = 64 * 1024  # bytes of content that formats are recognised by
_BUFFER = 256 * 1024  # bytes read at once; beyond it reading is no faster

# Bytes of a list, and of its content where it is compressed. Ten million entries in VICS JSON are some
# 5 GB; without a limit a gzip file of 8 MB could keep an import busy for hours.
DEFAULT_MAX_BYTES = 8 * 1024**3

_GZIP = b"\x1f\x8b"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Layer(io.RawIOBase):
    """A source of bytes as a raw stream; io.BufferedReader puts readline and peek on top."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer unless the end comes first: what is peeked at must not depend on short reads."""
        filled = 0
        while filled < len(buffer) and (data := self._next(len(buffer) - filled)):
            buffer[filled : filled + len(data)] = data
            filled += len(data)
        return filled

    def _next(self, size: int) -> bytes:
        """At most `size` bytes; b"" at the end only."""
        raise NotImplementedError


class _Counted(_Layer):
    """Passes bytes on, hashing and counting them, until there are more than may be."""

    def __init__(self, source: _Readable, limit: int, what: str) -> None:
        self._source = source
        self._limit = limit
        self._what = what
        self.bytes = 0
        self.digest = hashlib.sha256()

    def _next(self, size: int) -> bytes:
        try:
            data = self._source.read(size)
        except OSError as e:
            raise _unreadable(e) from e
        self.bytes += len(data)
        if self.bytes > self._limit:
            raise FeedRefusedError(
                f"{self._what} more than {self._limit} bytes",
                remedy="If it is right, raise the feed's max_bytes",
            )
        self.digest.update(data)
        return data


class _Gunzipped(_Layer):
    """The content of a gzip file."""

    def __init__(self, source: io.BufferedReader) -> None:
        self._file = gzip.GzipFile(fileobj=source, mode="rb")

    def _next(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as e:
            raise FeedFormatError(
                "the gzip data is damaged or cut short", remedy="Fetch the list again"
            ) from e


class _Recoded(_Layer):
    """Text of another encoding as UTF-8."""

    def __init__(self, source: _Readable, encoding: str) -> None:
        self._source = source
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = b""
        self._ended = False

    def _next(self, size: int) -> bytes:
        while not self._ready and not self._ended:
            data = self._source.read(_BUFFER)
            self._ended = not data
            try:
                self._ready = self._decoder.decode(data, final=self._ended).encode("utf-8")
            except UnicodeError as e:
                raise FeedFormatError(
                    f"the list is not {self._encoding.removesuffix('-sig')} throughout, or cut short",
                    remedy="Correct the feed's encoding:, or tell the publisher",
                ) from e
        data, self._ready = self._ready[:size], self._ready[size:]
        return data


class OpenList:
    """A list that is being read.

    Attributes:
        stream: its content: decompressed, in UTF-8 where it is text, without a byte order mark.
        head: the first 64 KiB of the content, still to be read from `stream` as well; of the first page.
        pages: the pages, where the list came in pages; `stream` is theirs then.
    """

    def __init__(self, source: _Counted, stream: io.BufferedReader) -> None:
        self._source = source
        self.stream: BinaryIO = stream
        self.head = stream.peek(HEAD)[:HEAD]
        self.pages: Iterator[bytes] | None = None
        if self.head.startswith(MAGIC):
            stream.read(len(MAGIC))
            pages = read_pages(stream)
            first = next(pages, b"")
            self.head = first[:HEAD]
            self.pages = chain((first,), pages)

    def finish(self) -> tuple[str, int]:
        """Read what is left; SHA-256 in hexadecimal and number of the exact bytes of the file.

        Raises:
            FeedError: what is left of the content is damaged or cut short.
        """
        while self.stream.read(_BUFFER):
            pass
        while self._source.read(_BUFFER):
            pass
        return self._source.digest.hexdigest(), self._source.bytes


@contextmanager
def open_list(
    source: Path | int, encoding: str | None, max_bytes: int = DEFAULT_MAX_BYTES, identities: str = ""
) -> Iterator[OpenList]:
    """Open a list for reading, forwards and once.

    Args:
        source: its path, or a descriptor of the open file, which is closed at the end.
        encoding: as declared; a byte order mark goes before it.
        max_bytes: of the file, and of its content.
        identities: age's, a line each, for a list that is encrypted; "" for one that is not.

    Raises:
        ConfigError: the identities can't be used.
        FeedRefusedError: it can't be read, is empty, or is too large (also while it is read).
        FeedFormatError: its compression or encoding is broken (also while it is read).
    """
    try:
        file = open(source, "rb", buffering=0)  # noqa: PTH123, SIM115 - maybe a descriptor; closed below
    except OSError as e:
        raise _unreadable(e) from e
    with file:
        counted = _Counted(file, max_bytes, "the list has")
        raw = _decrypted(io.BufferedReader(counted, _BUFFER), identities, max_bytes)
        yield OpenList(counted, _content(raw, encoding, max_bytes))


def _unreadable(e: OSError) -> FeedRefusedError:
    return FeedRefusedError(
        f"the list can't be read ({e.strerror or type(e).__name__})",
        remedy="Name a file that exists and may be read",
    )


def _decrypted(raw: io.BufferedReader, identities: str, max_bytes: int) -> io.BufferedReader:
    """Through encryption, which is outside of everything else; a declared one must be there."""
    if identities:
        plain = _Counted(Decrypted(raw, identities), max_bytes, "decrypted, the list has")
        return io.BufferedReader(plain, _BUFFER)
    if raw.peek(HEAD).startswith(AGE):
        raise FeedRefusedError(
            "the list is encrypted with age",
            remedy="Name the file with your identity in the feed's identity_file",
        )
    return raw


def _content(raw: io.BufferedReader, encoding: str | None, max_bytes: int) -> io.BufferedReader:
    """Through compression and encoding to the content, at its first byte that is no mark."""
    if raw.peek(2).startswith(_GZIP):
        unpacked = _Counted(_Gunzipped(raw), max_bytes, "unpacked, the list has")
        raw = io.BufferedReader(unpacked, _BUFFER)
    head = raw.peek(4)
    if not head:
        raise FeedRefusedError(
            "the list is empty", remedy="The last good list stays in use; ask the publisher"
        )
    for mark, marked in _MARKS:
        if head.startswith(mark):
            encoding = marked
            break
    if encoding is None or _is_utf8(encoding):
        if head.startswith(codecs.BOM_UTF8):
            raw.read(len(codecs.BOM_UTF8))
        return raw
    return io.BufferedReader(_Recoded(raw, encoding), _BUFFER)


def _is_utf8(encoding: str) -> bool:
    """Whether bytes of this encoding can be read as they are.

    Raises:
        FeedRefusedError: there is no such text encoding.
    """
    try:
        "a".encode(encoding)  # of nothing at all Python doesn't say that base64 or zip are no text
        codecs.getincrementaldecoder(encoding)
        return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii")
    except (LookupError, ValueError) as e:
        raise FeedRefusedError(
            f"there is no text encoding '{encoding}'", where="encoding", remedy="For example utf-8 or cp1252"
        ) from e
