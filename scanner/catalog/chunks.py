"""Many files of one directory in one run of bytes, by columns.

    offset  bytes  little endian
         0      1  format, 1
         1      1  two bits for each exact kind, in the order of `EXACT`, lowest first:
                   0 no file has it, 1 all have it, 2 some have it
         2      4  n, number of files
         6      4  where the views begin
        10      4  where the columns begin
        14         digests: for each exact kind that files have: if only some have it, a bit for each file
                   (lowest first, (n + 7) // 8 bytes); then the digests of those that have it, one after
                   another
    views          nothing where no file has any; else as columns of `integers`: how many shapes there are
                   (one number), of each how many views, of all these views the numbers (views.id), the
                   lengths of their values; for each file its shape, counted from 1, or 0 for none. Then for
                   each
                   shape: the qualities as a column and the values, both file by file and in each by view
    columns        of `integers`: inode, size, ctime, mtime less ctime, links, blocks less those that a size
                   takes in blocks of 4 KiB, state, media type and problem (terms.id), bytes hashed less size,
                   lengths of names; then the names, ascending: 0 and as they are, or 1 and deflated (RFC
                   1951)

Digests come first and stand together by kind, so that new entries of lists are compared with whole stretches
of bytes. A shape says once what views a picture has; so a view costs its value and at most a byte.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise, repeat
from operator import add, sub
from typing import Any, NamedTuple

from scanner.catalog.integers import pack_integers, skip_integers, unpack_integers
from scanner.model.hashes import KINDS

# A file as it lies in a chunk: name, inode, size, mtime_ns, ctime_ns, links, blocks, state, media type,
# problem, bytes hashed, the digests of `EXACT` (None: it has none), and its views, see `Views`.
Row = tuple[Any, ...]
# Places in a row.
SIZE, CTIME, STATE, FIRST_DIGEST = 2, 4, 7, 11
# What a picture's views are, (number, length of the value) each; their qualities; their values, joined.
Views = tuple[tuple[tuple[int, int], ...], Sequence[int], bytes]
NO_VIEWS: Views = ((), (), b"")

# The exact kinds that have a column, in the order of the columns.
EXACT = ("md5", "sha1", "sha256", "sha512")
SIZES = tuple(KINDS[kind].size for kind in EXACT)

_FORMAT = 1
_HEAD = struct.Struct("<BBIII")
HEAD_SIZE = _HEAD.size
_NONE, _ALL, _SOME = range(3)
_COLUMNS = 11
# Bytes of names from which deflating them is tried: 5 us, and it takes off half where names are alike.
_DEFLATE_FROM = 100


Packer = Callable[[list[Row]], tuple[int, bytes, bytes] | None]


def native_packer() -> Packer | None:
    """`_packed` of the extension (`native/chunks.c`), which leaves unusual rows to Python; None where it was
    not built."""
    try:
        from scanner.catalog import _chunks
    except ImportError:
        return None
    packer: Packer = _chunks.pack
    return packer


_PACK = native_packer()


def encode(rows: list[Row], *, native: bool = True) -> bytes:
    """Rows, at least one and in the order of their names, as a chunk.

    Args:
        native: by the extension, where it was built.

    Raises:
        RuntimeError: a digest has not the length of its kind.
    """
    packed = _PACK(rows) if _PACK is not None and native else None
    flags, digests, columns = packed or _packed(rows)
    shown = [row[-1] for row in rows]
    views = _pack_views(shown) if shown.count(NO_VIEWS) != len(rows) else b""
    at = HEAD_SIZE + len(digests)
    head = _HEAD.pack(_FORMAT, flags, len(rows), at, at + len(views))
    return b"".join((head, digests, views, columns, _pack_names(b"".join([row[0] for row in rows]))))


def _packed(rows: list[Row]) -> tuple[int, bytes, bytes]:
    """Flags, digests, and columns up to the names."""
    names, inodes, sizes, mtimes, ctimes, links, blocks, states, media, problems, hashed, *rest = zip(
        *rows, strict=True
    )
    flags, digests = _pack_digests(rest[: len(EXACT)])
    parts = [
        pack_integers(inodes),
        pack_integers(sizes),
        pack_integers(ctimes),
        pack_integers(list(map(sub, mtimes, ctimes))),
        pack_integers(links),
        pack_integers([b - (s + 4095 >> 12 << 3) for b, s in zip(blocks, sizes, strict=True)]),
        pack_integers(states),
        pack_integers(media),
        pack_integers(problems),
        b"\0" if hashed == sizes else pack_integers(list(map(sub, hashed, sizes))),
        pack_integers(list(map(len, names))),
    ]
    return flags, digests, b"".join(parts)


def decode(data: bytes) -> list[Row]:
    """The rows of a chunk.

    Raises:
        ValueError, IndexError, struct.error: it is none.
    """
    return list(zip(*_columns(data), strict=True))


def names_of(data: bytes) -> list[bytes]:
    """The names in a chunk alone; raises as `decode`."""
    head = head_of(data)
    at = head.columns
    for _ in range(_COLUMNS - 1):
        at = skip_integers(data, at, head.files)
    return _names(data, at, head.files)


def inodes_of(data: bytes) -> Sequence[int]:
    """The inodes in a chunk alone; raises as `decode`."""
    head = head_of(data)
    return unpack_integers(data, head.columns, head.files)[0]


class Head(NamedTuple):
    """Where things lie in a chunk.

    Attributes:
        format: 1.
        flags: two bits for each exact kind.
        files: how many there are.
        views, columns: where they begin.
    """

    format: int
    flags: int
    files: int
    views: int
    columns: int


def head_of(data: bytes) -> Head:
    """The head of a chunk.

    Raises:
        ValueError, struct.error: it is none.
    """
    version, _, _, views, columns = values = _HEAD.unpack_from(data)
    if version != _FORMAT or not HEAD_SIZE <= views <= columns <= len(data):
        raise ValueError("this is no chunk")
    return Head._make(values)


def exact_parts(data: bytes, head: Head) -> Iterator[tuple[int, bytes | None, bytes]]:
    """(place in `EXACT`, bits, digests) of each kind that files of one chunk have."""
    at, flags, count = HEAD_SIZE, head.flags, head.files
    for place, size in enumerate(SIZES):
        have = flags >> 2 * place & 3
        if have == _NONE:
            continue
        if have == _ALL:
            end = at + count * size
            yield place, None, data[at:end]
        else:
            start = at + (count + 7 >> 3)
            bits = data[at:start]
            end = start + int.from_bytes(bits, "little").bit_count() * size
            yield place, bits, data[start:end]
        at = end
    if at != head.views:
        raise ValueError("digests are cut off")


def _columns(data: bytes) -> list[Sequence[Any]]:
    head = head_of(data)
    count, at = head.files, head.columns
    columns = []
    for _ in range(_COLUMNS - 1):
        column, at = unpack_integers(data, at, count)
        columns.append(column)
    inodes, sizes, ctimes, mtimes, links, blocks, states, media, problems, hashed = columns
    digests: list[Sequence[bytes | None]] = [(None,) * count] * len(EXACT)
    for place, bits, values in exact_parts(data, head):
        size = SIZES[place]
        found = [values[i : i + size] for i in range(0, len(values), size)]
        digests[place] = found if bits is None else _spread(found, bits, count)
    views = _unpack_views(data, head) if head.columns > head.views else (NO_VIEWS,) * count
    return [
        _names(data, at, count),
        inodes,
        sizes,
        list(map(add, mtimes, ctimes)),
        ctimes,
        links,
        [b + (s + 4095 >> 12 << 3) for b, s in zip(blocks, sizes, strict=True)],
        states,
        media,
        problems,
        list(map(add, hashed, sizes)),
        *digests,
        views,
    ]


def _names(data: bytes, at: int, count: int) -> list[bytes]:
    lengths, at = unpack_integers(data, at, count)
    joined = data[at + 1 :]
    if data[at]:
        joined = zlib.decompress(joined, -zlib.MAX_WBITS, sum(lengths) + 1)
    ends = list(accumulate(lengths, initial=0))
    if ends[-1] != len(joined):
        raise ValueError("names are cut off")
    return [joined[start:end] for start, end in pairwise(ends)]


def _pack_names(joined: bytes) -> bytes:
    if len(joined) > _DEFLATE_FROM:
        deflated = zlib.compress(joined, 1, -zlib.MAX_WBITS)
        if len(deflated) < len(joined):
            return b"\1" + deflated
    return b"\0" + joined


# Digests


def _pack_digests(columns: Sequence[Sequence[bytes | None]]) -> tuple[int, bytes]:
    flags, parts = 0, []
    for place, column in enumerate(columns):
        size, count = SIZES[place], len(column)
        missing = column.count(None)
        if missing == count:
            continue
        if missing:
            flags |= _SOME << 2 * place
            parts.append(_bits([value is not None for value in column]))
        else:
            flags |= _ALL << 2 * place
        values = [value for value in column if value is not None] if missing else column
        if set(map(len, values)) != {size}:  # type: ignore[arg-type]
            raise RuntimeError(f"a digest of {EXACT[place]} has not {size} bytes")
        parts.extend(values)  # type: ignore[arg-type]
    return flags, b"".join(parts)


def _bits(given: list[bool]) -> bytes:
    import numpy as np  # here and below: a walk compares packed rows and needs none

    return np.packbits(np.array(given, dtype=np.bool_), bitorder="little").tobytes()


def places_of(bits: bytes, count: int) -> list[int]:
    """The files whose bit is set."""
    import numpy as np

    unpacked = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=count, bitorder="little")
    places: list[int] = np.flatnonzero(unpacked).tolist()
    return places


def _spread(values: Sequence[bytes], bits: bytes, count: int) -> list[bytes | None]:
    column: list[bytes | None] = [None] * count
    for place, value in zip(places_of(bits, count), values, strict=True):
        column[place] = value
    return column


# Views


@dataclass(frozen=True, slots=True)
class Shape:
    """What views some pictures have, in order.

    Attributes:
        views: numbers of the views.
        lengths: of their values, bytes.
        total: of all values of one picture.
    """

    views: tuple[int, ...]
    lengths: tuple[int, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Shaped:
    """The views of the pictures of one shape in a chunk.

    Attributes:
        shape: what views they are.
        number: of the shape in this chunk.
        qualities: of all views of the first picture, then of the second …
        values: bytes, in the same order.
    """

    shape: Shape
    number: int
    qualities: Sequence[int]
    values: bytes


def _pack_views(column: Sequence[Views]) -> bytes:
    shapes: dict[tuple[tuple[int, int], ...], int] = {(): 0}
    qualities: list[list[int]] = [[]]
    values: list[list[bytes]] = [[]]
    assigned = []
    for pairs, quality, value in column:
        number = shapes.setdefault(pairs, len(shapes))
        if number == len(values):
            qualities.append([])
            values.append([])
        qualities[number].extend(quality)
        values[number].append(value)
        assigned.append(number)
    flat = [pair for shape in shapes for pair in shape]
    parts = [
        pack_integers((len(shapes) - 1,)),
        pack_integers([len(shape) for shape in shapes if shape]),
        pack_integers([code for code, _ in flat]),
        pack_integers([length for _, length in flat]),
        pack_integers(assigned),
    ]
    for q, v in zip(qualities[1:], values[1:], strict=True):
        parts.append(pack_integers(q))
        parts.extend(v)
    return b"".join(parts)


@lru_cache(maxsize=1024)
def shapes_of(table: bytes) -> tuple[Shape, ...]:
    """The shapes of a chunk. Most chunks of a volume have the same ones, so what was taken apart is kept."""
    (count,), at = unpack_integers(table, 0, 1)
    sizes, at = unpack_integers(table, at, count)
    codes, at = unpack_integers(table, at, sum(sizes))
    lengths, at = unpack_integers(table, at, sum(sizes))
    ends = list(accumulate(sizes, initial=0))
    spans = list(pairwise(ends))
    return tuple(Shape(tuple(codes[a:b]), tuple(lengths[a:b]), sum(lengths[a:b])) for a, b in spans)


def shape_table_end(data: bytes, at: int) -> int:
    """Where the table of shapes ends that begins at `at`; raises as `decode`."""
    (count,), at = unpack_integers(data, at, 1)
    sizes, at = unpack_integers(data, at, count)
    views = sum(sizes)
    return skip_integers(data, skip_integers(data, at, views), views)


def shaped_parts(data: bytes, head: Head) -> tuple[Sequence[int], list[Shaped]]:
    """The shape of each file (0: none), and what there is of each shape; raises as `decode`."""
    start = shape_table_end(data, head.views)
    shapes = shapes_of(data[head.views : start])
    assigned, at = unpack_integers(data, start, head.files)
    parts = []
    for number, shape in enumerate(shapes, 1):
        count = len(assigned) if len(shapes) == 1 and 0 not in assigned else assigned.count(number)
        qualities, at = unpack_integers(data, at, count * len(shape.views))
        end = at + count * shape.total
        parts.append(Shaped(shape, number, qualities, data[at:end]))
        at = end
    if at != head.columns:
        raise ValueError("views are cut off")
    return assigned, parts


def _unpack_views(data: bytes, head: Head) -> list[Views]:
    assigned, parts = shaped_parts(data, head)
    pictures = [repeat(NO_VIEWS), *map(_pictures, parts)]
    return [next(pictures[number]) for number in assigned]


def _pictures(part: Shaped) -> Iterator[Views]:
    shape, views = part.shape, len(part.shape.views)
    pairs = tuple(zip(shape.views, shape.lengths, strict=True))
    for picture in range(len(part.qualities) // views):
        at = picture * shape.total
        yield (
            pairs,
            part.qualities[picture * views : (picture + 1) * views],
            part.values[at : at + shape.total],
        )
