"""Rewriting a catalog of an older layout into a new file of the present one.

Until version 2 each file was a row. The new file takes half the room and is in the order of the paths; a
crash on the way leaves the old one as it was.
"""

from __future__ import annotations

import struct
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from scanner.catalog import queries
from scanner.catalog.chunks import EXACT, NO_VIEWS, Row, Views
from scanner.catalog.counts import count
from scanner.catalog.database import Database, connect
from scanner.catalog.directory_files import DirectoryFiles
from scanner.catalog.packing import Packer
from scanner.catalog.vocabulary import PROFILES, TERMS, VIEWS, Vocabulary
from scanner.model.hashes import KINDS

ROWS = (1, 2)
"""Versions that have a row for each file."""
_AT_ONCE = 1000  # directories in a transaction
_MATCHING = "?"  # stood before the id of an index with which files were being matched
_VIEW = struct.Struct("<IBH")  # views.id, quality, length of the value; then the value

_DIRECTORIES = """
SELECT id, volume_id, path, profile, fingerprint FROM directories ORDER BY volume_id, path
"""
_FILES = """
SELECT name, inode, size, mtime_ns, ctime_ns, links, blocks, state, media_type, problem, coalesce(hashed,
       size), md5, sha1, sha256, {sha512}, views
FROM files WHERE directory_id = ? ORDER BY name
"""
_COPIED = (
    ("SELECT id, name, root, matched_with FROM volumes",
     "INSERT INTO volumes (id, name, root, matched_with) VALUES (?, ?, ?, ?)"),
    ("SELECT id, term FROM terms", "INSERT INTO terms (id, term) VALUES (?, ?)"),
    ("SELECT id, kind, view FROM views", "INSERT INTO views (id, kind, view) VALUES (?, ?, ?)"),
)  # fmt: skip


def rewrite(old: Path, version: int, new: Database) -> None:
    """Write all that an old file has into a new, empty one.

    Raises:
        sqlite3.Error: the old file can't be read.
        ValueError, TypeError, struct.error: something in it makes no sense.
        CatalogError: the new one can't be written.
    """
    with closing(connect(old, read_only=False)) as connection:
        with new.transaction():
            for select, insert in _COPIED:
                new.run_many(insert, map(_settled, connection.execute(select)))
        profiles = Vocabulary(new, PROFILES)
        files = DirectoryFiles(new, Packer(new, Vocabulary(new, TERMS), Vocabulary(new, VIEWS)))
        directories = connection.execute(_DIRECTORIES)
        query = _FILES.format(sha512="sha512" if version > 1 else "NULL")
        while some := list(islice(directories, _AT_ONCE)):
            codes = {profile: profiles.code((profile,)) for profile in {d[3] for d in some}}
            with new.transaction():
                for directory_id, volume_id, path, profile, fingerprint in some:
                    rows = list(map(_row, connection.execute(query, (directory_id,))))
                    values = (volume_id, path, codes[profile], fingerprint, 0, 0, *count(rows).capped())
                    files.put_all(new.run(queries.ADD_DIRECTORY, values).lastrowid or 0, rows)


def _settled(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple("" if isinstance(value, str) and value.startswith(_MATCHING) else value for value in row)


def _row(row: tuple[Any, ...]) -> Row:
    name, inode, size, mtime_ns, ctime_ns, *rest, views = row
    digests = rest[-len(EXACT) :]
    for kind, digest in zip(EXACT, digests, strict=True):
        if digest is not None and len(digest) != KINDS[kind].size:
            raise ValueError(f"a digest of {kind} has not its length")
    return (name, _wide(inode), size, _wide(mtime_ns), _wide(ctime_ns), *rest, _views(views))


def _wide(stored: int | bytes) -> int:
    """Numbers that did not fit SQLite's 64 signed bits were blobs."""
    return stored if isinstance(stored, int) else int.from_bytes(stored, "big", signed=True)


def _views(packed: bytes | None) -> Views:
    if not packed:
        return NO_VIEWS
    pairs, qualities, values = [], [], []
    at = 0
    while at < len(packed):
        code, quality, length = _VIEW.unpack_from(packed, at)
        at += _VIEW.size
        pairs.append((code, length))
        qualities.append(quality)
        values.append(packed[at : at + length])
        at += length
    if at != len(packed):
        raise ValueError("a perceptual hash is cut off")
    return tuple(pairs), qualities, b"".join(values)
