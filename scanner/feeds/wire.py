"""One request and its answer: secrets, certificates, proxies, time-outs, redirects; for lists and protocols.

1. A secret goes to the origin of the feed's address, over https:// or to this machine, and nowhere else; so
   does the client certificate.
2. TLS is always verified.
3. A redirect stays on https:// and within the allowed hosts, and there are few of them.
4. Connecting, answering and sending each have a time, and sending a least rate.
5. Nothing is unpacked, no cookie kept and no other file read on the way.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from yarl import URL

from scanner.feeds.addresses import is_loopback, redirected
from scanner.feeds.fetching import FetchPolicy, FetchRequest, Traffic
from scanner.feeds.opening import Opened
from scanner.feeds.pace import pieces
from scanner.feeds.retrying import network_errors
from scanner.model.errors import ConfigError, FeedTransportError

if TYPE_CHECKING:
    # At run time only where it is used: local lists need none of it, and it is a quarter of all loading.
    import aiohttp

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAME_METHOD = frozenset({307, 308})


def open_session() -> aiohttp.ClientSession:
    """The connections of one fetch: no cookies, and nothing of the environment or of a .netrc file."""
    import aiohttp

    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)


@dataclass(slots=True)
class Meter:
    """What was used so far; see `Traffic`."""

    requests: int = 0
    received: int = 0
    resumed: int = 0

    def traffic(self) -> Traffic:
        return Traffic(self.requests, self.received, self.resumed)


@dataclass(frozen=True, slots=True)
class Wire:
    """The way to one feed's server.

    Attributes:
        start: the feed's address, whose origin gets the secrets.
        opened: the secrets and what else was read of this machine.
        meter: counts along.
    """

    request: FetchRequest
    start: URL
    session: aiohttp.ClientSession
    opened: Opened
    policy: FetchPolicy
    meter: Meter = field(default_factory=Meter)

    @asynccontextmanager
    async def answer(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer that is no redirect; its body comes by `body`.

        Raises:
            TryAgainError: it may go better later; also out of the block.
            FeedTransportError: a redirect leads astray, or the server can't be trusted.
        """
        for _ in range(self.policy.redirects + 1):
            self.meter.requests += 1
            with network_errors():
                async with await self._asked(method, url, headers, body) as response:
                    if response.status not in _REDIRECTS:
                        yield response
                        return
                    status, location = response.status, response.headers.get("Location", "")
            url = self.leads_to(url, location)
            if method != "GET" and status not in _SAME_METHOD:
                if status != 303:  # of 301 and 302 clients differ in what they send then
                    raise FeedTransportError(f"the server answered {status} to what can't be sent elsewhere")
                method, body = "GET", None
        raise FeedTransportError(f"the server redirects more than {self.policy.redirects} times")

    def leads_to(self, here: URL, location: str) -> URL:
        """Where an address that the server names leads.

        Raises:
            FeedTransportError: it leaves https, or the allowed hosts.
        """
        return redirected(
            self.start,
            here,
            location,
            insecure=self.request.insecure,
            allowed_hosts=self.request.allowed_hosts,
        )

    async def body(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        """The body of an answer as it comes, packed if it is.

        Raises:
            TryAgainError: it breaks off or comes too slowly.
        """
        async for piece in pieces(response, self.policy, time.monotonic):
            self.meter.received += len(piece)
            yield piece

    async def _asked(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None
    ) -> aiohttp.ClientResponse:
        import aiohttp

        own = url.origin() == self.start.origin()
        proxy = self.opened.proxies.for_url(url)
        if proxy is not None and proxy.url.scheme == "https" and self.opened.certificates.shown:
            raise ConfigError(
                "a client certificate would be shown to the proxy as well",
                where=f"feed {self.request.feed}",
                remedy="Use a proxy by http://, which passes TLS through",
            )
        limits = aiohttp.ClientTimeout(
            total=self.policy.total,
            connect=self.policy.connect,
            sock_connect=self.policy.connect,
            sock_read=self.policy.read,
        )
        # A protocol's own words go first: some get a token for the feed's secret, and send that from then on;
        # like the secret it goes to the feed's own server only.
        if own:
            sent = {"User-Agent": "hostsweep", **self._secrets(method, url), **headers}
        else:
            sent = {"User-Agent": "hostsweep", **headers}
            sent.pop("Authorization", None)
        async with asyncio.timeout(self.policy.answer):
            return await self.session.request(
                method,
                url,
                data=body,
                headers=sent,
                timeout=limits,
                allow_redirects=False,
                auto_decompress=False,
                ssl=self._trusted(own),
                proxy=None if proxy is None else proxy.url,
                proxy_headers={"Proxy-Authorization": proxy.authorization}
                if proxy is not None and proxy.authorization
                else None,
            )

    def _trusted(self, own: bool) -> ssl.SSLContext | bool:
        certificates = self.opened.certificates
        return (certificates.own if own else certificates.others) or True

    def _secrets(self, method: str, url: URL) -> dict[str, str]:
        secrets = dict(self.opened.headers)
        if self.opened.authorization:
            secrets["Authorization"] = self.opened.authorization
        if self.opened.signer is not None:
            secrets.update(self.opened.signer(method, url))
        if secrets and url.scheme != "https" and not is_loopback(url.host):
            raise FeedTransportError(
                "a secret is sent by https:// only", remedy="Use https://, or leave the secret out"
            )
        return secrets
