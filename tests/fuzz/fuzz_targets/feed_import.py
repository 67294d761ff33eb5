"""The whole way of a list: compression, encoding, recognition, parsing, index; what went in is found.

First byte: the declared format; second: the declared encoding.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from fuzzing import Target, file_of, law

from fuzz_targets._lists import HEX, SIZES, WORDS, check_entries, check_error, flat
from scanner.feeds import FeedFormat, FormatOptions, ImportResult, import_list
from scanner.feeds.formats import (
    CsvFormat,
    GriffeyeFormat,
    HashdeepFormat,
    HashKeeperFormat,
    IcseFormat,
    PlainFormat,
    VicsFormat,
)
from scanner.index import Snapshot, SnapshotBuilder
from scanner.model.errors import FeedError
from scanner.model.feeds import Entry, entries_of
from scanner.model.hashes import KINDS

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_FORMATS = ("auto", "plain", "csv", "vics", "none of ours", "icse", "griffeye", "hashkeeper", "hashdeep")
_ENCODINGS = (None, "utf-8", "utf-16", "cp1252", "utf-7", "base64", "none of ours", "idna")
_MAX_BYTES = 64 * 1024  # of the list, and of what it unpacks to
_MOST = 20  # entries that an index is built of: 256 KiB a kind and input
_INDEXED = 0xE0  # of the second byte, above which one is: building it costs ten times the parsing


@functools.cache
def _ours() -> dict[str, FeedFormat]:
    """Looked up once: looking for others' costs more than reading a list of this size."""
    forms = (PlainFormat(), CsvFormat(), VicsFormat(), IcseFormat(), GriffeyeFormat(), HashKeeperFormat())
    return {form.name: form for form in (*forms, HashdeepFormat())}


def check(data: bytes) -> None:
    data = data.ljust(2, b"\0")
    content, entries = data[2:], []
    options = FormatOptions(encoding=_ENCODINGS[data[1] % len(_ENCODINGS)], hash="sha256")
    try:
        with file_of(content) as path:
            result = import_list(
                path,
                _FORMATS[data[0] % len(_FORMATS)],
                options,
                lambda item: entries.extend(entries_of(item, SIZES)),
                formats=_ours(),
                max_bytes=_MAX_BYTES,
            )
    except FeedError as e:
        law("failed (" not in e.what, "no format breaks in a way that the import has to catch")
        check_error(e)
        return
    law(entries, "a list without entries is refused")
    law(result.bytes == len(content) <= _MAX_BYTES, "the size is that of the file")
    law(result.sha256 == hashlib.sha256(content).hexdigest(), "the digest is that of the file")
    check_entries(entries, result.counts)
    if len(entries) <= _MOST and data[1] >= _INDEXED:
        _check_index(entries, result)


def _check_index(entries: list[Entry], result: ImportResult) -> None:
    builder = SnapshotBuilder()
    for entry in entries:
        builder.add(entry)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        builder.finish(folder / "s", meta={"feed": "f", "format": result.format, "built_ns": 0})
        snapshot = Snapshot.open(folder / "s")
    finally:
        shutil.rmtree(folder)
    with_numbers = [(n, pair) for n, e in enumerate(entries) for pair in flat([e])]
    for number, (kind, value, own_id, category) in with_numbers:
        if KINDS[kind].exact:
            found = snapshot.exact(kind, value)
        else:
            found = [e for distance, e in snapshot.near(kind, value, 0) if distance == 0]
        told = [(e.id, e.category) for e in found if e.number == number]
        law(
            told and told[0] == (own_id or f"#{number + 1}", category),
            "every entry is found as it was listed",
        )
    snapshot.close()


def _zipped(*members: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def seeds() -> dict[str, bytes]:
    md5, sha1 = HEX["md5"], HEX["sha1"]
    table = b"md5,sha1,id,category\n" + md5 + b"," + sha1 + b",a,1\n"
    vics = json.dumps({"value": [{"MediaID": 7, "Category": 1, "MD5": md5.decode()}]}).encode()
    return {
        "plain": b"\0\0" + md5 + b"\n" + sha1 + b"  name\n",
        "csv": b"\2\0" + table,
        "csv_indexed": b"\2\xe0" + table,
        "vics_indexed": b"\3\xe1" + vics,
        "csv_utf16": b"\0\2" + table.decode().encode("utf-16"),
        "csv_cp1252": b"\2\3md5,id\n" + md5 + b",\xe9\n",
        "vics": b"\3\0" + vics,
        "gzip": b"\0\0" + gzip.compress(b"\xef\xbb\xbf" + table, mtime=0),
        "gzip_cut": b"\0\0" + gzip.compress(table, mtime=0)[:-6],
        "gzip_bomb": b"\1\0" + gzip.compress(b"# \n" * 100_000, mtime=0),
        "zstd": b"\0\0" + zstd.compress(table),
        "zstd_bomb": b"\1\0" + zstd.compress(b"# \n" * 100_000),
        "zip": b"\0\0" + _zipped(("readme.txt", b"x"), ("list.csv", table)),
        "zip_of_two": b"\2\0" + _zipped(("a.csv", table), ("b.csv", table)),
        "icse": b"\5\0md5;sha1;image id;is distributed;victim identified;baseline\n" + md5 + b";;7;y;n;y\n",
        "griffeye": b"\6\0Category,Initial Category,MD5,Mime Type\nx,1," + md5 + b",image/png\n",
        "hashkeeper": b"\7\0file_id,hashset_id,file_name,hash\n1,2,\xe9," + md5 + b"\n",
        "hashdeep": b"\x08\0%%%% HASHDEEP-1.0\n%%%% size,md5,sha1,filename\n## x\n1,"
        + md5
        + b","
        + sha1
        + b",a,b\n",
        "no_text": b"\1\5" + md5,
        "empty": b"\0\0",
    }


TARGET = Target(
    check,
    seeds,
    (
        *WORDS,
        b"\x1f\x8b",
        b"\x28\xb5\x2f\xfd",
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"+AGE-",
    ),
)
