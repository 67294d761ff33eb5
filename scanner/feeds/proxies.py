"""Which proxy a request goes through: the feed's own, or the environment's."""

from __future__ import annotations

import base64
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field

from yarl import URL

from scanner.feeds.addresses import is_loopback
from scanner.model.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where it is, and the header it wants, "" for none."""

    url: URL
    authorization: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Proxies:
    """The choice.

    Attributes:
        own: the feed's, for all its requests.
        environment: as `urllib.request.getproxies_environment` has it, with `no_proxy` as "no".
    """

    own: Proxy | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def for_url(self, url: URL) -> Proxy | None:
        """The proxy for a request; none for this machine, which a proxy would take for its own.

        Raises:
            ConfigError: the environment's is none that can be used.
        """
        if is_loopback(url.host):
            return None
        if self.own is not None:
            return self.own
        said = self.environment.get(url.scheme)
        if not said or urllib.request.proxy_bypass_environment(  # type: ignore[attr-defined]  # undocumented
            f"{url.host}:{url.port}", dict(self.environment)
        ):
            return None
        return parse_proxy(said, where=f"{url.scheme}_proxy")


def parse_proxy(text: str, *, where: str) -> Proxy:
    """Read a proxy's address, which may hold user and password in the environment.

    Raises:
        ConfigError: it is none of a web proxy.
    """
    try:
        url = URL(text if "://" in text else f"http://{text}")
        user, password = url.user, url.password
        usable = url.scheme in ("http", "https") and bool(url.host)
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError("expected the address of a proxy, http://HOST:PORT", where=where)
    if user is None:
        return Proxy(url)
    login = base64.b64encode(f"{user}:{password or ''}".encode()).decode()
    return Proxy(url.with_user(None), f"Basic {login}")
