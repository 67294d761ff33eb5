"""The kinds of values that configuration keys hold, each checked in one place."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, ValidationInfo

from scanner.config.units import (
    Expected,
    Listen,
    format_duration,
    format_size,
    parse_duration,
    parse_listen,
    parse_size,
)
from scanner.model.hashes import EXACT_KINDS, KINDS, PERCEPTUAL_KINDS, VIEWS
from scanner.model.views import WORDS

# Names become labels of metrics and parts of file names, so they are short and plain.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_FORMAT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*|\[[0-9a-f:]+\]")
_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
# What requests are built with: a value from a file must not change what they mean.
_OWN_HEADERS = frozenset({
    "accept-encoding", "authorization", "connection", "content-encoding", "content-length", "content-type",
    "cookie", "expect", "host", "if-match", "if-modified-since", "if-none-match", "if-range",
    "if-unmodified-since", "proxy-authorization", "range", "te", "trailer", "transfer-encoding", "upgrade",
    "user-agent",
})  # fmt: skip
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_HEX = re.compile(r"[0-9A-Fa-f]+")
_PHOTODNA = "photodna"
AUTO = "auto"
"""In the place of perceptual kinds: those that lists bring."""
# What a column of a CSV list can be.
_COLUMNS = (
    *(*EXACT_KINDS, *PERCEPTUAL_KINDS, _PHOTODNA, "type", "hash"),
    *("id", "category", "size", "added", "removed", "changed", "severity", "labels", "source", "key"),
)
_WRITTEN_IN = ("", ":hex", ":base64", ":base32")  # how a column's values may be written


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise Expected("expected a name of 1 to 63 letters, digits, dots, dashes and underscores")
    return value


def _format(value: str) -> str:
    if not _FORMAT.fullmatch(value):
        raise Expected("expected auto or the name of a list format, such as vics, csv or plain")
    return value


def _text(value: str) -> str:
    if not value.strip() or "\0" in value:
        raise Expected("expected some text")
    return value


def _absolute(value: object) -> Path:
    expected = Expected("expected an absolute path without '..', such as /srv/www")
    if not isinstance(value, str | Path):
        raise expected
    path = Path(value)
    if not path.is_absolute() or ".." in path.parts or "\0" in str(value):
        raise expected
    return path


def _secret_file(value: object, info: ValidationInfo) -> Path:
    """A path that may begin with an environment variable, as systemd hands over credentials."""
    if isinstance(value, str):
        value = _VARIABLE.sub(lambda found: _variable(found[1], info.context), value)
    return _absolute(value)


def _variable(name: str, context: Mapping[str, Any] | None) -> str:
    environ: Mapping[str, str] = (context or {}).get("environ", {})
    if not environ.get(name):
        raise ValueError(f"the environment variable {name} is not set")
    return environ[name]


def _url(value: str) -> str:
    # What was found is never told: an address may carry a password.
    expected = ValueError(
        "expected https://HOST/PATH, s3://BUCKET/KEY or file:///PATH (http:// only from this machine)"
    )
    try:
        url = urlsplit(value)
        port_is_valid = url.port != 0  # reading it checks it
    except ValueError:
        raise expected from None
    if any(c.isspace() or not c.isprintable() for c in value) or not port_is_valid:
        raise expected
    if url.scheme == "file":
        path = unquote(url.path)
        if url.netloc not in ("", "localhost") or not path.startswith("/") or "\0" in path:
            raise ValueError("expected file:/// and an absolute path")
    elif url.scheme == "s3":
        if not url.hostname or len(url.path) < 2 or url.query or url.fragment:
            raise ValueError("expected s3://BUCKET/KEY")
    elif url.scheme not in ("https", "http") or not url.hostname:
        raise expected
    return value


def _server(value: str) -> str:
    """The address of a proxy or a service: no path, no user, no password."""
    expected = ValueError("expected https://HOST or http://HOST, with a port where it needs one")
    try:
        url = urlsplit(value)
        usable = url.port != 0 and url.scheme in ("https", "http") and bool(url.hostname)
    except ValueError:
        raise expected from None
    if not usable or url.path not in ("", "/") or url.query or url.fragment or "@" in url.netloc:
        raise expected
    return value


def _host(value: str) -> str:
    if not _HOST.fullmatch(value.lower()):
        raise Expected("expected the name of a host, such as files.example.police")
    return value.lower().strip("[]")


def _header(value: str) -> str:
    if not _HEADER.fullmatch(value):
        raise Expected("expected the name of a header, such as X-Api-Key")
    if value.lower() in _OWN_HEADERS:
        raise Expected("expected another header: this one is set by other keys, or by every request")
    return value


def _category(value: object) -> str:
    """The publisher's value as text. 0 never acts, so naming it is a mistake that must not pass."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Expected(
            "expected a category as the publisher writes it, such as 1 or A1 (quote words like yes)"
        )
    text = str(value).strip()
    if text in ("", "0"):
        raise Expected("expected a category that acts; 0 and empty never do")
    return text


def _exact_kind(value: str) -> str:
    return _kind(value, EXACT_KINDS)


def _perceptual_kind(value: str, info: ValidationInfo) -> str:
    return _kind(value, (*PERCEPTUAL_KINDS, *(info.context or {}).get("kinds", ())))


def _views(value: tuple[str, ...]) -> tuple[str, ...]:
    if not set(value) <= set(VIEWS):
        raise Expected(f"expected views among {', '.join(VIEWS)}")
    if VIEWS[0] not in value:
        raise Expected(f"expected {VIEWS[0]} among the views")
    return value


def _perceptual_or_auto(value: str, info: ValidationInfo) -> str:
    return value if value == AUTO else _perceptual_kind(value, info)


def _listed(value: object) -> object:
    """`auto` by itself stands for a list of it."""
    return (value,) if value == AUTO else value


def _shown_kinds(kinds: tuple[str, ...]) -> object:
    return AUTO if kinds == (AUTO,) else list(kinds)


def _any_kind(value: str, info: ValidationInfo) -> str:
    return _kind(value, (*EXACT_KINDS, *PERCEPTUAL_KINDS, *(info.context or {}).get("kinds", ())))


def _canary(value: Mapping[str, str]) -> Mapping[str, str]:
    """Digests of one file, by kind, in hexadecimal. What was found is never told: it is of a list."""
    for kind, text in value.items():
        known = KINDS.get(kind)
        if known is None:
            raise ValueError(f"expected kinds among {', '.join(KINDS)}")
        if len(text) != 2 * known.size or not _HEX.fullmatch(text):
            raise ValueError(f"expected {2 * known.size} hexadecimal digits for {kind}")
    return value


def _column(value: str, info: ValidationInfo) -> str:
    field, colon, written = value.partition(":")
    if colon + written not in _WRITTEN_IN:
        raise Expected("expected a column such as md5, or one with how it is written, such as md5:base64")
    return _kind(field, (*_COLUMNS, *(info.context or {}).get("kinds", ()))) + colon + written


def _meaning(value: object) -> object:
    """Text, or a number for it: 0 is how to say that a value of the list means nothing."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _kind(value: str, known: tuple[str, ...]) -> str:
    if value in known:
        return value
    if value.casefold() == _PHOTODNA:
        raise ValueError(
            "PhotoDNA is licensed software and not part of hostsweep; a licensee adds it as a plug-in"
        )
    raise Expected(f"expected one of {', '.join(known)}")


def _view_word(value: str) -> str:
    if value not in WORDS:
        raise Expected(f"expected one of {', '.join(WORDS)}")
    return value


def _encoding(value: str) -> str:
    try:
        "a".encode(value)  # refuses what is no text encoding: base64, zip, rot13
        return codecs.lookup(value).name
    except (LookupError, ValueError):
        raise Expected("expected a character encoding such as utf-8, utf-16 or cp1252") from None


def _delimiter(value: str) -> str:
    if len(value) != 1 or value in '"\r\n' or value.isalnum():
        raise Expected("expected one character between columns, such as ',' or ';' or \"\\t\"")
    return value


def _workers(value: object) -> str | int:
    number = isinstance(value, int) and not isinstance(value, bool)
    if value == "auto" or (number and 1 <= int(str(value)) <= 1024):
        return value  # type: ignore[return-value]  # told apart just above
    raise Expected("expected auto or a number of processes from 1 to 1024")


def _user(value: object) -> str | int:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise Expected("expected a user's name or number")
    if value in ("root", 0, "0") or (isinstance(value, int) and not 0 < value < 2**32 - 1):
        raise Expected("expected a user without power: workers decode strangers' files")
    return value


Name = Annotated[str, AfterValidator(_name)]
FormatName = Annotated[str, AfterValidator(_format)]
Text = Annotated[str, AfterValidator(_text)]
AbsolutePath = Annotated[Path, BeforeValidator(_absolute), PlainSerializer(str)]
SecretFile = Annotated[Path, BeforeValidator(_secret_file), PlainSerializer(str)]
Url = Annotated[str, AfterValidator(_url)]
ServerUrl = Annotated[str, AfterValidator(_server)]
Host = Annotated[str, AfterValidator(_host)]
Header = Annotated[str, AfterValidator(_header)]
Category = Annotated[str, BeforeValidator(_category)]
ExactKind = Annotated[str, AfterValidator(_exact_kind)]
PerceptualKind = Annotated[str, AfterValidator(_perceptual_kind)]
PerceptualKinds = Annotated[
    tuple[Annotated[str, AfterValidator(_perceptual_or_auto)], ...],
    BeforeValidator(_listed),
    PlainSerializer(_shown_kinds),
]
Views = Annotated[tuple[str, ...], AfterValidator(_views)]
AnyKind = Annotated[str, AfterValidator(_any_kind)]
ViewWord = Annotated[str, AfterValidator(_view_word)]
Column = Annotated[str, AfterValidator(_column)]
Meaning = Annotated[str, BeforeValidator(_meaning)]
Canary = Annotated[Mapping[str, str], AfterValidator(_canary)]
Encoding = Annotated[str, AfterValidator(_encoding)]
Delimiter = Annotated[str, AfterValidator(_delimiter)]
Workers = Annotated[str | int, BeforeValidator(_workers)]
User = Annotated[str | int, BeforeValidator(_user)]
Seconds = Annotated[float, BeforeValidator(parse_duration), PlainSerializer(format_duration)]
Size = Annotated[int, BeforeValidator(parse_size), PlainSerializer(format_size)]
ListenAddress = Annotated[Listen, BeforeValidator(parse_listen), PlainSerializer(str)]
