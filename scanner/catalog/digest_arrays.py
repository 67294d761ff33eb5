"""The digests of many files as arrays, to be compared with new entries of lists all at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, groupby

import numpy as np
import numpy.typing as npt

from scanner.catalog.chunks import (
    EXACT,
    Head,
    Shape,
    Shaped,
    exact_of,
    names_of,
    places_of,
    shaped_parts,
)
from scanner.catalog.packing import DAMAGE, Packer
from scanner.catalog.records import RowKey
from scanner.model.hashes import KINDS, Digests

Values = npt.NDArray[np.uint8]  # (N, bytes of a value)
Rows = npt.NDArray[np.intp]
# (directory's id, chunk, its head)
Chunk = tuple[int, bytes, Head]


class DigestArrays:
    """Some files of a volume.

    Args:
        chunks: in which they are.
        since: id of the index that all of them were last matched with; "" if that is not known.
        apart: their directories are apart from what the volume says of its directories.
    """

    def __init__(
        self, packer: Packer, chunks: Sequence[Chunk], *, since: str = "", apart: bool = False
    ) -> None:
        self._packer = packer
        self._chunks = chunks
        self.since = since
        self.apart = apart
        self.last_directory = chunks[-1][0]
        self._runs: dict[tuple[Shape, str], list[tuple[int, int, int]]] = {}
        self._shaped: list[tuple[int, Sequence[int], Shaped]] | None = None
        self._exact: dict[str, list[tuple[int, bytes | None, bytes]]] = {}

    def __len__(self) -> int:
        """Files in these chunks, those without digests among them."""
        return sum(head.files for _, _, head in self._chunks)

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
        parts = self._parts(kind)
        if not parts:
            return None
        joined = b"".join([values for _, _, values in parts])
        return np.frombuffer(joined, dtype=np.uint8).reshape(-1, KINDS[kind].size)

    def exact_keys(self, kind: str, found: Rows) -> list[RowKey]:
        """The files of some rows of `exact`.

        Raises:
            CatalogError: a chunk is damaged.
        """
        parts, size = self._parts(kind), KINDS[kind].size
        keys = []
        for place, row in _located([len(values) // size for _, _, values in parts], found):
            chunk, bits, _ = parts[place]
            count = self._chunks[chunk][2].files
            keys.append((chunk, row if bits is None else places_of(bits, count)[row]))
        return self._keys(keys)

    def _parts(self, kind: str) -> list[tuple[int, bytes | None, bytes]]:
        """(place of the chunk, a bit for each file or None: all have it, digests), by chunk."""
        parts = self._exact.get(kind)
        if parts is None:
            try:
                parts = list(exact_of(self._chunks, EXACT.index(kind))) if kind in EXACT else []
            except DAMAGE as e:
                raise self._packer.damaged(e) from e
            self._exact[kind] = parts
        return parts

    def perceptual(self, kind: str, min_quality: int) -> tuple[Values, Rows] | None:
        """All values of a perceptual kind that have the quality, and for each the number of a picture, to be
        given to `picture_keys`; None if there are none.

        Raises:
            CatalogError: a chunk is damaged.
        """
        try:
            values, qualities, counts = self._gather(kind)
            quality = np.frombuffer(b"".join(qualities), dtype=np.uint8)
            if not len(quality):
                return None
            array = np.frombuffer(b"".join(values), dtype=np.uint8).reshape(len(quality), -1)
        except DAMAGE as e:
            raise self._packer.damaged(e) from e
        pictures = np.repeat(np.arange(len(counts), dtype=np.intp), counts)
        good = quality >= min_quality
        if good.all():
            return array, pictures
        return array[good], pictures[good]

    def picture_keys(self, pictures: Rows) -> list[RowKey]:
        """The files of some pictures.

        Raises:
            CatalogError: a chunk is damaged.
        """
        parts = self._views()
        found = []
        counts = [len(shaped.qualities) // len(shaped.shape.views) for _, _, shaped in parts]
        for place, row in _located(counts, np.unique(pictures)):
            chunk, assigned, shaped = parts[place]
            files = [i for i, number in enumerate(assigned) if number == shaped.number]
            found.append((chunk, files[row]))
        return self._keys(found)

    def _keys(self, found: Iterable[tuple[int, int]]) -> list[RowKey]:
        keys: list[RowKey] = []
        for chunk, files in groupby(sorted(set(found)), key=lambda pair: pair[0]):
            directory_id, data, _ = self._chunks[chunk]
            try:
                names = names_of(data)
                keys.extend(RowKey(directory_id, names[place]) for _, place in files)
            except DAMAGE as e:
                raise self._packer.damaged(e) from e
        return keys

    def _views(self) -> list[tuple[int, Sequence[int], Shaped]]:
        if self._shaped is None:
            found: list[tuple[int, Sequence[int], Shaped]] = []
            for place, (_, data, head) in enumerate(self._chunks):
                if head.columns > head.views:
                    assigned, parts = shaped_parts(data, head)
                    found.extend((place, assigned, part) for part in parts)
            self._shaped = found
        return self._shaped

    def _gather(self, kind: str) -> tuple[list[bytes], list[bytes], list[int]]:
        """Values and qualities of a kind, part by part, and how many each picture has."""
        values: list[bytes] = []
        qualities: list[bytes] = []
        counts: list[int] = []
        for _, _, shaped in self._views():
            shape = shaped.shape
            views = len(shape.views)
            pictures = len(shaped.qualities) // views
            runs = self._runs.get((shape, kind))
            if runs is None:
                runs = self._runs[shape, kind] = self._runs_of(shape, kind)
            of_kind = sum(end - start for start, end, _ in runs)
            counts.extend([of_kind] * pictures)
            if of_kind == views:
                values.append(shaped.values)
                qualities.append(bytes(shaped.qualities))
            elif of_kind:
                v, q = _cut(shaped, pictures, runs)
                values.append(v)
                qualities.append(q)
        return values, qualities, counts

    def _runs_of(self, shape: Shape, kind: str) -> list[tuple[int, int, int]]:
        """Where views of a kind stand in a shape: (first view, end, first byte). Those of another length,
        which a plug-in may once have had, can't be compared."""
        starts = list(accumulate(shape.lengths, initial=0))
        size = KINDS[kind].size if kind in KINDS else shape.lengths[0]
        named = zip(self._packer.views_of(kind, shape.views), shape.lengths, strict=True)
        of_kind = [is_kind and length == size for is_kind, length in named]
        runs = []
        for is_kind, group in groupby(range(len(of_kind)), key=of_kind.__getitem__):
            places = list(group)
            if is_kind:
                runs.append((places[0], places[-1] + 1, starts[places[0]]))
        return runs


def _cut(shaped: Shaped, pictures: int, runs: Sequence[tuple[int, int, int]]) -> tuple[bytes, bytes]:
    """Values and qualities of some views of each picture, picture by picture."""
    shape = shaped.shape
    quality = np.frombuffer(bytes(shaped.qualities), dtype=np.uint8).reshape(pictures, -1)
    values = np.frombuffer(shaped.values, dtype=np.uint8).reshape(pictures, -1)
    parts = [
        (quality[:, start:end], values[:, at : at + sum(shape.lengths[start:end])]) for start, end, at in runs
    ]
    if len(parts) == 1:
        return parts[0][1].tobytes(), parts[0][0].tobytes()
    return (
        np.concatenate([v for _, v in parts], axis=1).tobytes(),
        np.concatenate([q for q, _ in parts], axis=1).tobytes(),
    )


def _located(counts: Sequence[int], rows: Rows) -> list[tuple[int, int]]:
    """For some rows of parts that follow each other: which part, and which row of it."""
    ends = np.cumsum(counts)
    places = np.searchsorted(ends, rows, side="right")
    starts = np.concatenate(([0], ends))
    return list(zip(places.tolist(), (rows - starts[places]).tolist(), strict=True))


def digested_files(packer: Packer, chunks: Iterable[Chunk]) -> Iterable[tuple[RowKey, Digests]]:
    """The files of some chunks that have digests.

    Raises:
        CatalogError: a chunk is damaged.
    """
    for directory_id, data, _ in chunks:
        for row in packer.rows(data):
            digests = packer.digests(row)
            if digests.exact or digests.perceptual:
                yield RowKey(directory_id, row[0]), digests
