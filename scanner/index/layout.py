"""The snapshot file, byte by byte: header, section table, metadata. `docs/index-format.md` says the same.

Everything here treats a file's bytes as untrusted: a number that does not fit is a `DamagedLayout`, which
`Snapshot.open` turns into the user's error.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

MAGIC = b"HSINDEX\n"  # 8 bytes; the newline shows a transfer that mangled line ends
VERSION = 2
READABLE = (1, VERSION)  # version 1 is the same without keys of lists, records and details
CHECKSUM_SIZE = 32  # bytes of a SHA-256
ALIGNMENT = 8  # bytes: the widest number in a section is 64 bits

# magic, version, header length, total length, 8 bytes of zero, SHA-256 of all that follows.
_HEADER = struct.Struct("<8sIIQQ32s")
HEADER_SIZE = _HEADER.size
_COUNT = struct.Struct("<Q")
_SECTION = struct.Struct("<16s16sQQ")  # kind, name, offset from the start of the file, length in bytes
MAX_SECTIONS = 1024  # 4 each for 250 kinds; bounds what a damaged count makes us read
NAME_SIZE = 16  # bytes of a kind's or section's name, ASCII, padded with NUL

BUCKET_BITS = 16
BUCKETS = 1 << BUCKET_BITS
STARTS = BUCKETS + 1


class DamagedLayout(Exception):
    """The bytes are not a snapshot of this version. Never leaves the room."""


@dataclass(frozen=True, slots=True)
class Section:
    """A run of bytes in the file: `kind` is "" for sections that belong to no hash kind."""

    kind: str
    name: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class KindMeta:
    """One hash kind of a snapshot.

    Attributes:
        size: bytes of a value as it is stored.
        exact: looked up by equality; else by Hamming distance.
        hashes: number of values, duplicates counted.
        categories: number of values by category number; their sum is `hashes`.
    """

    size: int
    exact: bool
    hashes: int
    categories: tuple[int, ...]


class Origin(TypedDict):
    """Where a list came from, known when it has been read to its end; see `Meta`."""

    feed: str
    format: str
    built_ns: int
    source_sha256: NotRequired[str]
    default_categories: NotRequired[Sequence[str] | None]
    counts: NotRequired[Mapping[str, object]]
    memory: NotRequired[str]


@dataclass(frozen=True, slots=True)
class Meta:
    """What a snapshot says of itself.

    Attributes:
        feed, format: names of the feed and of its format.
        built_ns: UTC, nanoseconds since 1970.
        source_sha256: of the list as fetched, in hexadecimal digits; "" where unknown.
        default_categories: the format's own default of categories that act; None: all but "".
        entries: number of entries of the list.
        categories: (category, number of entries) in the order of the category numbers.
        kinds: what there is of each hash kind.
        counts: what became of the list while it was read, as the importer says (`ImportCounts`).
        memory: what the publisher's protocol wants to know the next time, "" for nothing.
        key: id of the key under which exact digests and record keys are stored, "" where they stand plainly.
    """

    feed: str
    format: str
    built_ns: int
    source_sha256: str
    default_categories: frozenset[str] | None
    entries: int
    categories: tuple[tuple[str, int], ...]
    kinds: Mapping[str, KindMeta]
    counts: Mapping[str, object]
    memory: str = ""
    key: str = ""


def pack_header(total: int, checksum: bytes) -> bytes:
    return _HEADER.pack(MAGIC, VERSION, HEADER_SIZE, total, 0, checksum)


def parse_header(data: bytes, size: int) -> bytes:
    """Check the header of a file of `size` bytes.

    Returns:
        the checksum it states.

    Raises:
        DamagedLayout: not a snapshot, of another version, or cut short.
    """
    if len(data) < HEADER_SIZE:
        raise DamagedLayout("it is too short for a header")
    magic, version, header, total, zero, checksum = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise DamagedLayout("it does not begin as an index snapshot does")
    if version not in READABLE:
        raise DamagedLayout(f"it is of version {version}, and version {VERSION} was expected")
    if header != HEADER_SIZE or zero:
        raise DamagedLayout("its header is damaged")
    if total != size:
        raise DamagedLayout(f"it should be {total} bytes long and has {size}")
    return bytes(checksum)


def pack_sections(sections: Sequence[Section]) -> bytes:
    records = [_SECTION.pack(s.kind.encode(), s.name.encode(), s.offset, s.length) for s in sections]
    return _COUNT.pack(len(sections)) + b"".join(records)


def place_sections(lengths: Sequence[tuple[str, str, int]]) -> tuple[list[Section], int]:
    """Give each (kind, name, length) its place behind the table.

    Returns:
        the sections and the total length of the file; both ends are multiples of `ALIGNMENT`.
    """
    position = HEADER_SIZE + _COUNT.size + _SECTION.size * len(lengths)
    sections = []
    for kind, name, length in lengths:
        sections.append(Section(kind, name, position, length))
        position += length + padding(length)
    return sections, position


def padding(length: int) -> int:
    """Zero bytes that follow a section of this length."""
    return -length % ALIGNMENT


def parse_sections(data: memoryview) -> dict[tuple[str, str], Section]:
    """The section table of a whole file, every section inside it.

    Raises:
        DamagedLayout: a name, offset or length can't be.
    """
    if len(data) < HEADER_SIZE + _COUNT.size:
        raise DamagedLayout("it has no section table")
    (count,) = _COUNT.unpack_from(data, HEADER_SIZE)
    first = HEADER_SIZE + _COUNT.size + _SECTION.size * count
    if count > MAX_SECTIONS or first > len(data):
        raise DamagedLayout("its section table is damaged")
    table: dict[tuple[str, str], Section] = {}
    for i in range(count):
        raw = _SECTION.unpack_from(data, HEADER_SIZE + _COUNT.size + _SECTION.size * i)
        section = Section(_name(raw[0]), _name(raw[1]), raw[2], raw[3])
        end = section.offset + section.length
        if section.offset % ALIGNMENT or section.offset < first or end > len(data):
            raise DamagedLayout("a section lies outside the file")
        if table.setdefault((section.kind, section.name), section) is not section:
            raise DamagedLayout("a section is there twice")
    return table


def _name(raw: bytes) -> str:
    try:
        return raw.rstrip(b"\0").decode("ascii")
    except UnicodeDecodeError:
        raise DamagedLayout("a section's name is damaged") from None


def pack_meta(meta: Meta) -> bytes:
    """JSON in ASCII with sorted keys, so that equal metadata are equal bytes."""
    defaults = meta.default_categories
    document = {
        **({"memory": meta.memory} if meta.memory else {}),
        **({"key": meta.key} if meta.key else {}),
        "feed": meta.feed,
        "format": meta.format,
        "built_ns": meta.built_ns,
        "source_sha256": meta.source_sha256,
        "default_categories": None if defaults is None else sorted(defaults),
        "entries": meta.entries,
        "categories": [[name, n] for name, n in meta.categories],
        "kinds": {
            name: {"size": k.size, "exact": k.exact, "hashes": k.hashes, "categories": list(k.categories)}
            for name, k in meta.kinds.items()
        },
        "counts": meta.counts,
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")


def parse_meta(data: bytes) -> Meta:
    """The metadata of a file.

    Raises:
        DamagedLayout: no JSON, or not of this shape.
    """
    try:
        document = json.loads(data)
        meta = Meta(
            feed=_text(document["feed"]),
            format=_text(document["format"]),
            built_ns=_whole(document["built_ns"]),
            source_sha256=_text(document["source_sha256"]),
            default_categories=_default_categories(document["default_categories"]),
            entries=_whole(document["entries"]),
            categories=tuple((_text(name), _whole(n)) for name, n in document["categories"]),
            kinds={_text(name): _kind(k) for name, k in document["kinds"].items()},
            counts=dict(document["counts"].items()),
            memory=_text(document.get("memory", "")),
            key=_text(document.get("key", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise DamagedLayout("its metadata are damaged") from e
    for kind in meta.kinds.values():
        if len(kind.categories) != len(meta.categories) or sum(kind.categories) != kind.hashes:
            raise DamagedLayout("its metadata contradict themselves")
    return meta


def _kind(document: Mapping[str, object]) -> KindMeta:
    exact, counts, size = document["exact"], document["categories"], _whole(document["size"])
    if not isinstance(exact, bool) or not isinstance(counts, list) or size < 2:
        raise ValueError("not a hash kind")
    return KindMeta(size, exact, _whole(document["hashes"]), tuple(_whole(n) for n in counts))


def _default_categories(value: object) -> frozenset[str] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise ValueError("not a list of categories")
    return frozenset(_text(c) for c in value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("not a whole number")
    return value
