"""Secrets stand in files of their own, never in the configuration."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from pathlib import Path

from scanner.config.reading import read_regular
from scanner.model.errors import ConfigError

_LARGEST = 64 << 10  # bytes; tokens are far shorter, and a wrong path may name anything


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret and, in `warning`, what is wrong with how it is kept ("" for nothing)."""

    value: str = field(repr=False)
    warning: str = ""


def read_secret(path: Path) -> Secret:
    """Read a secret: the file's one line, without the line's end.

    Raises:
        ConfigError: the file is missing, can't be read, is no regular file, is empty or has more lines.
    """
    remedy = "Expected a file with the secret on one line, readable by the user hostsweep runs as"
    try:
        raw, st = read_regular(path, _LARGEST + 1)
    except OSError as e:
        raise ConfigError(
            f"the secret can't be read ({e.strerror})", where=str(path), remedy=remedy
        ) from None
    try:
        value = raw.decode("utf-8").strip()
    except UnicodeDecodeError:
        value = ""
    if not value or len(raw) > _LARGEST or "\n" in value or not value.isprintable():
        raise ConfigError("this file holds no secret", where=str(path), remedy=remedy)
    if st.st_mode & 0o077:
        mode = stat.S_IMODE(st.st_mode)
        return Secret(value, f"{path}: others may read this secret (mode {mode:04o}); run chmod 600")
    return Secret(value)
