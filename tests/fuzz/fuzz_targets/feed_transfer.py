"""What a server says before anything is verified: packed bodies, addresses, ranges and times of waiting.

First byte: what it is. Packed bodies unpack in a limit or are a FeedTransportError; an address that may be
followed stays on https:// and within the allowed hosts, and an error never shows what may be secret in it.
"""

from __future__ import annotations

import gzip
from types import SimpleNamespace
from typing import Any

from backports import zstd
from fuzzing import Target
from yarl import URL

from scanner.feeds.addresses import masked, redirected
from scanner.feeds.compression import Unpacker, known_encoding
from scanner.feeds.proxies import parse_proxy
from scanner.feeds.retrying import retry_after
from scanner.feeds.transfer import _RANGE, _tags, _validator
from scanner.model.errors import ConfigError, FeedTransportError

_LIMIT = 4 << 20
_HOSTS = ("cdn.example", "xn--bcher-kva.example")


def check(data: bytes) -> None:
    if not data:
        return
    (_gzip, _zstd, _address, _headers)[data[0] % 4](data[1:])


def _gzip(data: bytes) -> None:
    _unpack("gzip", data)


def _zstd(data: bytes) -> None:
    _unpack("zstd", data)


def _unpack(encoding: str, data: bytes) -> None:
    unpacker, size = Unpacker(encoding), 0
    try:
        for begin in range(0, len(data), 100):
            for piece in unpacker.feed(data[begin : begin + 100]):
                assert 0 < len(piece) <= 256 * 1024
                size += len(piece)
                if size > _LIMIT:
                    return
        unpacker.finish()
    except FeedTransportError:
        pass


def _address(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    start = URL("https://hashes.example/v1/list?k=1")
    try:
        found = redirected(start, start, text, insecure=False, allowed_hosts=_HOSTS)
    except FeedTransportError as e:
        assert str(e).isprintable()
    else:
        assert found.scheme == "https"
        assert found.host in ("hashes.example", *_HOSTS)
        assert not (found.user or found.password)
        assert "?" not in masked(str(found))
    try:
        parse_proxy(text, where="proxy")
    except ConfigError:
        pass


def _headers(data: bytes) -> None:
    """One header a line, as aiohttp hands them over."""
    headers: dict[str, str] = {}
    for line in data.decode("latin-1").splitlines():
        name, _, value = line.partition(":")
        headers[name] = value.strip()
    response: Any = SimpleNamespace(headers=headers)
    wait = retry_after(response)
    assert wait is None or wait >= 0
    etag, modified = _tags(response)
    validator = _validator(response)
    assert validator in ("", etag, modified)
    assert len(etag) <= 1024 and (etag + modified).isprintable()
    known_encoding(headers.get("Content-Encoding", ""))
    found = _RANGE.fullmatch(headers.get("Content-Range", ""))
    assert found is None or all(int(number) < 10**19 for number in found.groups())


def seeds() -> dict[str, bytes]:
    old = b"Last-Modified: Tue, 24 Nov 2026 00:00:00 GMT\nDate: Tue, 24 Nov 2026 00:01:00 GMT\n"
    return {
        "gzip": b"\0" + gzip.compress(b"a list", mtime=0) * 2,
        "gzip-bomb": b"\0" + gzip.compress(bytes(8 << 20), mtime=0),
        "zstd": b"\1" + zstd.compress(b"a list") * 2,
        "zstd-bomb": b"\1" + zstd.compress(bytes(8 << 20)),
        "address": b"\2https://cdn.example:8443/x?token=y#z",
        "address-relative": b"\2../v2/./list",
        "address-user": b"\2https://hashes.example@evil.example/",
        "address-proxy": b"\2http://user:pass@proxy.example:3128",
        "headers": b'\3ETag: "6743e8f0-10"\nContent-Range: bytes 1-2/3\nContent-Encoding: x-gzip\n' + old,
        "headers-wait": b"\3Retry-After: Tue, 24 Nov 2026 00:02:00 GMT\n" + old,
        "headers-far": b"\3Last-Modified: Tue, 2999999994 Nov 2026 00:00:00 GMT\nDate: 1 Jan 1 0:0 -0000\n",
        "headers-weak": b'\3ETag: W/"1"\nAccept-Ranges: none\nRetry-After: 120\n',
    }


TARGET = Target(
    check, seeds, (b"https://", b"@", b"//", b"ETag: ", b"bytes ", b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08")
)
