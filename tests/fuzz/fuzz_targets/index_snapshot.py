"""Index files: damage is refused, or answered without leading out of the file or inventing a match.

First byte: which file, whether its checksum is made right again, whether it is verified. Then edits of six
bytes each: section, place (3), what to do, value; after an edit 0xff all the rest is the new metadata.
"""

from __future__ import annotations

import functools
import hashlib
import random
import struct
import tempfile
from pathlib import Path

from fuzzing import Target, file_of, law

from scanner.index import Index, ListKey, OpenFeed, Snapshot, SnapshotBuilder
from scanner.model.errors import FeedRefusedError, SnapshotError
from scanner.model.feeds import About, Entry, FeedTerms, Removal
from scanner.model.hashes import KINDS, Digests, PerceptualHash

# Few: every exact kind, and a perceptual one with tables even more so, has bucket tables to be checked.
_USED = ("md5", "pdq", "phash")
_TABLED = ("pdq",)
_HEADER, _RECORD = 64, 48
_SEALED, _UNVERIFIED, _TABLES = 1, 2, 0x1C  # all three bits of the last: these files are large and slow
_KEYED = 0x20
_KEY = ListKey(bytes(range(32)))


@functools.cache
def _entries(tables: bool) -> list[Entry]:
    rng = random.Random(4)
    kinds = _TABLED if tables else _USED
    return [
        Entry(
            tuple((k, rng.randbytes(KINDS[k].size)) for k in kinds),
            f"id-{n}" if n % 3 else "",
            str(n % 4),
            f"key-{n}" if n % 2 else "",
            n,
            About("A", ("x",) * (n % 3), n, 2**62 * (n % 2), "source") if n % 5 else None,
        )
        for n in range(24)
    ]


@functools.cache
def _intact(tables: bool, keyed: bool) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        builder = SnapshotBuilder(tables_from=1 if tables else 10**9, key=_KEY if keyed else None)
        builder.add(Removal("gone", 5))
        for entry in _entries(tables):
            builder.add(entry)
        builder.finish(Path(directory, "s"), meta={"feed": "f", "format": "test", "built_ns": 7})
        return Path(directory, "s").read_bytes()


def _sections(data: bytes) -> list[tuple[int, int]]:
    """(offset, length) of header, section table and every section; the metadata's is the last."""
    (count,) = struct.unpack_from("<Q", data, _HEADER)
    records = [struct.unpack_from("<16s16sQQ", data, _HEADER + 8 + _RECORD * i) for i in range(count)]
    records.sort(key=lambda r: r[1].rstrip(b"\0") == b"meta")
    return [(0, _HEADER), (_HEADER, 8 + _RECORD * count), *((r[2], r[3]) for r in records)]


def _damaged(intact: bytes, edits: bytes) -> bytes:
    places, data = _sections(intact), bytearray(intact)
    for i in range(0, len(edits) - 5, 6):
        section, high, middle, low, what, value = edits[i : i + 6]
        if section == 0xFF:
            offset, length = places[-1]
            data[offset : offset + length] = edits[i + 1 :][:length].ljust(length)
            break
        offset, length = places[section % len(places)]
        at = offset + int.from_bytes((high, middle, low)) % max(1, length)
        match what % 4:
            case 0:
                data[at] = value
            case 1:
                data[at : at + 8] = struct.pack("<Q", value)[: len(data) - at]
            case 2:
                data[at : at + 8] = (bytes([value]) * 8)[: len(data) - at]
            case _:
                data[at] ^= 1 << value % 8
    return bytes(data)


def _sealed(data: bytes) -> bytes:
    return data[:32] + hashlib.sha256(data[_HEADER:]).digest() + data[_HEADER:]


def check(data: bytes) -> None:
    flags = data[0] if data else 0
    tables = flags & _TABLES == _TABLES
    keyed = bool(flags & _KEYED)
    intact = _intact(tables, keyed)
    content = _damaged(intact, data[1:])
    if flags & _SEALED and len(content) > _HEADER:
        content = _sealed(content)
    verify = not flags & _UNVERIFIED
    try:
        with file_of(content) as path:
            snapshot = Snapshot.open(path, verify=verify, key=_KEY if keyed else None)
    except SnapshotError:
        law(content != intact, "an intact snapshot is opened")
        return
    law(
        not verify or flags & _SEALED or content == intact, "damage is noticed where the checksum is verified"
    )
    try:
        snapshot.check()
    except SnapshotError:
        law(content != intact, "an intact snapshot passes the check")
        whole = False
    else:
        # What passed may hold other values than were written, but answers every question.
        _answer(snapshot, _entries(tables))
        whole = content == intact
    _ask(snapshot, content, _entries(tables), whole=whole)
    snapshot.close()


def _ask(snapshot: Snapshot, content: bytes, entries: list[Entry], *, whole: bool) -> None:
    for entry in [*entries[:3], Entry(tuple((k, bytes(KINDS[k].size)) for k in _USED))]:
        for kind, value in entry.hashes:
            try:
                found = _asked(snapshot, kind, value, content)
            except SnapshotError:
                law(not whole, "an intact snapshot answers")
                continue
            law(found or not whole or not any(value), "an intact snapshot finds what is in it")
    for n in range(4):
        try:
            there = snapshot.record(f"key-{n}")
        except SnapshotError:
            law(not whole, "an intact snapshot knows its records")
            continue
        law(not whole or bool(there) == bool(n % 2), "an intact snapshot has the records that are in it")
    _change(snapshot, whole=whole)
    if set(snapshot.meta.kinds) <= set(KINDS):
        _match(snapshot, entries[1], whole=whole)


def _answer(snapshot: Snapshot, entries: list[Entry]) -> None:
    for entry in entries[:4]:
        for kind, value in entry.hashes:
            snapshot.exact(kind, value) if KINDS[kind].exact else snapshot.near(kind, value, 31)
        snapshot.record(entry.key)


def _asked(snapshot: Snapshot, kind: str, value: bytes, content: bytes) -> bool:
    if KINDS[kind].exact:
        found = snapshot.exact(kind, value)
        law(snapshot.contains_exact(kind, value) == bool(found), "both questions have one answer")
        law(not found or snapshot.stored(kind, value) in content, "an exact match is in the file")
        return bool(found)
    wanted = int.from_bytes(value)
    size = KINDS[kind].size
    keys = snapshot.keys(kind).tobytes()
    there = {(int.from_bytes(keys[i : i + size]) ^ wanted).bit_count() for i in range(0, len(keys), size)}
    near = snapshot.near(kind, value, 31)
    law(all(d <= 31 and d in there for d, _ in near), "a near match is in the file, as near as is said")
    return bool(near)


def _change(snapshot: Snapshot, *, whole: bool) -> None:
    """A list that is changed is read from end to end: it gives a list, or is refused as damaged."""
    builder = SnapshotBuilder(base=snapshot, key=snapshot.key, tables_from=10**9)
    builder.add(Removal("key-1", 99))
    builder.add(Entry((("md5", b"new".ljust(16)),), "new", "9", "key-3", 99, About("B")))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "s")
        try:
            info = builder.finish(path, meta={"feed": "f", "format": "test", "built_ns": 8}, durable=False)
        except (SnapshotError, FeedRefusedError):
            law(not whole, "an intact snapshot can be changed")
            return
        law(not whole or (info.entries, info.replaced, info.removed) == (23, 1, 1), "a change is made")


def _match(snapshot: Snapshot, entry: Entry, *, whole: bool) -> None:
    index = Index([OpenFeed(FeedTerms("f"), snapshot)], {})
    exact = {kind: value for kind, value in entry.hashes if KINDS[kind].exact}
    seen = tuple(PerceptualHash(k, "full", v, 100) for k, v in entry.hashes if not KINDS[k].exact)
    try:
        matches = index.match(Digests(1, "image/png", exact, seen))
    except SnapshotError:
        law(not whole, "an intact snapshot matches")
        return
    law(matches or not whole, "an intact snapshot matches what is in it")


def seeds() -> dict[str, bytes]:
    intact = _intact(False, False)
    offset, length = _sections(intact)[-1]
    meta = b"\xff" + intact[offset : offset + length]
    edit = struct.pack(">BBHBB", 5, 0, 3, 2, 255)
    return {
        "intact": b"\0",
        "intact_keyed": b"\x20",
        "keyed": b"\x21" + edit,
        **{f"section_{n}": b"\x23" + struct.pack(">BBHBB", n, 0, 0, 2, 255) for n in range(2, 26)},
        "intact_tables": b"\x1c",
        "flipped": b"\0" + edit,
        "sealed": b"\1" + edit,
        "unverified": b"\2" + edit,
        "tables": b"\x1e" + struct.pack(">BBHBB", 7, 0, 0, 0, 9),
        "header": b"\2" + struct.pack(">BBHBB", 0, 0, 16, 1, 1),
        "table": b"\1" + struct.pack(">BBHBB", 1, 0, 40, 2, 255),
        "meta": b"\1" + meta,
        "meta_unverified": b"\2" + meta,
        "meta_deep": b"\1\xff" + b"[" * 600,
    }


WORDS = (b'"kinds":', b'"categories":', b'"entries":', b'"hashes":', b'"size":32', b"true", b"null", b"[[")
# Under atheris the process grows by 28 KB an input, without it not at all over thousands of inputs (38 MB):
# the limit leaves room for that in a run of ten minutes.
TARGET = Target(check, seeds, WORDS, 1024, memory_mb=4096)
