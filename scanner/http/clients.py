"""Who may ask for hashes: names, secrets, and how often each may ask."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scanner.http.rates import Bucket
from scanner.model.errors import ConfigError

DEFAULT_RATE = 100.0  # checks a second, where the file says nothing
_SHORTEST_SECRET = 16  # characters
_BURST_SECONDS = 2.0  # of a rate that may come at once


@dataclass(frozen=True, slots=True)
class Client:
    """One asker; the secret only as its SHA-256."""

    name: str
    digest: bytes
    rate: float


def parse_clients(text: str, where: str) -> tuple[Client, ...]:
    """The clients of a file: one a line, its name, its secret and, if it is told, how many checks a second it
    may ask for; `#` begins a comment.

    Raises:
        ConfigError: a line is something else, a name is there twice, a secret is short.
    """
    found: dict[str, Client] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        place = f"{where}, line {number}"
        if len(words) not in (2, 3) or ":" in words[0]:
            raise ConfigError("expected a name, a secret and at most a rate", where=place)
        name, secret = words[:2]
        if len(secret) < _SHORTEST_SECRET:
            raise ConfigError(f"a secret has at least {_SHORTEST_SECRET} characters", where=place)
        if name in found:
            raise ConfigError("this name is there twice", where=place)
        found[name] = Client(name, _digest(secret), _rate(words[2:], place))
    if not found:
        raise ConfigError("there is no client in it", where=where, remedy="Write a line: name secret")
    return tuple(found.values())


def _rate(words: Sequence[str], place: str) -> float:
    if not words:
        return DEFAULT_RATE
    try:
        rate = float(words[0])
    except ValueError:
        rate = 0.0
    if not 0 < rate <= 1e6:
        raise ConfigError("expected a number of checks a second", where=place)
    return rate


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


class Clients:
    """Recognises askers by `Authorization` (Basic with name and secret, or Bearer with the secret), and holds
    each to its rate."""

    def __init__(self, clients: Sequence[Client], now: Callable[[], float]) -> None:
        self._clients = tuple(clients)
        self._now = now
        self._buckets = {c.name: Bucket(c.rate, max(c.rate * _BURST_SECONDS, 1.0), now()) for c in clients}

    def who(self, authorization: str) -> str | None:
        """The name of whoever sent this header; None for strangers. Takes as long whoever it is."""
        scheme, _, rest = authorization.partition(" ")
        name, secret = None, rest.strip()
        if scheme.lower() == "basic":
            try:
                name, _, secret = base64.b64decode(secret, validate=True).decode("utf-8").partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return None
        elif scheme.lower() != "bearer":
            return None
        digest, found = _digest(secret), None
        for client in self._clients:
            same = hmac.compare_digest(client.digest, digest)
            if same and name in (None, client.name):
                found = client.name
        return found

    def wait(self, name: str) -> float:
        """Seconds until this one may ask again; at 0 a check is taken from its rate."""
        bucket = self._buckets[name]
        wait = bucket.wait(self._now())
        if not wait:
            bucket.take()
        return wait
