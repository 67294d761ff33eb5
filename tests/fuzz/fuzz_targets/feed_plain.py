"""Plain lists: any bytes are entries of the right length or a FeedError. First byte: the declared kind."""

from __future__ import annotations

from fuzzing import Target

from fuzz_targets._lists import HEX, WORDS, check_format
from scanner.feeds import FormatOptions
from scanner.feeds.formats import PlainFormat
from scanner.model.hashes import KINDS

_DECLARED = (None, *KINDS, "unknown")


def check(data: bytes) -> None:
    options = FormatOptions(hash=_DECLARED[data[0] % len(_DECLARED)] if data else None)
    check_format(PlainFormat(), data[1:], options)


def seeds() -> dict[str, bytes]:
    md5, sha1, sha256 = HEX["md5"], HEX["sha1"], HEX["sha256"]
    return {
        "bare": b"\0# list\n" + md5 + b"\n" + sha1.upper() + b"\r\n",
        "sums": b"\0" + sha256 + b" *a name\n\\" + md5 + b"  a\\nb\n",
        "tags": b"\0SHA256 (a name) = " + sha256 + b"\nSHA2-256(x)= " + sha256 + b"\nSHA512 (x) = 00\n",
        "header": b"\0SHA-256\n" + sha256 + b"\n" + sha256.upper() + b"\n",
        "base64": b"\0MD5 (x) = AQIDBAUGBwgJCgsMDQ4PEA==\n",
        "declared": b"\x04" + sha256 + b"\n",
        "perceptual": b"\x05" + HEX["phash"] + b"\n",
        "utf16": b"\0" + md5.decode().encode("utf-16-le"),
    }


TARGET = Target(check, seeds, (*WORDS, b"SHA256 (", b") = ", b" *", b"\\", b"# "))
