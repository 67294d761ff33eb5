"""Compressed lists and archives: read through, one level deep, and refused where anything is odd."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import sys
import zipfile

import pytest

from scanner.feeds import unpacking
from scanner.model.errors import FeedError, FeedFormatError, FeedRefusedError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MD5 = hashlib.md5(b"a").hexdigest()
LIST = "".join(hashlib.md5(b"%d" % n).hexdigest() + "\n" for n in range(5000)).encode()
MIB = 1 << 20


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


ONE = zipped(("export/list.txt", LIST))
CHECKSUM = {zstd.CompressionParameter.checksum_flag: 1}  # as the zstd command does
FRAME = zstd.compress(LIST[:3300], options=CHECKSUM)
PACKED = {
    "gzip": gzip.compress(LIST),
    "zstd": zstd.compress(LIST, options=CHECKSUM),
    "zstd, two frames": FRAME + zstd.compress(LIST[3300:], options=CHECKSUM),
    "ZIP": ONE,
    "ZIP, stored": zipped(("list.txt", LIST), method=zipfile.ZIP_STORED),
}


@pytest.mark.parametrize("name", PACKED)
def test_a_compressed_list_is_read_and_the_digest_is_of_the_exact_bytes(read, name):
    entries, result = read(PACKED[name])
    assert len(entries) == 5000
    assert result.sha256 == hashlib.sha256(PACKED[name]).hexdigest()
    assert result.bytes == len(PACKED[name])


@pytest.mark.parametrize("name", PACKED)
def test_one_that_is_cut_or_damaged_anywhere_fails_whole(read, name):
    packed = PACKED[name]
    for cut in (*range(len(packed) // 7, len(packed), len(packed) // 7), len(packed) - 1):
        if name == "zstd, two frames" and cut == len(FRAME):
            continue
        with pytest.raises(FeedFormatError, match=r"damaged or cut short"):
            read(packed[:cut], "plain", limits={"max_malformed": 0.9})
    middle = len(packed) // 2
    damaged = packed[:middle] + bytes([packed[middle] ^ 0x55]) + packed[middle + 1 :]
    with pytest.raises(FeedError):
        read(damaged, "plain", limits={"max_malformed": 0.9})


@pytest.mark.parametrize("inner", ["gzip", "zstd", "ZIP"])
@pytest.mark.parametrize("outer", [gzip.compress, zstd.compress, lambda b: zipped(("l.txt", b))])
def test_what_is_packed_twice_is_refused(read, inner, outer):
    with pytest.raises(FeedRefusedError, match="compressed inside what is compressed"):
        read(outer(PACKED[inner]))


@pytest.mark.parametrize("member", ["b.txt", "*/b.txt", "in/*.txt", None])
def test_the_list_of_an_archive_is_named_or_the_only_one_like_a_list(read, member):
    others = [("ReadMe.txt", b"x"), ("in/", b""), ("in/b.txt", LIST), ("in/sum.sig", b"x"), ("a.pdf", b"x")]
    assert len(read(zipped(*others), member=member)[0]) == 5000


@pytest.mark.parametrize(
    ("members", "member", "told"),
    [
        (
            [("a.csv", LIST), ("b.csv", LIST)],
            None,
            r"of its 2 files 2 could be the list; there are a\.csv, b",
        ),
        ([("a.csv", LIST), ("b.csv", LIST)], "c.csv", r"of its 2 files 0 could be the list"),
        ([("a.csv", LIST), ("b.csv", LIST)], "*.csv", r"of its 2 files 2 could be.*member:"),
        ([("a.pdf", b"x"), ("b.exe", b"x")], None, r"of its 2 files 0 could be the list; there are a\.pdf"),
        ([(f"{MD5}.csv", LIST), ("b.csv", LIST)], None, r"there are \(a digest\), b\.csv"),
        ([], None, r"of its 0 files 0 could be the list; there are nothing"),
    ],
)
def test_an_archive_without_one_clear_list_is_refused_with_the_number(read, members, member, told):
    with pytest.raises(FeedRefusedError, match=told):
        read(zipped(*members), member=member)


def test_an_encrypted_archive_is_refused_with_a_sentence(read):
    at = ONE.index(b"PK\x01\x02") + 8
    for place in (at, 6):
        flagged = bytearray(ONE)
        flagged[place] |= 1
    flagged[at] |= 1
    with pytest.raises(FeedRefusedError, match="encrypted with a password"):
        read(bytes(flagged))


def test_other_ways_to_compress_are_named(read):
    with pytest.raises(FeedRefusedError, match="compressed by method 14"):
        read(zipped(("list.txt", LIST), method=zipfile.ZIP_LZMA))
    for magic, name in ((b"\xfd7zXZ\0", "xz"), (b"BZh9", "bzip2"), (b"7z\xbc\xaf\x27\x1c", "7z")):
        with pytest.raises(FeedRefusedError, match=f"compressed with {name}"):
            read(magic + LIST)


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress, lambda b: zipped(("l.txt", b))])
def test_a_bomb_ends_at_the_limit_of_its_content(read, pack):
    line = MD5.encode() + b"\n"
    bomb = pack(line * (20 * MIB // len(line)))
    with pytest.raises(FeedRefusedError, match="unpacked, the list has more than 1048576 bytes"):
        read(bomb, limits={"max_bytes": MIB})


def test_a_bomb_below_the_limit_ends_at_the_ratio(read):
    bomb = zstd.compress(MD5.encode() + b"\n#" + b"x" * (70 * MIB))
    with pytest.raises(FeedRefusedError, match="more than 200 times as large"):
        read(bomb)


def test_an_archive_with_an_endless_directory_is_not_loaded(read):
    end = ONE.rindex(b"PK\x05\x06")
    length = struct.pack("<I", unpacking._DIRECTORY + 1)
    with pytest.raises(FeedRefusedError, match="too many files"):
        read(ONE[: end + 12] + length + ONE[end + 16 :])


def test_a_window_that_takes_gigabytes_is_refused(read):
    options = {
        zstd.CompressionParameter.window_log: 30,
        zstd.CompressionParameter.enable_long_distance_matching: 1,
    }
    compressor = zstd.ZstdCompressor(options=options)
    packed = compressor.compress(LIST) + compressor.flush()
    with pytest.raises(FeedFormatError, match="zstd data is damaged"):
        read(packed)
