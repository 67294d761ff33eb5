"""HTTP for publishers' protocols: the rules of lists, and bounds for all requests of a sync together."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from aiohttp import web
from backports import zstd
from simulators.publisher import QUICK, Publisher, Waits, raw, serving, text
from yarl import URL

from scanner.feeds import FetchRequest, Opened
from scanner.feeds.addresses import redirected
from scanner.feeds.client import HttpClient
from scanner.model.errors import FeedRefusedError, FeedTransportError


def client(publisher: Publisher, session: Any, **options: Any) -> HttpClient:
    secret = Opened(authorization="Bearer geheim", headers={"x-key": "auch-geheim"})
    most = options.pop("most_requests", 1000)
    request = FetchRequest("police", publisher.url.replace("/list", "/api/v2/list?k=geheim"), **options)
    return HttpClient(request, session, secret, policy=QUICK, sleep=Waits(), most_requests=most)


async def test_addresses_are_relative_to_the_feeds_and_come_with_its_secrets(publisher, session):
    publisher.answers = [text(body=b"page", X_Next="2", ETag='"1"')]
    asking = client(publisher, session)
    reply = await asking.get("")
    assert (reply.status, reply.body, reply.headers["x-next"], reply.headers["etag"]) == (
        200,
        b"page",
        "2",
        '"1"',
    )
    assert reply.url == f"http://127.0.0.1:{publisher.port}/api/v2/list?k=geheim"
    for url in ("page?n=2", "/page", "../v1/page", f"http://127.0.0.1:{publisher.port}/page", "?n=3"):
        await asking.get(url)
    await asking.get("page?a=1", params={"b": "x y"}, headers={"Accept": "application/taxii+json"})
    await asking.post("page", b"body", headers={"Content-Type": "application/json"})
    paths = [r.path_qs for r in publisher.requests]
    assert paths == [
        "/api/v2/list?k=geheim", "/api/v2/page?n=2", "/page", "/api/v1/page", "/page", "/api/v2/list?n=3",
        "/api/v2/page?a=1&b=x+y", "/api/v2/page",
    ]  # fmt: skip
    assert {r.headers["Authorization"] for r in publisher.requests} == {"Bearer geheim"}
    assert {r.headers["x-key"] for r in publisher.requests} == {"auch-geheim"}
    assert publisher.requests[6].headers["Accept"] == "application/taxii+json"
    assert (publisher.requests[7].method, publisher.requests[7].headers["Content-Type"]) == (
        "POST",
        "application/json",
    )
    assert asking.traffic.requests == 8


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://other.example/page?k=geheim", "another host: https://other.example/page"),
        ("//other.example/page", "not https|another host"),
        ("http://other.example/page", "not https"),
        ("file:///etc/passwd", "not https"),
        ("https://u:geheim@127.0.0.1/", "user or password"),
        ("http://[::", "can't be read"),
        ("javascript:alert(1)", "not https"),
    ],
)
async def test_an_address_that_a_page_names_is_held_to_the_rules_of_redirects(
    publisher, session, url, message
):
    publisher.answers = [text()]
    with pytest.raises(FeedTransportError, match=message) as caught:
        await client(publisher, session).get(url)
    assert "geheim" not in str(caught.value)
    publisher.answers = [text(302, b"", Location=url)]
    with pytest.raises(FeedTransportError, match=message) as caught:
        await client(publisher, session).get("")
    assert "geheim" not in str(caught.value)
    assert len(publisher.requests) == 1


async def test_a_page_on_an_allowed_host_is_asked_without_secrets(publisher, session):
    """127.0.0.1 and localhost are two hosts by name, and the same server."""
    publisher.answers = [text()]
    asking = client(publisher, session, allowed_hosts=("localhost",))
    await asking.get(f"http://localhost:{publisher.port}/page")
    assert not {"Authorization", "x-key"} & set(publisher.requests[0].headers)


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("cdn.example", "https://CDN.example:8443/x"),
        ("xn--bcher-kva.example", "https://b\u00fccher.example/"),
        ("2001:db8::1", "https://[2001:DB8::1]/x"),
    ],
)
def test_hosts_are_allowed_by_their_exact_name(allowed: str, url: str) -> None:
    start = URL("https://hashes.example/list")
    assert redirected(start, start, url, insecure=False, allowed_hosts=(allowed,)) == URL(url)
    for other in (f"sub.{allowed}", allowed[1:], f"{allowed}.evil.example", "*"):
        with pytest.raises(FeedTransportError, match="another host"):
            redirected(start, start, url, insecure=False, allowed_hosts=(other,))


async def test_secrets_are_never_sent_by_plain_http_to_another_machine(session):
    asking = HttpClient(
        FetchRequest("f", "http://h.example/", insecure=True), session, Opened(authorization="Bearer geheim")
    )
    with pytest.raises(FeedTransportError, match="https:// only"):
        await asking.get("")


async def test_no_cookie_is_kept(publisher, session):
    publisher.answers = [text(Set_Cookie="a=b; Path=/")]
    asking = client(publisher, session)
    await asking.get("")
    await asking.get("")
    assert "Cookie" not in publisher.requests[1].headers


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
async def test_answers_are_unpacked_and_limited_after_unpacking(publisher, session, encoding, pack):
    publisher.answers = [text(body=pack(b"x" * 1000), Content_Encoding=encoding)]
    assert (await client(publisher, session).get("", limit=1000)).body == b"x" * 1000
    assert publisher.requests[0].headers["Accept-Encoding"] == "gzip, zstd"
    with pytest.raises(FeedRefusedError, match="more than 999 bytes"):
        await client(publisher, session).get("", limit=999)
    publisher.answers = [text(body=pack(bytes(20 << 20)), Content_Encoding=encoding)]
    with pytest.raises(FeedRefusedError, match="more than 5000000 bytes"):
        await client(publisher, session).get("", limit=5_000_000)
    publisher.answers = [text(body=pack(b"x" * 1000)[:-2], Content_Encoding=encoding)]
    with pytest.raises(FeedTransportError, match="cut short"):
        await client(publisher, session).get("")
    publisher.answers = [text(body=b"", Content_Encoding=encoding)]
    assert (await client(publisher, session).get("")).body == b""
    publisher.answers = [raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nabc")]
    with pytest.raises(FeedTransportError, match="encoding"):
        await client(publisher, session).get("")


async def test_all_answers_of_a_sync_together_have_a_limit_and_so_have_the_requests(publisher, session):
    publisher.answers = [text(body=b"x" * 400)]
    asking = client(publisher, session, max_bytes=1000)
    await asking.get("")
    await asking.get("")
    with pytest.raises(FeedRefusedError, match=r"feed police \(http.*/page\).*more than 1000 bytes in all"):
        await asking.get("page?k=geheim")
    asking = client(publisher, session, most_requests=3)
    for _ in range(3):
        await asking.get("")
    with pytest.raises(FeedTransportError, match="more than 3 requests"):
        await asking.get("")


async def test_an_endless_course_of_redirects_counts_as_requests(publisher, session):
    publisher.answers = [text(307, b"", Location="/again")]
    asking = client(publisher, session)
    with pytest.raises(FeedTransportError, match="more than 5 times"):
        await asking.get("")
    assert asking.traffic.requests == 6


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_what_may_have_been_done_is_not_sent_again(publisher, session, status):
    publisher.answers = [text(status), text(body=b"ok")]
    with pytest.raises(FeedTransportError, match=str(status)):
        await client(publisher, session).post("", b"x")
    assert len(publisher.requests) == 1
    publisher.answers = [text(status), text(body=b"ok")]
    assert (await client(publisher, session).get("")).body == b"ok"


async def test_a_connection_that_breaks_after_a_post_is_not_tried_again(publisher, session):
    publisher.answers = [raw(b"")]
    with pytest.raises(FeedTransportError):
        await client(publisher, session).post("", b"x")
    assert len(publisher.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_what_the_server_says_it_did_not_do_is_sent_again(publisher, session, status):
    bodies = []

    async def answer(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response(status=status if len(bodies) < 3 else 200)

    publisher.answers = [answer]
    assert (await client(publisher, session).post("", b"x")).status == 200
    assert bodies == [b"x"] * 3


async def test_a_post_goes_on_only_where_it_is_told_how(publisher, session):
    publisher.answers = [text(307, b"", Location="/there"), text(body=b"ok")]
    await client(publisher, session).post("", b"x")
    publisher.answers = [text(303, b"", Location="/there"), text(body=b"ok")]
    await client(publisher, session).post("", b"x")
    assert [r.method for r in publisher.requests] == ["POST", "POST", "POST", "GET"]
    for status in (301, 302):
        publisher.answers = [text(status, b"", Location="/there")]
        with pytest.raises(FeedTransportError, match=str(status)):
            await client(publisher, session).post("", b"x")


async def test_other_answers_come_only_to_who_takes_them(publisher, session):
    for status in (400, 404, 304, 503):
        publisher.answers = [text(status, b"")]
        reply = await client(publisher, session).get("", accept=frozenset({status}))
        assert reply.status == status
        with pytest.raises(FeedTransportError, match=str(status)) as caught:
            await client(publisher, session).get("")
        assert "geheim" not in str(caught.value)
        assert "feed police (http://127.0.0.1" in str(caught.value)


async def test_a_request_that_fails_is_named_without_its_query(publisher, session):
    async with serving(Publisher()) as other:
        pass
    asking = client(other, session)
    with pytest.raises(FeedTransportError, match=r"feed police \(http.*/page\): no connection") as caught:
        await asking.post("page?token=geheim", b"x")
    assert "geheim" not in str(caught.value)
