"""Secrets for publishers' servers: they stand in files, and are read each time they are used."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

from scanner.model.errors import ConfigError

_MAX_SECRET = 16 * 1024  # bytes; servers take some 8 KiB of headers


def authorization(bearer_file: Path | None, basic_file: Path | None) -> str:
    """The Authorization header, "" where no secret is configured; blocking.

    Raises:
        ConfigError: both are given, or the file can't be read or holds no such secret. What it holds is
            never told.
    """
    if bearer_file is not None and basic_file is not None:
        raise ConfigError("expected either bearer_file or basic_file, found both", where=str(basic_file))
    if bearer_file is not None:
        return f"Bearer {secret_line(bearer_file)}"
    if basic_file is not None:
        return basic(basic_file)
    return ""


def header_values(files: Mapping[str, Path]) -> dict[str, str]:
    """Further headers with secrets, by name; blocking.

    Raises:
        ConfigError: a file can't be read or holds no such secret.
    """
    return {name: secret_line(path) for name, path in files.items()}


def secret_line(path: Path) -> str:
    """A file's one line of ASCII without a blank; blocking.

    Raises:
        ConfigError: it can't be read or holds no such secret.
    """
    return _line(path, spaces=False)


def basic(path: Path) -> str:
    """The value of an Authorization header from a file with user:password; blocking.

    Raises:
        ConfigError: it can't be read or holds no such secret.
    """
    text = _line(path, spaces=True)
    if ":" not in text:
        raise ConfigError("expected user:password", where=str(path))
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def _line(path: Path, *, spaces: bool) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_SECRET + 1)
    except OSError as e:
        raise ConfigError(
            f"the secret can't be read ({e.strerror})", where=str(path), remedy="Check the file and its owner"
        ) from e
    try:
        text = raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        text = ""
    if not text or len(raw) > _MAX_SECRET or not text.isprintable() or (" " in text and not spaces):
        raise ConfigError("expected a secret in one line of text", where=str(path))
    if not (text.isascii() or spaces):
        raise ConfigError("expected a token of ASCII characters", where=str(path))
    return text
