"""Where the signature of a list is, and getting it: a small file beside the list."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from scanner.feeds.exchanges.base import Client
from scanner.feeds.trust.errors import SignatureFormError
from scanner.model.errors import FeedRefusedError, FeedTransportError

MAX_SIGNATURE = 16 << 10  # bytes, of either kind; one more is taken, so that it is seen to be too long
SUFFIXES: Mapping[str, tuple[str, ...]] = {"minisign": (".minisig",), "openpgp": (".asc", ".sig", ".gpg")}
"""By kind; the first is the one that is asked for where the configuration names no address."""

_MISSING = frozenset({404, 410})


def address(url: str, kind: str) -> str:
    """The address of a list's signature where none is configured: its own, with a suffix behind the path."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path + SUFFIXES[kind][0]))


def file_name(url: str) -> str:
    """The name of the file at an address."""
    return unquote(urlsplit(url).path.rpartition("/")[2])


def beside(path: Path, kind: str) -> Path | None:
    """The signature beside a list on this machine, None where there is none; blocking."""
    places = [path.with_name(path.name + suffix) for suffix in SUFFIXES[kind]]
    return next((place for place in places if place.is_file()), None)


async def fetch_signature(url: str, client: Client) -> bytes:
    """Ask for a signature; b"" where the server has none.

    Raises:
        SignatureFormError: it is longer than any signature.
        FeedTransportError: as `Client.get` does.
    """
    try:
        reply = await client.get(url, limit=MAX_SIGNATURE, accept=_MISSING)
    except FeedRefusedError as e:
        raise SignatureFormError(
            f"the signature has more than {MAX_SIGNATURE} bytes", remedy="Correct the feed's signature.url"
        ) from e
    return b"" if reply.status in _MISSING else reply.body


def local_signature(url: str, name: str = "") -> bytes:
    """Read a signature on this machine by its file:// address; b"" where there is none; blocking.

    Args:
        name: of the list, where the feed's address is that of a folder; its signature is beside it.

    Raises:
        FeedTransportError: it can't be read.
    """
    if not url:
        return b""
    place = Path(unquote(urlsplit(url).path))
    return read_signature(place.with_name(name + place.name) if name else place)


def read_signature(path: Path) -> bytes:
    """Read a signature; b"" where there is none; a pipe in its place does not hold us up. Blocking.

    Raises:
        FeedTransportError: it can't be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return b""
    except OSError as e:
        raise _unreadable(path, e) from e
    try:
        with os.fdopen(fd, "rb", buffering=0) as file:
            return file.read(MAX_SIGNATURE + 1) or b""
    except OSError as e:
        raise _unreadable(path, e) from e


def _unreadable(path: Path, e: OSError) -> FeedTransportError:
    return FeedTransportError(f"the signature can't be read ({e.strerror})", where=str(path))
