"""What a fetch takes from this machine: opened, read and loaded before the process gives up its rights."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from yarl import URL

from scanner.feeds import tls
from scanner.feeds.addresses import masked, parse
from scanner.feeds.credentials import authorization, basic, header_values
from scanner.feeds.drop import open_newest
from scanner.feeds.fetching import FetchRequest
from scanner.feeds.objects import Signer, locate, signer
from scanner.feeds.optionfiles import option_files
from scanner.feeds.proxies import Proxies, Proxy, parse_proxy
from scanner.feeds.signatures import local_signature
from scanner.feeds.staging import open_local
from scanner.feeds.tls import Certificates
from scanner.model.errors import ConfigError, FeedError


@dataclass(frozen=True, slots=True)
class Opened:
    """It.

    Attributes:
        source: descriptor of the list where it is a file of this machine.
        name: of that file in its drop folder, "" elsewhere.
        authorization: the header with the secret, "" for none.
        headers: further ones with secrets, by name.
        certificates: what TLS is spoken with.
        proxies: which way requests go.
        signer: signs requests to an object store.
        signature: of the list where it is a file of this machine, b"" where there is none.
        files: those that options of a publisher's protocol name.
    """

    source: int | None = None
    name: str = ""
    authorization: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    certificates: Certificates = field(default_factory=Certificates)
    proxies: Proxies = field(default_factory=Proxies)
    signer: Signer | None = None
    signature: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def for_request(cls, request: FetchRequest) -> Opened:
        """Open it; blocking. Proxies are the environment's where the request names none.

        Raises:
            FeedTransportError: the address is refused, or the local list can't be read.
            ConfigError: a file with a secret or a certificate can't be used.
        """
        with told_where(request):
            url = start_of(request)
            if url.scheme == "file":
                return cls._local(request, url)
            return cls(
                authorization=authorization(request.bearer_file, request.basic_file),
                headers=header_values(request.header_files),
                certificates=tls.load(
                    request.ca_file, request.certificate_file, request.certificate_key_file
                ),
                proxies=_proxies(request),
                signer=signer(request.store) if request.url.startswith("s3://") else None,
                files=option_files(request.options) if request.exchange else {},
            )

    @classmethod
    def _local(cls, request: FetchRequest, url: URL) -> Opened:
        path = Path(unquote(url.raw_path))
        if not is_folder(url):
            return cls(source=open_local(path), signature=local_signature(request.signature))
        dropped = open_newest(path, request.newest_by, request.now_ns)
        signature = local_signature(request.signature, dropped.name)
        return cls(source=dropped.descriptor, name=dropped.name, signature=signature)


def start_of(request: FetchRequest) -> URL:
    """The address that is asked.

    Raises:
        FeedTransportError: it is refused.
    """
    # An object's name is signed as it is sent.
    encoded = request.url.startswith("s3://")
    return parse(locate(request.url, request.store), insecure=request.insecure, encoded=encoded)


def is_folder(url: URL) -> bool:
    """Whether an address is a drop folder's."""
    return url.scheme == "file" and url.raw_path.endswith("/")


@contextmanager
def told_where(request: FetchRequest) -> Iterator[None]:
    """Errors say which list it is about, without what may be secret in its address."""
    try:
        yield
    except FeedError as e:
        raise type(e)(e.what, where=named(request, request.url), remedy=e.remedy) from e


def named(request: FetchRequest, url: str) -> str:
    """What a list is called in errors: its feed's name and an address, without what may be secret in it."""
    address = masked(url)
    # A list of the command line has no name but its address, which may hold secrets.
    return address if "://" in request.feed else f"feed {request.feed} ({address})"


def _proxies(request: FetchRequest) -> Proxies:
    if not request.proxy:
        return Proxies(environment=urllib.request.getproxies_environment())
    proxy = parse_proxy(request.proxy, where=f"feed {request.feed}: proxy")
    if proxy.authorization:
        raise ConfigError(
            "the proxy's address carries a user or password",
            where=f"feed {request.feed}: proxy",
            remedy="Put them into a file, and name it in proxy_basic_file",
        )
    if request.proxy_basic_file is not None:
        proxy = Proxy(proxy.url, basic(request.proxy_basic_file))
    return Proxies(own=proxy)
