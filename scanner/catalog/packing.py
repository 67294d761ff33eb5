"""Records to rows of `chunks` and back."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence

from scanner.catalog.chunks import EXACT, FIRST_DIGEST, NO_VIEWS, STATE, Row, Views, decode
from scanner.catalog.database import Database
from scanner.catalog.vocabulary import Vocabulary
from scanner.model.errors import CatalogError
from scanner.model.files import FileStat, FileState, KnownFile
from scanner.model.hashes import Digests, PerceptualHash

# What taking damaged bytes apart may end in.
DAMAGE = (ValueError, TypeError, LookupError, OverflowError, struct.error, zlib.error)
_VIEWS = FIRST_DIGEST + len(EXACT)
_SHA256 = FIRST_DIGEST + EXACT.index("sha256")  # asked first: nearly all files have it


class Packer:
    """Packs and unpacks; knows the numbers of the words that stand in rows."""

    def __init__(self, database: Database, terms: Vocabulary, views: Vocabulary) -> None:
        self._database = database
        self._terms = terms
        self._views = views
        self._codes: dict[str, int] = {}
        self._pairs: dict[tuple[str, str, int], tuple[int, int]] = {}

    def row(self, known: KnownFile) -> Row:
        """A file as a row.

        Raises:
            CatalogError: a new word can't be stored.
            RuntimeError: an exact kind that has no column.
        """
        stat, digests = known.stat, known.digests
        problem = digests.problem
        exact = digests.exact
        get = exact.get
        md5, sha1, sha256, sha512 = get("md5"), get("sha1"), get("sha256"), get("sha512")
        there = (md5 is not None) + (sha1 is not None) + (sha256 is not None) + (sha512 is not None)
        if there != len(exact):
            raise RuntimeError(f"the catalog has no column for one of {sorted(exact)}")
        return (
            stat.name,
            stat.inode,
            stat.size,
            stat.mtime_ns,
            stat.ctime_ns,
            stat.links,
            stat.blocks,
            +known.state,
            self._codes.get(digests.media_type) or self._code(digests.media_type),
            self._codes.get(problem) or self._code(problem) if problem else 0,
            digests.size,
            md5,
            sha1,
            sha256,
            sha512,
            self._pack_views(digests.perceptual) if digests.perceptual else NO_VIEWS,
        )

    def rows(self, data: bytes) -> list[Row]:
        """The rows of a chunk.

        Raises:
            CatalogError: it is damaged.
        """
        try:
            return decode(data)
        except DAMAGE as e:
            raise self.damaged(e) from e

    def known(self, row: Row, device: int) -> KnownFile:
        """The record of a row.

        Raises:
            CatalogError: the row is damaged.
        """
        name, inode, size, mtime_ns, ctime_ns, links, blocks, state = row[: STATE + 1]
        stat = FileStat(name, device, inode, size, mtime_ns, ctime_ns, links, blocks)
        try:
            return KnownFile(stat, FileState(state), self.digests(row))
        except ValueError as e:
            raise self.damaged(e) from e

    def digests(self, row: Row) -> Digests:
        """The digests in a row.

        Raises:
            CatalogError: the row is damaged.
        """
        media_type, problem, size = row[STATE + 1 : FIRST_DIGEST]
        values = row[FIRST_DIGEST:_VIEWS]
        exact = {kind: value for kind, value in zip(EXACT, values, strict=True) if value is not None}
        try:
            perceptual = self._unpack_views(row[_VIEWS]) if row[_VIEWS][0] else ()
            return Digests(size, self._term(media_type), exact, perceptual, self._term(problem))
        except DAMAGE as e:
            raise self.damaged(e) from e

    def is_picture(self, row: Row) -> bool:
        """Whether perceptual hashes are computed of such a file."""
        try:
            return bool(row[_VIEWS][0]) or self._term(row[STATE + 1]).startswith("image/")
        except LookupError as e:
            raise self.damaged(e) from e

    def kinds_in(self, row: Row) -> frozenset[str]:
        """The perceptual kinds of which a row has values."""
        try:
            return frozenset(str(self._views.words(code)[0]) for code, _ in row[_VIEWS][0])
        except LookupError as e:
            raise self.damaged(e) from e

    def views_of(self, kind: str, numbers: Iterable[int]) -> list[bool]:
        """Which of these views are of a kind of hash.

        Raises:
            CatalogError: one is not known.
        """
        try:
            return [self._views.words(number)[0] == kind for number in numbers]
        except LookupError as e:
            raise self.damaged(e) from e

    def damaged(self, cause: Exception) -> CatalogError:
        """What is to be raised for bytes that make no sense."""
        return self._database.damaged(cause)

    def _code(self, term: str) -> int:
        if not term:
            return 0
        code = self._codes[term] = self._terms.code((term,))
        return code

    def _term(self, code: int) -> str:
        return str(self._terms.words(code)[0]) if code else ""

    def _pack_views(self, hashes: Sequence[PerceptualHash]) -> Views:
        known = self._pairs
        values = [h.value for h in hashes]
        try:
            pairs = tuple([known[h.kind, h.view, len(h.value)] for h in hashes])
        except KeyError:
            for h in hashes:
                known[h.kind, h.view, len(h.value)] = (self._views.code((h.kind, h.view)), len(h.value))
            return self._pack_views(hashes)
        return pairs, [h.quality for h in hashes], b"".join(values)

    def _unpack_views(self, packed: Views) -> tuple[PerceptualHash, ...]:
        pairs, qualities, values = packed
        hashes: list[PerceptualHash] = []
        at = 0
        for (code, length), quality in zip(pairs, qualities, strict=True):
            kind, view = self._views.words(code)
            hashes.append(PerceptualHash(str(kind), str(view), values[at : at + length], quality))
            at += length
        return tuple(hashes)


def with_state(row: Row, state: FileState) -> Row:
    """A row with another state."""
    return (*row[:STATE], int(state), *row[STATE + 1 :])


def digested(rows: Iterable[Row]) -> int:
    """How many of the rows can be matched."""
    return len([1 for row in rows if row[_SHA256] or any(row[FIRST_DIGEST:_VIEWS]) or row[_VIEWS][0]])
