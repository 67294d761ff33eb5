"""Lists of forensic tools, NIST and ClamAV: any bytes are entries or a FeedError. First byte: the format."""

from __future__ import annotations

import io

from fuzzing import Target

from fuzz_targets import _foreign as made
from fuzz_targets._lists import HEX, WORDS, check_entries, check_error
from scanner.feeds import FormatOptions, our_formats
from scanner.model.errors import FeedError
from scanner.model.feeds import Entry, ImportCounts, Packed
from scanner.model.hashes import KINDS

_FORMATS = ("clamav", "encase", "kdb", "nsrl", "nsrl-text", "c4all")
_DECLARED = (None, "md5", "sha1", "sha256", "phash")  # of the second byte


def check(data: bytes) -> None:
    if len(data) < 2:
        return
    form = our_formats()[_FORMATS[data[0] % len(_FORMATS)]]
    options = FormatOptions(hash=_DECLARED[data[1] % len(_DECLARED)])
    content = data[2:]
    form.proposes(content[:65536])
    counts, entries = ImportCounts(), []
    try:
        for item in form.parse(io.BytesIO(content), options, counts):
            entries += _flat(item) if isinstance(item, Packed) else [item]
    except FeedError as e:
        check_error(e)
        return
    check_entries([entry for entry in entries if isinstance(entry, Entry)], counts)


def _flat(packed: Packed) -> list[Entry]:
    size = KINDS[packed.kind].size
    values = [packed.values[n : n + size] for n in range(0, len(packed.values), size)]
    return [Entry(((packed.kind, value),), "", packed.category) for value in values]


def seeds() -> dict[str, bytes]:
    md5, sha1, sha256 = (HEX[kind].decode() for kind in ("md5", "sha1", "sha256"))
    raw = bytes.fromhex(md5)
    signatures = f"{md5}:1024:A.B-1\n{sha256}:*:C-2:73:90\n{sha1}:1:D\n# x\n45056:{md5}:E\n"
    row = {"SHA-1": sha1, "MD5": md5, "CRC32": "0000ABCD", "FileName": 'a",b'}
    items = [{"category": "1", "hash": md5}, {"category": "0", "hash": md5.upper()}, {}]
    lists = {
        "clamav": signatures.encode(),
        "encase": made.encase([raw, bytes(16)]),
        # Small pages: what is changed in one then matters more often.
        "kdb": made.database(
            made.KDB, ("INSERT INTO hashes (md5) VALUES (?)", [(raw,), (raw[::-1],)]), page_size=512
        ),
        "nsrl": made.database(
            made.RDS3_FULL,
            (
                "INSERT INTO METADATA (path, sha256, sha1, md5) VALUES (?, ?, ?, ?)",
                [("x" * 600, sha256, sha1, md5), ("", sha256, sha1, md5)],
            ),
            page_size=512,
        ),
        "nsrl-text": made.rds2([row, {**row, "SpecialCode": "M"}]),
        "c4all": made.c4all(items).decode("utf-16").encode(),
    }
    found = {name: bytes([_FORMATS.index(name), 0]) + content for name, content in lists.items()}
    older = made.rds2([row], made.RDS1)
    found["nsrl-text_older"] = bytes([_FORMATS.index("nsrl-text"), 1]) + older
    found["clamav_container"] = b"\0\0ClamAV-VDB:15 Jan 2025:1:2:90:X:X:b:1"
    found["c4all_doctype"] = bytes([5, 0]) + b'<!DOCTYPE a [<!ENTITY b "c">]><ReportIndex>&b;</ReportIndex>'
    return found


TARGET = Target(
    check,
    seeds,
    (*WORDS, b":*:", b":73", b"<Image>", b"<hash>", b"</hash>", b"]]>", b"CREATE TABLE FILE (", b'","'),
    max_length=8192,
)
