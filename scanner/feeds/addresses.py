"""Where a list may be fetched from, and how an address is shown."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

from yarl import URL

from scanner.model.errors import FeedTransportError
from scanner.model.names import display


def masked(text: str) -> str:
    """An address without what may be secret in it: user, password, query and fragment."""
    try:
        url = URL(text)
        if not url.scheme:
            return display(text)
        port = f":{url.explicit_port}" if url.explicit_port is not None else ""
        host = f"[{url.host}]" if ":" in (url.host or "") else url.host or ""
    except ValueError:
        return "(an address that can't be read)"
    return display(f"{url.scheme}://{host}{port}{url.path}")


def is_loopback(host: str | None) -> bool:
    """Whether a host is this machine by its very name or address; nothing is resolved."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def parse(text: str, *, insecure: bool, encoded: bool = False) -> URL:
    """The address a list is fetched from.

    Args:
        encoded: it is sent as it stands, no character of it written in another way.

    Raises:
        FeedTransportError: not https:// or file://; http:// to another machine without `insecure`; a
            user or password in it.
    """
    try:
        url = URL(text, encoded=encoded)
        host = url.host
    except ValueError as e:
        raise FeedTransportError("the address can't be read", remedy="Expected https://HOST/PATH") from e
    if url.user or url.password:
        raise FeedTransportError(
            "the address carries a user or password", remedy="Put them into a file, and name it in basic_file"
        )
    if url.scheme == "file" and host in (None, "", "localhost"):
        return url
    if url.scheme not in ("http", "https") or not host:
        raise FeedTransportError(
            "the address is none of https://, s3:// and file:///", remedy="Correct the url"
        )
    if url.scheme == "http" and not (insecure or is_loopback(host)):
        raise FeedTransportError(
            "http:// from another machine can be read and changed on its way",
            remedy="Use https://, or set insecure: true if nothing else is offered",
        )
    return url


def redirected(
    start: URL, here: URL, location: str, *, insecure: bool, allowed_hosts: Collection[str] = ()
) -> URL:
    """Where a redirect leads, if it may be followed.

    Args:
        start: the configured address.
        here: the address that answered with the redirect.
        allowed_hosts: it may lead to these besides the configured one, in lower case.

    Raises:
        FeedTransportError: it leaves https, or the host.
    """
    try:
        target = here.join(URL(location))
        host = target.host
    except ValueError as e:
        raise FeedTransportError("the server redirects to an address that can't be read") from e
    plain_as_before = start.scheme == "http" and (insecure or is_loopback(host))
    if target.scheme != "https" and not (target.scheme == "http" and plain_as_before):
        raise FeedTransportError(
            f"the server redirects to {masked(str(target))}, which is not https://",
            remedy="Ask the publisher for the right address",
        )
    if target.user or target.password:
        raise FeedTransportError("the server redirects to an address with a user or password in it")
    # By the name that is looked up: xn--… where it is written in other letters.
    if host != start.host and (target.raw_host or "").lower() not in allowed_hosts:
        raise FeedTransportError(
            f"the server redirects to another host: {masked(str(target))}",
            remedy="If the publisher confirms that address, put it into the feed's url, or the host into "
            "allowed_hosts",
        )
    return target
