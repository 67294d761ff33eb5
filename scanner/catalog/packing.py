"""Rows to records and back.

Perceptual hashes of a file lie in one BLOB, in the order of the file's `Digests.perceptual`, each as

    offset  bytes  little endian
         0      4  views.id: names kind and view
         4      1  quality, 0-100
         5      2  n, length of the value
         7      n  the value, most significant bit first

so two views of PDQ take 78 bytes. Integers that don't fit SQLite's 64 signed bits are BLOBs of 16 bytes:
customers may set any mtime, and inodes of network file systems use all 64 bits.
"""

from __future__ import annotations

import struct
from typing import Any

from scanner.catalog.database import Database
from scanner.catalog.vocabulary import Vocabulary
from scanner.model.files import FileStat, FileState, KnownFile
from scanner.model.hashes import Digests, PerceptualHash

Row = tuple[Any, ...]

_VIEW = struct.Struct("<IBH")
_LOWEST, _HIGHEST = -(1 << 63), (1 << 63) - 1  # SQLite's INTEGER
# The exact kinds that have a column, in the order of the columns.
EXACT = ("md5", "sha1", "sha256", "sha512")
_WIDE = 16  # bytes; more than any number of struct stat times 10**9 needs


def _narrow(number: int) -> int | bytes:
    if _LOWEST <= number <= _HIGHEST:
        return number
    return number.to_bytes(_WIDE, "big", signed=True)


def _wide(stored: int | bytes) -> int:
    return stored if isinstance(stored, int) else int.from_bytes(stored, "big", signed=True)


class Packer:
    """Packs and unpacks; knows the numbers of the words that stand in rows."""

    def __init__(self, database: Database, terms: Vocabulary, views: Vocabulary) -> None:
        self._database = database
        self._terms = terms
        self._views = views

    def row(self, known: KnownFile) -> Row:
        """The columns of a file, without the directory's id.

        Raises:
            CatalogError: a new word can't be stored.
            RuntimeError: an exact kind that has no column.
        """
        stat, digests = known.stat, known.digests
        exact = [digests.exact.get(kind) for kind in EXACT]
        if len(digests.exact) != len(exact) - exact.count(None):
            raise RuntimeError(f"the catalog has no column for one of {sorted(digests.exact)}")
        return (
            stat.name,
            _narrow(stat.inode),
            stat.size,
            _narrow(stat.mtime_ns),
            _narrow(stat.ctime_ns),
            stat.links,
            stat.blocks,
            int(known.state),
            self._term_code(digests.media_type),
            self._term_code(digests.problem),
            None if digests.size == stat.size else digests.size,
            *exact,
            self._pack_views(digests.perceptual) if digests.perceptual else None,
        )

    def known(self, row: Row, device: int) -> KnownFile:
        """The record of a row as the queries give it.

        Raises:
            CatalogError: the row is damaged.
        """
        try:
            name, inode, size, mtime_ns, ctime_ns, links, blocks, state, *rest = row
            media_type, problem, hashed, *values = rest
            stat = FileStat(name, device, _wide(inode), size, _wide(mtime_ns), _wide(ctime_ns), links, blocks)
            read = size if hashed is None else hashed
            return KnownFile(stat, FileState(state), self._digests(read, media_type, problem, *values))
        except (ValueError, TypeError, LookupError, struct.error) as e:
            raise self._database.damaged(e) from e

    def digests(self, row: Row) -> Digests:
        """Digests from the columns (size, media type, problem, the exact kinds, views).

        Raises:
            CatalogError: the row is damaged.
        """
        try:
            return self._digests(*row)
        except (ValueError, TypeError, LookupError, struct.error) as e:
            raise self._database.damaged(e) from e

    def _digests(self, size: int, media_type: int, problem: int, *values: bytes | None) -> Digests:
        *digests, views = values
        exact = {kind: value for kind, value in zip(EXACT, digests, strict=True) if value is not None}
        perceptual = self._unpack_views(views) if views else ()
        return Digests(size, self._term(media_type), exact, perceptual, self._term(problem))

    def _term_code(self, term: str) -> int:
        return self._terms.code((term,)) if term else 0

    def _term(self, code: int) -> str:
        return self._terms.words(code)[0] if code else ""

    def _pack_views(self, hashes: tuple[PerceptualHash, ...]) -> bytes:
        parts: list[bytes] = []
        for h in hashes:
            parts.append(_VIEW.pack(self._views.code((h.kind, h.view)), h.quality, len(h.value)))
            parts.append(h.value)
        return b"".join(parts)

    def _unpack_views(self, packed: bytes) -> tuple[PerceptualHash, ...]:
        hashes: list[PerceptualHash] = []
        offset = 0
        while offset < len(packed):
            code, quality, length = _VIEW.unpack_from(packed, offset)
            offset += _VIEW.size
            value = packed[offset : offset + length]
            if len(value) != length:
                raise ValueError("a perceptual hash is cut off")
            offset += length
            kind, view = self._views.words(code)
            hashes.append(PerceptualHash(kind, view, value, quality))
        return tuple(hashes)
