"""What many chunks have in common is taken out of all of them at once.

A chunk has some twenty files, so whatever Python does for each chunk is what a look at all of them costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from scanner.catalog.chunks import (
    EXACT,
    HEAD_SIZE,
    SIZES,
    Shape,
    exact_parts,
    head_of,
    shape_table_end,
    shaped_parts,
    shapes_of,
)

_HEAD = np.dtype([("format", "u1"), ("flags", "u1"), ("files", "<u4"), ("views", "<u4"), ("columns", "<u4")])
_NONE, _ALL = 0, 1  # two bits of the flags
_TABLES = 32  # different tables of shapes after which chunks are taken apart one by one
# How a column of `integers` begins that is: one number for all, within a byte; bytes; bytes above a base of
# one byte.
_ONE, _BYTES, _BYTES_ABOVE = 0x10, 0x01, 0x11
_SIGNED = 0x80  # bases from here on are negative


@dataclass(frozen=True, slots=True)
class Chunks:
    """Some chunks of a volume, in order.

    Attributes:
        directories: the id of each one's directory.
        data: themselves.
        heads: (N,) their heads, see `chunks`.
    """

    directories: Sequence[int]
    data: Sequence[bytes]
    heads: npt.NDArray[Any]

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """(directory's id, chunk) of each."""
        return iter(zip(self.directories, self.data, strict=True))

    @property
    def files(self) -> int:
        """How many files are in them."""
        return int(self.heads["files"].sum(dtype=np.int64))


def heads_of(data: Sequence[bytes]) -> npt.NDArray[Any]:
    """The heads of many chunks.

    Raises:
        ValueError: one is none.
    """
    heads = np.frombuffer(b"".join([chunk[:HEAD_SIZE] for chunk in data]), dtype=_HEAD)
    if len(heads) == len(data):
        lengths = np.fromiter(map(len, data), dtype=np.int64, count=len(data))
        views, columns = heads["views"], heads["columns"]
        right = (heads["format"] == 1) & (views >= HEAD_SIZE) & (columns >= views) & (lengths >= columns)
        if right.all():
            return heads
    raise ValueError("this is no chunk")


class Column(NamedTuple):
    """The digests of a kind in some chunks.

    Attributes:
        places: of the chunks that have some.
        counts: of digests in each.
        bits: by place, a bit for each file where only some of a chunk have one.
        values: the digests, one after another.
    """

    places: npt.NDArray[np.intp]
    counts: npt.NDArray[np.int64]
    bits: Mapping[int, bytes]
    values: bytes


def column_of(chunks: Chunks, kind: int) -> Column:
    """The digests of a place in `EXACT`.

    Raises:
        ValueError: digests are cut off.
    """
    flags, files = chunks.heads["flags"], chunks.heads["files"].astype(np.int64)
    have = [flags >> 2 * place & 3 for place in range(len(EXACT))]
    whole = np.ones(len(files), dtype=np.bool_)
    ends = np.full(len(files), HEAD_SIZE, dtype=np.int64)
    starts = ends
    for place, size in enumerate(SIZES):
        starts = ends.copy() if place == kind else starts
        ends += np.where(have[place] == _ALL, files * size, 0)
        whole &= have[place] <= _ALL
    if (whole & (ends != chunks.heads["views"])).any():
        raise ValueError("digests are cut off")
    places = np.flatnonzero(have[kind] != _NONE)
    counts, size = files[places], SIZES[kind]
    low = starts[places]
    spans = zip(places.tolist(), low.tolist(), (low + counts * size).tolist(), strict=True)
    data = chunks.data
    parts = [data[place][start:end] for place, start, end in spans]
    bits: dict[int, bytes] = {}
    for number in np.flatnonzero(~whole[places]).tolist():
        place = int(places[number])
        for of, some, values in exact_parts(data[place], head_of(data[place])):
            if of == kind:
                parts[number] = values
                counts[number] = len(values) // size
                if some is not None:
                    bits[place] = some
    return Column(places, counts, bits, b"".join(parts))


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures that have the same views, chunk by chunk.

    Attributes:
        shape: what views.
        places: of the chunks.
        counts: of pictures in each.
        files: by place, which of its files the pictures are; all of them where it is missing.
        qualities: (pictures, views).
        values: (pictures, bytes).
    """

    shape: Shape
    places: Sequence[int]
    counts: Sequence[int]
    files: Mapping[int, Sequence[int]]
    qualities: npt.NDArray[np.uint8]
    values: npt.NDArray[np.uint8]


def groups_of(chunks: Chunks) -> list[Group]:
    """The pictures that have views.

    Raises:
        ValueError, LookupError, struct.error: a chunk is damaged.
    """
    views = chunks.heads["views"].tolist()
    left = np.flatnonzero(chunks.heads["columns"] > chunks.heads["views"]).tolist()
    data = chunks.data
    groups: list[Group] = []
    single: list[int] = []
    for _ in range(_TABLES):
        if not left:
            break
        first = data[left[0]]
        table = first[views[left[0]] : shape_table_end(first, views[left[0]])]
        same = [place for place in left if data[place].startswith(table, views[place])]
        if len(same) < len(left):
            others = set(same)
            left = [place for place in left if place not in others]
        else:
            left = []
        shapes = shapes_of(table)
        if len(shapes) == 1 and len(same) > 1:
            groups.extend(_of_one_shape(chunks, same, len(table), shapes[0], single))
        else:
            single.extend(same)
    for place in sorted(single + left):
        groups.extend(_one_by_one(data[place], place))
    return groups


def _of_one_shape(
    chunks: Chunks, places: Sequence[int], table: int, shape: Shape, single: list[int]
) -> Iterator[Group]:
    """The pictures of chunks that begin with the same table of one shape; those that are written in another
    way than nearly all are added to `single`."""
    heads, data = chunks.heads, chunks.data
    starts, ends, files = heads["views"].tolist(), heads["columns"].tolist(), heads["files"].tolist()
    found: list[int] = []
    some: dict[int, Sequence[int]] = {}
    read: list[_Pictures] = []
    for place in places:
        part = _pictures(data[place], starts[place] + table, files[place], shape)
        if part is None:
            single.append(place)
            continue
        if part.end != ends[place]:
            raise ValueError("views are cut off")
        if part.files is not None:
            some[place] = [file for file, number in enumerate(part.files) if number]
        found.append(place)
        read.append(part)
    if not found:
        return
    counts = [part.pictures for part in read]
    rows = sum(counts)
    qualities = np.frombuffer(b"".join([part.qualities for part in read]), dtype=np.uint8)
    bases = [part.base for part in read]
    if any(bases):
        wide = qualities + np.repeat(np.array(bases, dtype=np.uint16), np.array(counts) * len(shape.views))
        if len(wide) and wide.max() > 255:
            raise ValueError("a quality is too large")
        qualities = wide.astype(np.uint8)
    values = np.frombuffer(b"".join([part.values for part in read]), dtype=np.uint8)
    yield Group(
        shape,
        found,
        counts,
        some,
        qualities.reshape(rows, len(shape.views)),
        values.reshape(rows, shape.total),
    )


class _Pictures(NamedTuple):
    """Those of a chunk: a byte for each file that is 1 for one, or None: all are; how many; their qualities
    above a base; their values, and where these end."""

    files: bytes | None
    pictures: int
    qualities: bytes
    base: int
    values: bytes
    end: int


def _pictures(chunk: bytes, at: int, count: int, shape: Shape) -> _Pictures | None:
    """What stands behind the table of one shape, if its columns are as they nearly always are."""
    form, one = chunk[at : at + 2]
    files = None
    if form == _ONE and one == 1:
        at += 2
    elif form == _BYTES:
        files = chunk[at + 1 : at + 1 + count]
        at += 1 + count
        count = files.count(1)
        if count + files.count(0) != len(files):
            return None
    else:
        return None
    form, base = chunk[at : at + 2]
    size = count * len(shape.views)
    if form == _BYTES_ABOVE and base < _SIGNED:
        qualities, at = chunk[at + 2 : at + 2 + size], at + 2 + size
    elif form == _BYTES:
        qualities, at, base = chunk[at + 1 : at + 1 + size], at + 1 + size, 0
    elif form == _ONE and base < _SIGNED:
        qualities, at = bytes(size), at + 2
    else:
        return None
    end = at + count * shape.total
    return _Pictures(files, count, qualities, base, chunk[at:end], end)


def _one_by_one(chunk: bytes, place: int) -> Iterator[Group]:
    assigned, parts = shaped_parts(chunk, head_of(chunk))
    for part in parts:
        files = [file for file, number in enumerate(assigned) if number == part.number]
        qualities = np.frombuffer(bytes(part.qualities), dtype=np.uint8).reshape(len(files), -1)
        values = np.frombuffer(part.values, dtype=np.uint8).reshape(len(files), -1)
        yield Group(part.shape, [place], [len(files)], {place: files}, qualities, values)
