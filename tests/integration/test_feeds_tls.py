"""Whom we trust, what we show, which way requests go: certificates on both sides, headers, proxies."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from simulators.authority import Authority, needs_openssl
from simulators.publisher import LIST, QUICK, Publisher, Waits, serving, text
from yarl import URL

from scanner.feeds import FetchRequest, fetch
from scanner.feeds.proxies import Proxies, parse_proxy
from scanner.model.errors import ConfigError, FeedTransportError

pytestmark = needs_openssl


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


async def fetched(url: str, session: Any, staging: Path, **options: Any) -> bytes:
    await fetch(FetchRequest("f", url, **options), session, staging, policy=QUICK, sleep=Waits())
    return staging.read_bytes()


async def test_a_server_is_checked_against_the_feeds_own_authorities_and_no_others(
    session, staging, authority, tmp_path
):
    other = Authority(tmp_path / "other")
    async with serving(Publisher(), tls=authority.server("localhost"), host="localhost") as publisher:
        publisher.answers = [text()]
        assert await fetched(publisher.url, session, staging, ca_file=authority.ca) == LIST
        for options in ({}, {"ca_file": other.ca}, {"insecure": True}):
            with pytest.raises(FeedTransportError, match="certificate is not accepted"):
                await fetched(publisher.url, session, staging, **options)
        by_number = publisher.url.replace("localhost", "127.0.0.1")  # the certificate is for the name
        with pytest.raises(FeedTransportError, match="certificate is not accepted"):
            await fetched(by_number, session, staging, ca_file=authority.ca)
    assert len(publisher.requests) == 1


async def test_a_client_certificate_is_shown_to_who_wants_it(session, staging, authority, tmp_path):
    certificate, key = authority.issue("client")
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    tls = authority.server("localhost", clients=ssl.CERT_REQUIRED)
    async with serving(Publisher(), tls=tls, host="localhost") as publisher:
        publisher.answers = [text()]
        shown = {"ca_file": authority.ca, "certificate_file": certificate, "certificate_key_file": key}
        assert await fetched(publisher.url, session, staging, **shown) == LIST
        shown = {"ca_file": authority.ca, "certificate_file": both}
        assert await fetched(publisher.url, session, staging, **shown) == LIST
        with pytest.raises(FeedTransportError, match=r"ended the TLS connection|closed the connection"):
            await fetched(publisher.url, session, staging, ca_file=authority.ca)


@pytest.mark.parametrize("status", [301, 307])
async def test_secrets_and_the_client_certificate_stay_with_their_server(
    session, staging, authority, tmp_path, status
):
    """A redirect to a host that is allowed: it gets neither the headers nor the certificate."""
    certificate, key = authority.issue("client")
    for name in ("token", "key"):
        (tmp_path / name).write_text(f"{name}-value\n")
    peers: list[object] = []

    async def elsewhere(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.append(request.transport.get_extra_info("peercert"))
        return web.Response(body=LIST)

    tls = authority.server("localhost", clients=ssl.CERT_REQUIRED)
    other_tls = authority.server("127.0.0.1", clients=ssl.CERT_OPTIONAL)
    async with (
        serving(Publisher(), tls=tls, host="localhost") as publisher,
        serving(Publisher(), tls=other_tls) as other,
    ):
        other.answers = [elsewhere]
        publisher.answers = [text(status, b"", Location=other.url)]
        options: dict[str, Any] = {
            "bearer_file": tmp_path / "token",
            "header_files": {"x-functions-key": tmp_path / "key"},
            "ca_file": authority.ca,
            "certificate_file": certificate,
            "certificate_key_file": key,
        }
        with pytest.raises(FeedTransportError, match=r"another host: https://127.0.0.1.*allowed_hosts"):
            await fetched(publisher.url, session, staging, **options)
        assert other.requests == []
        await fetched(publisher.url, session, staging, allowed_hosts=("127.0.0.1",), **options)
    sent = publisher.requests[-1].headers
    assert (sent["Authorization"], sent["x-functions-key"]) == ("Bearer token-value", "key-value")
    assert not {"Authorization", "x-functions-key"} & set(other.requests[0].headers)
    assert peers == [{}] or peers == [None]


async def test_a_header_with_a_secret_needs_https(session, staging, tmp_path):
    (tmp_path / "key").write_text("geheim")
    with pytest.raises(FeedTransportError, match="https:// only") as caught:
        await fetched(
            "http://h.example/", session, staging, insecure=True, header_files={"X-Key": tmp_path / "key"}
        )
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("ca missing", "ca.pem: the file can't be read"),
        ("ca empty", "ca.pem: expected a file in PEM"),
        ("ca nonsense", "ca.pem: expected certificates of authorities"),
        ("key of another", "client.key: the certificate and its key can't be used together"),
        ("key with a password", "client.key: the certificate and its key can't be used together"),
        ("key missing", "client.key: the file can't be read"),
    ],
)
async def test_files_that_are_no_certificates_are_the_operators_error(
    session, staging, authority, tmp_path, spoil, message
):
    certificate, key = authority.issue("client")
    files = {"ca.pem": authority.ca, "client.pem": certificate, "client.key": key}
    copies = {name: tmp_path / name for name in files}
    for name, source in files.items():
        copies[name].write_bytes(source.read_bytes())
    if spoil == "ca missing":
        copies["ca.pem"].unlink()
    elif spoil == "ca empty":
        copies["ca.pem"].write_text("")
    elif spoil == "ca nonsense":
        copies["ca.pem"].write_text("-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n")
    elif spoil == "key of another":
        copies["client.key"].write_bytes(authority.issue("another")[1].read_bytes())
    elif spoil == "key with a password":
        made = ["openssl", "ec", "-aes256", "-passout", "pass:x", "-in", str(key), "-out"]
        subprocess.run([*made, str(copies["client.key"])], check=True, capture_output=True)
    else:
        copies["client.key"].unlink()
    with pytest.raises(ConfigError, match=message):
        await fetched(
            "https://localhost:9/",
            session,
            staging,
            ca_file=copies["ca.pem"],
            certificate_file=copies["client.pem"],
            certificate_key_file=copies["client.key"],
        )


@dataclass
class WebProxy:
    """Passes connections on to one port, whatever host they are for."""

    port: int = 0
    target: int = 0
    asked: list[dict[str, str]] = field(default_factory=list)
    wants: str = ""

    async def met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            self.asked.append({"": first, **headers})
            if self.wants and headers.get("proxy-authorization") != self.wants:
                writer.write(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
            else:
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                there = await asyncio.open_connection("127.0.0.1", self.target)
                await asyncio.gather(_pass(reader, there[1]), _pass(there[0], writer))
        writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def proxying(proxy: WebProxy) -> AsyncIterator[WebProxy]:
    server = await asyncio.start_server(proxy.met, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    yield proxy
    server.close()


async def test_a_feeds_own_proxy_passes_tls_through_and_gets_its_own_password_only(
    session, staging, authority, tmp_path, monkeypatch
):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # its own goes first
    (tmp_path / "token").write_text("for-the-publisher")
    (tmp_path / "login").write_text("user:geheim")
    tls = authority.server("hashes.example")
    async with serving(Publisher(), tls=tls) as publisher, proxying(WebProxy()) as proxy:
        publisher.answers = [text()]
        proxy.target = publisher.port
        options: dict[str, Any] = {
            "proxy": f"http://127.0.0.1:{proxy.port}",
            "bearer_file": tmp_path / "token",
            "ca_file": authority.ca,
        }
        assert await fetched("https://hashes.example/list", session, staging, **options) == LIST
        proxy.wants = "Basic " + base64.b64encode(b"user:geheim").decode()
        with pytest.raises(FeedTransportError, match="proxy_basic_file"):
            await fetched("https://hashes.example/list", session, staging, **options)
        options["proxy_basic_file"] = tmp_path / "login"
        assert await fetched("https://hashes.example/list", session, staging, **options) == LIST
    assert [asked[""] for asked in proxy.asked] == ["CONNECT hashes.example:443 HTTP/1.1"] * 3
    assert not any("publisher" in str(asked) for asked in proxy.asked)
    assert [r.headers["Authorization"] for r in publisher.requests] == ["Bearer for-the-publisher"] * 2
    assert not any("Proxy-Authorization" in r.headers for r in publisher.requests)


async def test_the_environments_proxy_is_used_where_a_feed_names_none(
    session, staging, authority, monkeypatch
):
    tls = authority.server("hashes.example")
    async with serving(Publisher(), tls=tls) as publisher, proxying(WebProxy()) as proxy:
        publisher.answers, proxy.target = [text()], publisher.port
        proxy.wants = "Basic " + base64.b64encode(b"user:geheim").decode()
        monkeypatch.setenv("https_proxy", f"http://user:geheim@127.0.0.1:{proxy.port}")
        url = "https://hashes.example/list"
        assert await fetched(url, session, staging, ca_file=authority.ca) == LIST
        assert len(proxy.asked) == 1
        monkeypatch.setenv("no_proxy", "hashes.example")
        with pytest.raises(FeedTransportError, match=r"no connection|in time"):  # there is no such host
            await fetched(url, session, staging, ca_file=authority.ca)
        assert len(proxy.asked) == 1


async def test_a_client_certificate_is_not_shown_to_a_proxy(session, staging, authority):
    certificate, key = authority.issue("client")
    with pytest.raises(ConfigError, match="shown to the proxy"):
        await fetched(
            "https://hashes.example/",
            session,
            staging,
            proxy="https://proxy.example:3128",
            certificate_file=certificate,
            certificate_key_file=key,
        )


def test_which_proxy_a_request_goes_through():
    environment = {
        "https": "proxy.example:3128",
        "http": "http://other.example",
        "no": "inside.example,.local",
    }
    proxies = Proxies(environment=environment)

    def chosen(url: str) -> str | None:
        proxy = proxies.for_url(URL(url))
        return proxy and str(proxy.url)

    assert chosen("https://hashes.example/") == "http://proxy.example:3128"
    assert chosen("http://hashes.example/") == "http://other.example"
    assert chosen("https://inside.example/") is None
    assert chosen("https://a.local/") is None
    # A proxy would take it for itself: what is plain http:// because it stays here would go out.
    for here in ("http://127.0.0.1:8080/", "http://localhost/", "http://[::1]/", "https://127.1.2.3/"):
        assert chosen(here) is None
        assert Proxies(own=parse_proxy("http://p.example", where="")).for_url(URL(here)) is None


@pytest.mark.parametrize(
    "text", ["socks5://p.example:1080", "ftp://p.example", "http://", "http://[::", "file:///x"]
)
def test_what_is_no_web_proxy_is_refused(text):
    with pytest.raises(ConfigError, match="address of a proxy"):
        parse_proxy(text, where="https_proxy")


async def test_a_proxys_password_does_not_stand_in_the_configuration(session, staging):
    with pytest.raises(ConfigError, match="proxy_basic_file") as caught:
        await fetched("https://h.example/", session, staging, proxy="http://u:geheim@p.example")
    assert "geheim" not in str(caught.value)
