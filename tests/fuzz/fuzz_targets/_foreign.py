"""Small lists as forensic tools, NIST and ClamAV write them; every value in them is made up."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

RDS3_FILE = """CREATE TABLE FILE (sha256 VARCHAR NOT NULL, sha1 VARCHAR NOT NULL, md5 VARCHAR NOT NULL,
    crc32 VARCHAR NOT NULL, file_name VARCHAR NOT NULL, file_size INTEGER NOT NULL,
    package_id INTEGER NOT NULL,
    CONSTRAINT PK_FILE PRIMARY KEY (sha256, sha1, md5, file_name, file_size, package_id));"""
RDS3_FULL = """CREATE TABLE METADATA (package_id INTEGER, extension VARCHAR, path VARCHAR, sha256 VARCHAR,
    sha1 VARCHAR, md5 VARCHAR, crc32 VARCHAR, file_name VARCHAR, file_size INTEGER);
    CREATE VIEW FILE AS SELECT sha256, sha1, md5, crc32, file_name, file_size, package_id FROM METADATA;"""
RDS3_OTHERS = """CREATE TABLE PKG (package_id INTEGER NOT NULL, name VARCHAR NOT NULL);
    CREATE TABLE VERSION (version VARCHAR, release_date VARCHAR);"""
RDS2 = ("SHA-1", "MD5", "CRC32", "FileName", "FileSize", "ProductCode", "OpSystemCode", "SpecialCode")
RDS1 = (
    *("SHA-1", "FileName", "FileSize", "ProductCode", "OpSystemCode", "MD4", "MD5", "CRC32", "SpecialCode"),
)
KDB = """CREATE TABLE db_properties (name TEXT NOT NULL, value TEXT);
    INSERT INTO db_properties VALUES ('Schema Version', '1');
    CREATE TABLE hashes (id INTEGER PRIMARY KEY AUTOINCREMENT, md5 BINARY(16) UNIQUE, sha1 BINARY(20),
                         sha2_256 BINARY(32));
    CREATE TABLE file_names (name TEXT NOT NULL, hash_id INTEGER NOT NULL);"""


def database(
    script: str, *statements: tuple[str, Sequence[Sequence[object]]], page_size: int = 4096
) -> bytes:
    """An SQLite file: a script, then statements with the rows of each."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "db"
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(
                f"PRAGMA page_size = {page_size}; PRAGMA synchronous = OFF; BEGIN; {script} COMMIT;"
            )
            for statement, rows in statements:
                connection.executemany(statement, rows)
            connection.commit()
        return path.read_bytes()


def rds3(files: Sequence[tuple[str, str, str]], *, full: bool = False) -> bytes:
    """RDS version 3 with (sha256, sha1, md5) of some files in hexadecimal digits."""
    rows = [(*(h.upper() for h in hashes), "0" * 8, f"a{n}.png", 9, n) for n, hashes in enumerate(files)]
    table = "METADATA" if full else "FILE"
    insert = f"INSERT INTO {table} (sha256, sha1, md5, crc32, file_name, file_size, package_id) "
    script = (RDS3_FULL if full else RDS3_FILE) + RDS3_OTHERS
    return database(script, (insert + "VALUES (?, ?, ?, ?, ?, ?, ?)", rows))


def kdb(rows: Sequence[tuple[bytes | None, bytes | None, bytes | None]]) -> bytes:
    """A .kdb with (md5, sha1, sha256) of some files."""
    return database(KDB, ("INSERT INTO hashes (md5, sha1, sha2_256) VALUES (?, ?, ?)", rows))


def encase(values: Sequence[bytes], name: str = "made up") -> bytes:
    header = bytearray(1152)
    header[:8] = b"HASH\r\n\xff\x00"
    title = name.encode("utf-16-le")
    header[1032 : 1032 + len(title)] = title
    return bytes(header) + b"".join(value + b"\x01\x00" for value in values)


def rds2(rows: Sequence[dict[str, str]], header: Sequence[str] = RDS2) -> bytes:
    """NSRLFile.txt; names may hold anything."""
    lines = [",".join(f'"{name}"' for name in header)]
    lines += [",".join(f'"{row.get(name, "")}"' for name in header) for row in rows]
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1")


def c4all(items: Sequence[dict[str, str]], item: str = "Image", before: str = "") -> bytes:
    """A C4P index in UTF-16 with a byte order mark, as the tools write it."""
    text = f'<?xml version="1.0" encoding="utf-16"?>\r\n{before}<ReportIndex version="1.0">\r\n'
    for number, fields in enumerate(items, 1):
        whole = {"path": "Pictures\\", "picture": f"{number}.jpg", "id": str(number), **fields}
        inner = "".join(f"<{name}>{value}</{name}>" for name, value in whole.items())
        text += f"<{item}>{inner}<fullpath><![CDATA[\\Users\\<b>\\a.jpg]]></fullpath></{item}>\r\n"
    return b"\xff\xfe" + (text + "</ReportIndex>").encode("utf-16-le")
