"""A transfer that is cut goes on where it was, if the list is still the same one, whatever is answered."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from backports import zstd
from simulators.publisher import QUICK, Handler, Publisher, Waits, text

from scanner.feeds import FetchRequest, fetch
from scanner.model.errors import FeedRefusedError, FeedTransportError

BODY = os.urandom(100_000)
OTHER = os.urandom(90_000)
CUT = 30_000
OLD, NOW = "Tue, 24 Nov 2026 00:00:00 GMT", "Tue, 24 Nov 2026 00:01:00 GMT"

QUICK = replace(QUICK, attempts=4)


def part(
    body: bytes = BODY, *, first: int | None = None, etag: str = '"1"', said: str | None = None, **more: str
) -> Handler:
    """206 with what was asked for, or what the test wants in its place."""

    async def answer(request: web.Request) -> web.Response:
        asked = int(request.headers["Range"].removeprefix("bytes=").rstrip("-"))
        begin = asked if first is None else first
        span = said or f"bytes {begin}-{len(body) - 1}/{len(body)}"
        headers = {"Content-Range": span, **({"ETag": etag} if etag else {})}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        return web.Response(status=206, body=body[begin:], headers=headers)

    return answer


def asked(publisher: Publisher, number: int) -> tuple[str | None, str | None]:
    sent = publisher.requests[number].headers
    return sent.get("Range"), sent.get("If-Range")


async def fetched(publisher: Publisher, session, staging: Path, **options: object):
    publisher.staging = staging
    request = FetchRequest("f", publisher.url, etag='"old"', **options)  # type: ignore[arg-type]
    return await fetch(request, session, staging, policy=QUICK, sleep=Waits())


@pytest.mark.parametrize(
    ("head", "condition"),
    [
        ('ETag: "1"', '"1"'),
        (f"Last-Modified: {OLD}\r\nDate: {NOW}", OLD),
        (f'ETag: "1"\r\nLast-Modified: {OLD}\r\nDate: {NOW}', '"1"'),
    ],
)
async def test_a_cut_transfer_goes_on_where_it_was(publisher, session, staging, head, condition):
    etag = '"1"' if "ETag" in head else ""
    rest = f"{head}\r\nContent-Range: bytes {CUT}-99999/100000"
    publisher.answers = [
        publisher.cut(BODY, CUT, head),
        publisher.cut(BODY[CUT:], 40_000, rest, "206 Partial Content"),
        part(etag=etag),
    ]
    got = await fetched(publisher, session, staging)
    assert staging.read_bytes() == BODY
    assert (got.bytes, got.sha256) == (len(BODY), hashlib.sha256(BODY).hexdigest())
    assert got.etag == etag
    assert [asked(publisher, n) for n in range(3)] == [
        (None, None),
        (f"bytes={CUT}-", condition),
        (f"bytes={CUT + 40_000}-", condition),
    ]
    assert "If-None-Match" in publisher.requests[0].headers
    assert "If-None-Match" not in publisher.requests[1].headers
    assert (got.traffic.requests, got.traffic.received, got.traffic.resumed) == (3, len(BODY), 2)


@pytest.mark.parametrize(
    "head",
    ['ETag: W/"1"', "X: y", f"Last-Modified: {OLD}\r\nDate: {OLD}", 'ETag: "1"\r\nAccept-Ranges: none',
     f"Last-Modified: {OLD}"],
)  # fmt: skip
async def test_without_a_sure_sign_of_its_version_a_list_begins_anew(publisher, session, staging, head):
    publisher.answers = [publisher.cut(BODY, CUT, head), text(body=BODY)]
    got = await fetched(publisher, session, staging)
    assert asked(publisher, 1) == (None, None)
    assert staging.read_bytes() == BODY
    assert got.traffic.resumed == 0


@pytest.mark.parametrize("body", [BODY, OTHER])
async def test_a_server_that_sends_all_again_or_a_newer_list_is_taken_at_its_word(
    publisher, session, staging, body
):
    publisher.answers = [publisher.cut(BODY, CUT), text(body=body, ETag='"2"')]
    got = await fetched(publisher, session, staging)
    assert asked(publisher, 1) == (f"bytes={CUT}-", '"1"')
    assert staging.read_bytes() == body
    assert (got.etag, got.sha256) == ('"2"', hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize(
    "answer",
    [
        part(first=0),
        part(first=CUT - 1),
        part(first=CUT + 1),
        part(etag='"2"'),
        part(etag='W/"1"'),
        part(said="bytes */100000"),
        part(said=f"bytes {CUT}-99999/*"),
        part(said=f"bytes {CUT}-99999/100001"),
        part(said=f"bytes {CUT}-50000/100000"),  # and sends more than that
        part(said="nonsense"),
        part(said="bytes 99999999999999999999-99999999999999999999/9"),
        part(Content_Encoding="gzip"),
        text(206, BODY[CUT:]),
        text(416, b"", Content_Range="bytes */90000"),
    ],
)
async def test_an_answer_that_is_not_the_rest_of_this_list_begins_it_anew(
    publisher, session, staging, answer
):
    publisher.answers = [publisher.cut(BODY, CUT), answer, text(body=OTHER, ETag='"2"')]
    got = await fetched(publisher, session, staging)
    assert asked(publisher, 2) == (None, None)
    assert staging.read_bytes() == OTHER
    assert (got.etag, got.sha256) == ('"2"', hashlib.sha256(OTHER).hexdigest())


async def test_a_rest_that_goes_on_for_too_long_is_none(publisher, session, staging):
    async def too_much(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=206, headers={"Content-Range": f"bytes {CUT}-99999/100000"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(BODY[CUT:] + b"more")
        return response

    publisher.answers = [publisher.cut(BODY, CUT), too_much, text(body=OTHER)]
    await fetched(publisher, session, staging)
    assert staging.read_bytes() == OTHER


async def test_the_limit_holds_for_the_parts_together(publisher, session, staging):
    publisher.answers = [publisher.cut(BODY, CUT), part()]
    with pytest.raises(FeedRefusedError, match="max_bytes"):
        await fetched(publisher, session, staging, max_bytes=len(BODY) - 1)

    async def of_unknown_length(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        head = b'HTTP/1.1 200 OK\r\nETag: "1"\r\nTransfer-Encoding: chunked\r\n\r\n'
        request.transport.write(head + b"%x\r\n" % CUT + BODY[:CUT] + b"\r\n")
        while not staging.exists() or staging.stat().st_size < CUT:
            await asyncio.sleep(0.002)
        request.transport.close()
        return web.Response()

    async def the_rest(request: web.Request) -> web.StreamResponse:
        span = f"bytes {CUT}-{10**15 - 1}/{10**15}"
        response = web.StreamResponse(status=206, headers={"Content-Range": span})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(BODY[CUT:])
        return response

    publisher.answers = [of_unknown_length, the_rest]
    with pytest.raises(FeedRefusedError, match="max_bytes"):  # as soon as it is known
        await fetched(publisher, session, staging, max_bytes=10**14)
    publisher.answers = [of_unknown_length, the_rest, text(404)]
    with pytest.raises(FeedTransportError, match="404"):  # a rest that ends early is not the whole
        await fetched(publisher, session, staging, max_bytes=10**16)
    assert not staging.exists()


async def test_tries_that_bring_something_do_not_count_and_still_end(publisher, session, staging):
    """Ten cuts with one try allowed: each brought its share. Without progress it is over at once."""
    policy = replace(QUICK, attempts=1, progress=9_000, most_attempts=20)
    step = 9_500

    async def a_bit_more(request: web.Request) -> web.StreamResponse:
        begin = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if not begin:
            return await publisher.cut(BODY, step)(request)
        span = f'ETag: "1"\r\nContent-Range: bytes {begin}-99999/100000'
        rest = BODY[begin:]
        return await publisher.cut(rest, min(step, len(rest)), span, "206 Partial Content")(request)

    publisher.answers, publisher.staging = [a_bit_more], staging
    request = FetchRequest("f", publisher.url)
    await fetch(request, session, staging, policy=policy, sleep=Waits())
    assert staging.read_bytes() == BODY
    assert len(publisher.requests) == 11
    for other in (replace(policy, progress=9_501), replace(policy, most_attempts=5)):
        with pytest.raises(FeedTransportError, match="cut short; tried"):
            await fetch(request, session, staging, policy=other, sleep=Waits())
        assert not staging.exists()


Packer = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("zstd", zstd.compress)]
)
async def test_a_compression_that_was_asked_for_is_undone_and_one_that_was_not_stays(
    publisher, session, staging, encoding, pack: Packer
):
    packed = pack(BODY[:50_000]) + pack(BODY[50_000:])  # two members, one after the other
    publisher.answers = [text(body=packed, Content_Encoding=encoding, ETag='"1"')]
    got = await fetched(publisher, session, staging, compressed=True)
    assert publisher.requests[0].headers["Accept-Encoding"] == "gzip, zstd"
    assert staging.read_bytes() == BODY
    assert (got.bytes, got.sha256) == (len(BODY), hashlib.sha256(BODY).hexdigest())
    assert got.traffic.received == len(packed)
    got = await fetched(publisher, session, staging)
    assert publisher.requests[1].headers["Accept-Encoding"] == "identity"
    assert staging.read_bytes() == packed
    publisher.url += ".json.gz"
    await fetched(publisher, session, staging, compressed=True)  # the list as published is the packed one
    assert staging.read_bytes() == packed


async def test_what_was_compressed_for_the_transfer_begins_anew(publisher, session, staging):
    packed = gzip.compress(BODY)
    publisher.answers = [
        publisher.cut(packed, 0, 'ETag: "1"\r\nContent-Encoding: gzip'),
        text(body=packed, Content_Encoding="gzip"),
    ]
    await fetched(publisher, session, staging, compressed=True)
    assert asked(publisher, 1) == (None, None)
    assert staging.read_bytes() == BODY


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda packed: packed[:-3], "cut short"),
        (lambda packed: packed[:4] + b"\xff" * 40 + packed[44:], "damaged|cut short"),
        (lambda packed: packed + b"trailing", "damaged|cut short"),
        (lambda packed: b"", "cut short"),
    ],
)
async def test_a_compression_that_is_broken_is_no_list(publisher, session, staging, pack, damage, error):
    encoding = "gzip" if pack is gzip.compress else "zstd"
    publisher.answers = [text(body=damage(pack(BODY[:5000])), Content_Encoding=encoding)]
    with pytest.raises(FeedTransportError, match=error):
        await fetched(publisher, session, staging, compressed=True)
    assert not staging.exists()


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
async def test_a_bomb_ends_at_the_limit(publisher, session, staging, pack):
    encoding = "gzip" if pack is gzip.compress else "zstd"
    publisher.answers = [text(body=pack(bytes(20 << 20)), Content_Encoding=encoding)]
    with pytest.raises(FeedRefusedError, match="more than 1000000 bytes"):
        await fetched(publisher, session, staging, compressed=True, max_bytes=1_000_000)
    assert not staging.exists()
