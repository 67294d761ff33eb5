"""Whom a server has to be certified by, and what this machine shows it. There is no way not to check."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from scanner.model.errors import ConfigError

_MAX_FILE = 4 << 20  # bytes; all of the system's authorities have some 200 KiB


@dataclass(frozen=True, slots=True)
class Certificates:
    """What TLS is spoken with.

    Attributes:
        own: with the feed's own server, which may be shown a client certificate.
        others: with all other hosts, which never are.
            None, for both: the system's authorities and nothing more.
        shown: `own` has a client certificate.
    """

    own: ssl.SSLContext | None = None
    others: ssl.SSLContext | None = None
    shown: bool = False


def load(ca: Path | None, certificate: Path | None, key: Path | None) -> Certificates:
    """Read the files; blocking.

    Args:
        ca: authorities that are trusted in place of the system's.
        certificate, key: for servers that ask who we are; the key may stand in the certificate's file.

    Raises:
        ConfigError: a file can't be read, or is not what it should be.
    """
    if ca is None and certificate is None:
        return Certificates()
    authorities = None if ca is None else _text(ca)
    others = None if ca is None else _context(ca, authorities)
    if certificate is None:
        return Certificates(others, others)
    own = _context(ca, authorities)
    _show(own, certificate, key)
    return Certificates(own, others, shown=True)


def _context(ca: Path | None, authorities: str | None) -> ssl.SSLContext:
    try:
        # With authorities of its own it doesn't load the system's.
        return ssl.create_default_context(cadata=authorities)
    except (ssl.SSLError, ValueError) as e:
        raise ConfigError(
            "expected certificates of authorities in PEM (-----BEGIN CERTIFICATE-----)", where=str(ca)
        ) from e


def _show(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    for path in filter(None, (certificate, key)):
        _text(path)  # for a message that says which of the two it is
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError) as e:
        raise ConfigError(
            "the certificate and its key can't be used together",
            where=str(key or certificate),
            remedy="Expected PEM, and a key that has no password and belongs to the certificate",
        ) from e
    except OSError as e:
        raise _unreadable(certificate, e) from e


def _no_password() -> str:
    """OpenSSL would ask the terminal."""
    raise ValueError("the key has a password")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_FILE + 1)
    except OSError as e:
        raise _unreadable(path, e) from e
    if len(raw) > _MAX_FILE or b"-----BEGIN " not in raw:
        raise ConfigError("expected a file in PEM (-----BEGIN …-----)", where=str(path))
    return raw.decode("ascii", "replace")


def _unreadable(path: Path, e: OSError) -> ConfigError:
    return ConfigError(
        f"the file can't be read ({e.strerror})", where=str(path), remedy="Check the file and its owner"
    )
