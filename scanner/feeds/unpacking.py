"""Compressed lists: gzip, zstd, and ZIP with one list in it; one level deep, and no more than plausible."""

from __future__ import annotations

import gzip
import io
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from struct import unpack_from
from typing import IO

from scanner.feeds.checks import shown
from scanner.feeds.layers import BUFFER, Counted, Layer, Readable
from scanner.model.errors import FeedFormatError, FeedRefusedError, StorageError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

GZIP, ZSTD, ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
_OTHERS = {b"\xfd7zXZ": "xz", b"BZh": "bzip2", b"7z\xbc\xaf": "7z", b"Rar!": "RAR"}
_PACKED = (GZIP, ZSTD, ZIP, _EMPTY_ZIP, *_OTHERS)

# How many times its size a list may unpack to: digests in digits come to 2, VICS without PhotoDNA to some 10.
# Small lists may do as they like.
_MAX_RATIO = 200
_RATIO_FROM = 64 << 20  # bytes

# 128 MiB, zstd's own limit for streams; `--long=31` would take 2 GiB of memory.
_WINDOW_LOG = 27

_IN_MEMORY = 16 << 20  # bytes of an archive; a larger one goes to a file without a name
_DIRECTORY = 16 << 20  # bytes of an archive's directory, which is read whole: some 200,000 files
_SHOWN_MEMBERS = 5
_LISTS = frozenset(
    {".json", ".csv", ".tsv", ".txt", ".lst", ".list", ".xml", ".md5", ".sha1", ".sha256", ".sha512"}
    | {".hash", ".hashes", ".hsh", ".hdb", ".hsb", ".fp", ".db", ".kdb"}
)
_PAPERS = ("readme", "license", "licence", "signature", "checksum", "changelog", "manifest")


def is_packed(head: bytes) -> bool:
    """Whether content that begins like this is compressed."""
    return head.startswith(_PACKED)


def unpacked(packed: io.BufferedReader, counted: Counted, max_bytes: int, member: str | None) -> Counted:
    """The content of a compressed list.

    Args:
        packed: the list, at its beginning.
        counted: what counts the bytes of the list.
        max_bytes: of the content.
        member: the name of the list in an archive, with `*` and `?`.

    Raises:
        FeedRefusedError: an archive that isn't read, is encrypted, or of which it is not clear which file is
            the list; too large, or implausibly well compressed, also while it is read.
        FeedFormatError: it is damaged or cut short, also while it is read.
        StorageError: there is no room to unpack it.
    """
    head = packed.peek(6)
    for magic, name in _OTHERS.items():
        if head.startswith(magic):
            raise FeedRefusedError(
                f"this is no list that can be read: it is compressed with {name}",
                remedy="Have it published as the list itself, or with gzip, zstd or ZIP",
            )
    content: Layer
    if head.startswith(GZIP):
        content = _Gunzipped(packed)
    elif head.startswith(ZSTD):
        content = _Unzstd(packed)
    else:
        content = _Member(packed, member)
    return Counted(_Plausible(content, counted), max_bytes, "unpacked, the list has")


class _Plausible(Layer):
    """Passes on what is unpacked, until it is more than a list can have been packed into so few bytes."""

    def __init__(self, content: Layer, packed: Counted) -> None:
        self._content = content
        self._packed = packed
        self._bytes = 0

    def next(self, size: int) -> bytes:
        data = self._content.next(size)
        self._bytes += len(data)
        if self._bytes > _RATIO_FROM and self._bytes > _MAX_RATIO * self._packed.bytes:
            raise FeedRefusedError(
                f"unpacked, the list is more than {_MAX_RATIO} times as large: it is made to exhaust us",
                remedy="If it is right, have it published as it is",
            )
        return data


class _Gunzipped(Layer):
    """The content of a gzip file."""

    def __init__(self, source: io.BufferedReader) -> None:
        self._file = gzip.GzipFile(fileobj=source, mode="rb")

    def next(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as e:
            raise _damaged("gzip data") from e


class _Unzstd(Layer):
    """The content of a zstd file, of one frame or several (RFC 8878)."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
        self._frame = zstd.ZstdDecompressor(options=self._options)
        self._begun = False

    def next(self, size: int) -> bytes:
        while True:
            data = b""
            if self._frame.eof:
                data = self._frame.unused_data or self._source.read(BUFFER)
                if not data:
                    return b""
                self._frame = zstd.ZstdDecompressor(options=self._options)
            elif self._frame.needs_input:
                data = self._source.read(BUFFER)
                if not data:
                    raise _damaged("zstd data")
            try:
                found = self._frame.decompress(data, size)
            except zstd.ZstdError as e:
                raise _damaged("zstd data") from e
            if found:
                return found


class _Member(Layer):
    """The list in a ZIP archive. Its directory stands at its end, so it is taken whole first."""

    def __init__(self, source: Readable, member: str | None) -> None:
        archive = _copied(source)
        _check_directory(archive)
        try:
            opened = zipfile.ZipFile(archive)
            chosen = _chosen(opened.infolist(), member)
            self._file = opened.open(chosen)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, LookupError, OSError, ValueError) as e:
            raise _damaged("ZIP archive") from e

    def next(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except (zipfile.BadZipFile, EOFError, zlib.error) as e:
            raise _damaged("ZIP archive") from e


def _copied(source: Readable) -> IO[bytes]:
    """All of a stream in a file of ours, or in memory where it is small."""
    # Here, since the process that reads lists may write nowhere else; it goes with the last reference.
    copy = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=".")  # noqa: SIM115
    try:
        while data := source.read(BUFFER):
            copy.write(data)
        copy.seek(0)
    except OSError as e:
        raise StorageError(
            f"the archive can't be unpacked ({e.strerror})", where="the folder of imports"
        ) from e
    return copy


def _check_directory(archive: IO[bytes]) -> None:
    """The end record and its ZIP64 twin (APPNOTE 4.3.14 and 4.3.16) say how large the directory is.

    Raises:
        FeedRefusedError: far too many files.
        FeedFormatError: there is no end.
    """
    size = archive.seek(0, io.SEEK_END)
    start = max(0, size - (1 << 16) - 22 - 76)
    archive.seek(start)
    tail = archive.read()
    archive.seek(0)
    at = tail.rfind(_EMPTY_ZIP)
    if at < 0 or len(tail) - at < 22:
        raise _damaged("ZIP archive")
    length = unpack_from("<I", tail, at + 12)[0]
    twin = tail.rfind(b"PK\x06\x06", 0, at)
    if length == 0xFFFFFFFF and 0 <= twin <= at - 48:
        length = unpack_from("<Q", tail, twin + 40)[0]
    if length > _DIRECTORY:
        raise FeedRefusedError("the ZIP archive has too many files", remedy="Have the list published alone")


def _chosen(members: Sequence[zipfile.ZipInfo], wanted: str | None) -> zipfile.ZipInfo:
    """The list of an archive.

    Raises:
        FeedRefusedError: there is none, or more than one; it can't be read.
    """
    files = [m for m in members if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
    if wanted is not None:
        found = [m for m in files if fnmatchcase(m.filename, wanted) or fnmatchcase(_name(m), wanted)]
    elif len(files) == 1:
        found = files
    else:
        found = [m for m in files if _like_a_list(m)]
    if len(found) != 1:
        names = ", ".join(shown(m.filename) for m in (found or files)[:_SHOWN_MEMBERS]) or "nothing"
        what = f"of its {len(files)} files {len(found)} could be the list"
        raise FeedRefusedError(
            f"the ZIP archive has no single list: {what}; there are {names}",
            remedy="Name the one to read in the feed's configuration: member: (with * and ? as in a shell)",
        )
    if found[0].flag_bits & 0x1:
        raise FeedRefusedError(
            "the ZIP archive is encrypted with a password",
            remedy="Passwords of archives are not supported: have the list published without",
        )
    if found[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FeedRefusedError(
            f"the ZIP archive is compressed by method {found[0].compress_type}",
            remedy="Have it made with deflate, the usual one",
        )
    return found[0]


def _name(member: zipfile.ZipInfo) -> str:
    return PurePosixPath(member.filename).name


def _like_a_list(member: zipfile.ZipInfo) -> bool:
    name = PurePosixPath(_name(member).casefold())
    return name.suffix in _LISTS and not name.name.startswith((*_PAPERS, "."))


def _damaged(what: str) -> FeedFormatError:
    return FeedFormatError(f"the {what} is damaged or cut short", remedy="Fetch the list again")
