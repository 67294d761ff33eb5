"""Fetching from a real server, which is slow, broken, greedy or gone at will."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from simulators.publisher import LIST, QUICK, Publisher, Waits, raw, serving, text

from scanner.feeds import FetchRequest, fetch
from scanner.model.errors import ConfigError, FeedRefusedError, FeedTransportError, StorageError


async def test_a_list_comes_whole_private_and_with_its_tags(publisher, session, staging):
    staging.write_bytes(b"left over")
    staging.chmod(0o644)
    publisher.answers = [text(ETag='"1"', Last_Modified="Tue, 24 Nov 2026 00:00:00 GMT")]
    fetched = await fetch(FetchRequest("f", publisher.url), session, staging)
    assert staging.read_bytes() == LIST
    assert stat.S_IMODE(staging.stat().st_mode) == 0o600
    assert (fetched.path, fetched.bytes, fetched.sha256) == (
        staging,
        len(LIST),
        hashlib.sha256(LIST).hexdigest(),
    )
    assert (fetched.etag, fetched.last_modified) == ('"1"', "Tue, 24 Nov 2026 00:00:00 GMT")
    assert "Authorization" not in publisher.requests[0].headers


async def test_an_unchanged_list_is_not_sent_again(publisher, session, staging):
    publisher.answers = [text(304, b"")]
    request = FetchRequest("f", publisher.url, etag='W/"1"', last_modified="yesterday")
    fetched = await fetch(request, session, staging)
    assert fetched.not_modified
    assert (fetched.path, fetched.etag, fetched.last_modified) == (None, 'W/"1"', "yesterday")
    assert not staging.exists()
    sent = publisher.requests[0].headers
    assert (sent["If-None-Match"], sent["If-Modified-Since"]) == ('W/"1"', "yesterday")


async def test_not_modified_without_having_asked_is_an_error(publisher, session, staging):
    publisher.answers = [text(304, b"")]
    with pytest.raises(FeedTransportError, match="304"):
        await fetch(FetchRequest("f", publisher.url), session, staging)


async def test_a_server_in_trouble_is_asked_again_with_growing_chance_waits(publisher, session, staging):
    waits = Waits()
    publisher.answers = [text(503), text(500), text()]
    await fetch(
        FetchRequest("f", publisher.url), session, staging, policy=QUICK, rng=random.Random(1), sleep=waits
    )
    assert staging.read_bytes() == LIST
    assert len(waits) == 2
    assert 0 <= waits[0] <= 2
    assert 0 <= waits[1] <= 4


@pytest.mark.parametrize(
    ("value", "least"),
    [
        ("7", 7),
        ("Tue, 24 Nov 2026 00:00:09 GMT", 9),
        ("99999999", 300),
        ("soon", 0),
        ("Tue, 2999999994 Nov 2026 00:00:00 GMT", 0),
    ],
)
async def test_retry_after_is_followed_up_to_a_limit(publisher, session, staging, value, least):
    waits = Waits()
    publisher.answers = [text(429, Retry_After=value, Date="Tue, 24 Nov 2026 00:00:00 GMT"), text()]
    await fetch(FetchRequest("f", publisher.url), session, staging, policy=QUICK, sleep=waits)
    assert least <= waits[0] <= least + 2


async def test_after_the_last_attempt_it_is_an_error_that_names_feed_and_address(publisher, session, staging):
    waits = Waits()
    publisher.answers = [text(502)]
    with pytest.raises(FeedTransportError, match=r"feed police .*127.0.0.1.*502; tried 3 times") as caught:
        await fetch(
            FetchRequest("police", publisher.url + "?token=geheim"),
            session,
            staging,
            policy=QUICK,
            sleep=waits,
        )
    assert "geheim" not in str(caught.value)
    assert len(publisher.requests) == 3
    assert len(waits) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 206, 204])
async def test_an_answer_that_will_not_change_is_not_asked_for_again(publisher, session, staging, status):
    publisher.answers = [text(status)]
    with pytest.raises(FeedTransportError, match=str(status)):
        await fetch(FetchRequest("f", publisher.url), session, staging, policy=QUICK)
    assert len(publisher.requests) == 1
    assert not staging.exists()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + LIST,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nmd5\n0\r\n",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"",
    ],
)
async def test_a_transfer_that_breaks_off_is_no_list(publisher, session, staging, answer):
    publisher.answers = [raw(answer)]
    waits = Waits()
    with pytest.raises(FeedTransportError, match="tried 3 times"):
        await fetch(FetchRequest("f", publisher.url), session, staging, policy=QUICK, sleep=waits)
    assert not staging.exists()
    publisher.answers = [raw(answer), text()]
    await fetch(FetchRequest("f", publisher.url), session, staging, policy=QUICK, sleep=waits)
    assert staging.read_bytes() == LIST


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + LIST])
async def test_a_server_that_falls_silent_is_left(publisher, session, staging, begin):
    publisher.answers = [raw(begin, hang=True)]
    with pytest.raises(FeedTransportError, match="in time"):
        await fetch(
            FetchRequest("f", publisher.url),
            session,
            staging,
            policy=replace(QUICK, attempts=1, read=0.2),
        )
    assert not staging.exists()


async def test_a_server_that_trickles_for_ever_is_left(publisher, session, staging):
    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"#")
            await asyncio.sleep(0.02)

    publisher.answers = [trickle]
    policy = replace(QUICK, total=0.4, attempts=1)
    with pytest.raises(FeedTransportError, match="in time"):
        await fetch(FetchRequest("f", publisher.url), session, staging, policy=policy)


async def test_the_size_limit_holds_whatever_the_server_announces(publisher, session, staging):
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"#" * 65536)

    for answer in (endless, text(body=b"#" * 1_000_001)):
        publisher.answers = [answer]
        with pytest.raises(FeedRefusedError, match=r"more than 1000000 bytes.*max_bytes"):
            await fetch(FetchRequest("f", publisher.url, max_bytes=1_000_000), session, staging, policy=QUICK)
        assert not staging.exists()
    publisher.answers = [text(body=b"#" * 1_000_000)]
    await fetch(FetchRequest("f", publisher.url, max_bytes=1_000_000), session, staging, policy=QUICK)


async def test_an_encoding_nobody_asked_for_is_refused(publisher, session, staging):
    publisher.answers = [raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nabc")]
    with pytest.raises(FeedTransportError, match="encoding"):
        await fetch(FetchRequest("f", publisher.url), session, staging, policy=QUICK)


async def test_a_redirect_on_the_same_host_is_followed(publisher, session, staging):
    publisher.answers = [text(302, b"", Location="/elsewhere?x=1"), text(308, b"", Location="third"), text()]
    await fetch(FetchRequest("f", publisher.url), session, staging, policy=QUICK)
    assert [r.path for r in publisher.requests] == ["/list", "/elsewhere", "/third"]


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("http://hashes.example/list?k=geheim", "not https"),
        ("file:///etc/passwd", "not https"),
        ("https://hashes.example/list?k=geheim", "another host: https://hashes.example/list"),
        ("https://u:geheim@127.0.0.1/list", "user or password"),
        ("/list", "redirects more than 5 times"),
        ("http://[::", "can't be read"),
    ],
)
async def test_a_redirect_that_leads_astray_is_refused(publisher, session, staging, location, message):
    publisher.answers = [text(301, b"", Location=location)]
    with pytest.raises(FeedTransportError, match=message) as caught:
        await fetch(FetchRequest("f", publisher.url), session, staging, policy=QUICK)
    assert "geheim" not in str(caught.value)


async def test_a_secret_is_read_at_each_use_and_stays_with_its_server(publisher, session, staging, tmp_path):
    token = tmp_path / "token"
    token.write_text("erst\n")
    request = FetchRequest("f", publisher.url, bearer_file=token)
    async with serving(Publisher()) as other:
        other.answers = [text()]
        publisher.answers = [text(302, b"", Location="/x"), text(302, b"", Location=other.url)]
        await fetch(request, session, staging, policy=QUICK)
    assert [r.headers.get("Authorization") for r in publisher.requests] == ["Bearer erst"] * 2
    assert "Authorization" not in other.requests[0].headers

    token.write_text("neu")
    publisher.answers = [text()]
    await fetch(request, session, staging, policy=QUICK)
    assert publisher.requests[-1].headers["Authorization"] == "Bearer neu"


async def test_user_and_password_come_from_a_file(publisher, session, staging, tmp_path):
    (tmp_path / "basic").write_text("user:pass word\n")
    publisher.answers = [text()]
    await fetch(FetchRequest("f", publisher.url, basic_file=tmp_path / "basic"), session, staging)
    assert publisher.requests[0].headers["Authorization"] == "Basic dXNlcjpwYXNzIHdvcmQ="


@pytest.mark.parametrize("content", [None, b"", b"two\nlines", b"tab\there", b"\xff", b"x" * 20_000])
async def test_a_secret_that_is_none_is_the_operators_error(publisher, session, staging, tmp_path, content):
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    with pytest.raises(ConfigError, match="token"):
        await fetch(FetchRequest("f", publisher.url, bearer_file=tmp_path / "token"), session, staging)
    assert publisher.requests == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "http://hashes.example/list?k=geheim"}, "http:// from another machine"),
        ({"url": "https://u:geheim@hashes.example/"}, "user or password"),
        ({"url": "ftp://hashes.example/geheim?"}, "none of https"),
        ({"url": "file://host/x"}, "none of https"),
        ({"url": "https://"}, "none of https"),
        ({"url": "http://127.0.0.1.example/"}, "http:// from another machine"),
        ({"url": "http://h.example/", "insecure": True, "bearer_file": Path("/dev/null")}, "secret"),
    ],
)
async def test_an_address_that_is_not_safe_is_refused_before_anything_is_sent(
    session, staging, options, message
):
    with pytest.raises((FeedTransportError, ConfigError), match=message) as caught:
        await fetch(FetchRequest("f", **options), session, staging, policy=QUICK)
    assert "k=geheim" not in str(caught.value)
    assert "u:" not in str(caught.value)


async def test_a_list_named_by_its_address_alone_shows_no_secret_of_it(session, staging):
    url = "http://hashes.example/list?k=geheim"
    with pytest.raises(FeedTransportError) as caught:
        await fetch(FetchRequest(url, url), session, staging)
    assert "geheim" not in str(caught.value)


async def test_nobody_listening_is_an_error_after_all_attempts(publisher, session, staging, unused_tcp_port):
    waits = Waits()
    with pytest.raises(FeedTransportError, match=r"no connection \(.*\); tried 3 times"):
        await fetch(
            FetchRequest("f", f"http://127.0.0.1:{unused_tcp_port}/"),
            session,
            staging,
            policy=QUICK,
            sleep=waits,
        )


async def test_our_own_disk_is_not_the_publishers_fault_and_not_tried_again(publisher, session, tmp_path):
    publisher.answers = [text()]
    with pytest.raises(StorageError):
        await fetch(FetchRequest("f", publisher.url), session, tmp_path / "absent" / "staged", policy=QUICK)
    assert publisher.requests == []


async def test_a_cancelled_transfer_leaves_nothing(publisher, session, staging):
    begun = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(LIST)
        begun.set()
        await asyncio.Event().wait()
        return response

    publisher.answers = [slow]
    task = asyncio.create_task(fetch(FetchRequest("f", publisher.url), session, staging))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not staging.exists()


async def test_a_local_file_is_copied_once_for_each_change(session, staging, tmp_path):
    source = tmp_path / "a list.csv"
    source.write_bytes(LIST)
    request = FetchRequest("f", f"{tmp_path.as_uri()}/a%20list.csv")
    first = await fetch(request, session, staging)
    assert staging.read_bytes() == LIST
    assert stat.S_IMODE(staging.stat().st_mode) == 0o600
    assert first.sha256 == hashlib.sha256(LIST).hexdigest()
    again = replace(request, etag=first.etag)
    assert (await fetch(again, session, staging)).not_modified
    source.write_bytes(LIST[:-2] + b"0\n")
    assert not (await fetch(again, session, staging)).not_modified


@pytest.mark.parametrize("kind", ["absent", "directory", "fifo", "large"])
async def test_a_local_file_that_is_none_is_refused_without_waiting(session, staging, tmp_path, kind):
    source = tmp_path / "source"
    make: dict[str, Any] = {
        "absent": lambda: None,
        "directory": source.mkdir,
        "fifo": lambda: os.mkfifo(source),
        "large": lambda: source.write_bytes(b"#" * 101),
    }
    make[kind]()
    with pytest.raises((FeedTransportError, FeedRefusedError)):
        await fetch(FetchRequest("f", source.as_uri(), max_bytes=100), session, staging)
    assert not staging.exists()
