"""The digests of many files as arrays, to be compared with new entries of lists all at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, groupby

import numpy as np
import numpy.typing as npt

from scanner.catalog.chunks import EXACT, Shape, names_of, places_of
from scanner.catalog.many import Chunks, Column, Group, column_of, groups_of
from scanner.catalog.packing import DAMAGE, Packer
from scanner.catalog.records import RowKey
from scanner.model.hashes import KINDS, Digests

Values = npt.NDArray[np.uint8]  # (N, bytes of a value)
Rows = npt.NDArray[np.intp]


class DigestArrays:
    """Some files of a volume.

    Args:
        chunks: in which they are.
        since: id of the index that all of them were last matched with; "" if that is not known.
        apart: their directories are apart from what the volume says of its directories.
    """

    def __init__(self, packer: Packer, chunks: Chunks, *, since: str = "", apart: bool = False) -> None:
        self._packer = packer
        self._chunks = chunks
        self.since = since
        self.apart = apart
        self.last_directory = chunks.directories[-1]
        self._exact: dict[str, Column] = {}
        self._pictures: list[Group] | None = None

    def __len__(self) -> int:
        """Files in these chunks, those without digests among them."""
        return self._chunks.files

    def digests(self) -> list[tuple[RowKey, Digests]]:
        """The files that have digests, one by one.

        Raises:
            CatalogError: a chunk is damaged.
        """
        return list(digested_files(self._packer, self._chunks))

    def exact(self, kind: str) -> Values | None:
        """All digests of an exact kind in these files; None if there are none.

        Raises:
            CatalogError: a chunk is damaged.
        """
        if kind not in EXACT:
            return None
        values = self._column(kind).values
        return np.frombuffer(values, dtype=np.uint8).reshape(-1, KINDS[kind].size) if values else None

    def exact_keys(self, kind: str, found: Rows) -> list[RowKey]:
        """The files of some rows of `exact`.

        Raises:
            CatalogError: a chunk is damaged.
        """
        column = self._column(kind)
        keys = []
        for number, row in _located(column.counts, found):
            place = int(column.places[number])
            bits = column.bits.get(place)
            count = int(self._chunks.heads["files"][place])
            keys.append((place, row if bits is None else places_of(bits, count)[row]))
        return self._keys(keys)

    def _column(self, kind: str) -> Column:
        column = self._exact.get(kind)
        if column is None:
            try:
                column = self._exact[kind] = column_of(self._chunks, EXACT.index(kind))
            except DAMAGE as e:
                raise self._packer.damaged(e) from e
        return column

    def perceptual(self, kind: str, min_quality: int) -> tuple[Values, Rows] | None:
        """All values of a perceptual kind that have the quality, and for each the number of a picture, to be
        given to `picture_keys`; None if there are none.

        Raises:
            CatalogError: a chunk is damaged.
        """
        values: list[Values] = []
        pictures: list[Rows] = []
        first = 0
        for group in self._groups():
            here = np.arange(first, first + len(group.values))
            first += len(group.values)
            for view, start, end in self._places_of(group.shape, kind):
                good = group.qualities[:, view] >= min_quality
                if good.all():
                    values.append(group.values[:, start:end])
                    pictures.append(here)
                else:
                    values.append(group.values[good, start:end])
                    pictures.append(here[good])
        if not values:
            return None
        return np.concatenate(values), np.concatenate(pictures)

    def picture_keys(self, pictures: Rows) -> list[RowKey]:
        """The files of some pictures.

        Raises:
            CatalogError: a chunk is damaged.
        """
        groups = self._groups()
        found = []
        for number, row in _located([len(group.values) for group in groups], np.unique(pictures)):
            group = groups[number]
            ((part, place_row),) = _located(group.counts, np.array([row]))
            place = group.places[part]
            files = group.files.get(place)
            found.append((place, place_row if files is None else files[place_row]))
        return self._keys(found)

    def _keys(self, found: Iterable[tuple[int, int]]) -> list[RowKey]:
        keys: list[RowKey] = []
        for place, files in groupby(sorted(set(found)), key=lambda pair: pair[0]):
            try:
                names = names_of(self._chunks.data[place])
                keys.extend(RowKey(self._chunks.directories[place], names[file]) for _, file in files)
            except DAMAGE as e:
                raise self._packer.damaged(e) from e
        return keys

    def _groups(self) -> list[Group]:
        if self._pictures is None:
            try:
                self._pictures = groups_of(self._chunks)
            except DAMAGE as e:
                raise self._packer.damaged(e) from e
        return self._pictures

    def _places_of(self, shape: Shape, kind: str) -> list[tuple[int, int, int]]:
        """(view, first byte, end) of the views of a kind in a shape. Those of another length, which a
        plug-in may once have had, can't be compared."""
        ends = list(accumulate(shape.lengths))
        size = KINDS[kind].size if kind in KINDS else shape.lengths[0]
        named = zip(self._packer.views_of(kind, shape.views), shape.lengths, strict=True)
        of_kind = [is_kind and length == size for is_kind, length in named]
        return [(view, ends[view] - size, ends[view]) for view, given in enumerate(of_kind) if given]


def _located(counts: Sequence[int] | npt.NDArray[np.int64], rows: Rows) -> list[tuple[int, int]]:
    """For some rows of parts that follow each other: which part, and which row of it."""
    ends = np.cumsum(counts)
    places = np.searchsorted(ends, rows, side="right")
    starts = np.concatenate(([0], ends))
    return list(zip(places.tolist(), (rows - starts[places]).tolist(), strict=True))


def digested_files(packer: Packer, chunks: Chunks) -> Iterable[tuple[RowKey, Digests]]:
    """The files of some chunks that have digests.

    Raises:
        CatalogError: a chunk is damaged.
    """
    for directory_id, data in chunks:
        for row in packer.rows(data):
            digests = packer.digests(row)
            if digests.exact or digests.perceptual:
                yield RowKey(directory_id, row[0]), digests
