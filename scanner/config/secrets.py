"""Secrets stand in files of their own, never in the configuration."""

from __future__ import annotations

import os
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


# Half of what `openssl rand -hex 32` prints. Whoever may ask can try some hundred tokens a second.
SHORTEST_TOKEN = 32

_MAX_PRIVATE = 1 << 20  # bytes: ten thousand clients


def read_token(path: Path) -> Secret:
    """Read the token that lets others act on us: kept more strictly than what we send to others.

    Raises:
        ConfigError: as `read_secret`; or it is short, or belongs to or may be read by strangers.
    """
    secret, st = _read(path)
    remedy = "Make one with `openssl rand -hex 32`, in a file of mode 0600 of root or hostsweep's user"
    if st.st_mode & 0o027:
        what = f"others may read or write the token (mode {stat.S_IMODE(st.st_mode):04o})"
    elif st.st_uid not in (0, os.geteuid()):
        what = "the token's file belongs to another user, who can change it"
    elif len(secret.value) < SHORTEST_TOKEN:
        what = f"the token is too short: expected at least {SHORTEST_TOKEN} characters"
    elif not secret.value.isascii() or " " in secret.value:
        what = "the token has characters that no HTTP header can carry"
    else:
        # systemd hands credentials over with an access list, which shows as a group that may read.
        return secret if st.st_gid else Secret(secret.value)
    raise ConfigError(what, where=str(path), remedy=remedy)


def read_private(path: Path) -> str:
    """Read a file of several lines that says who may ask us: kept as strictly as a token.

    Raises:
        ConfigError: it is missing, can't be read, is no regular file, is too large, or others may read or
            change it.
    """
    remedy = "Make it a file of mode 0600 of root or hostsweep's user"
    try:
        raw, st = read_regular(path, _MAX_PRIVATE + 1)
    except OSError as e:
        raise ConfigError(f"it can't be read ({e.strerror})", where=str(path), remedy=remedy) from None
    if st.st_mode & 0o027 or st.st_uid not in (0, os.geteuid()):
        what = f"others may read or change it (mode {stat.S_IMODE(st.st_mode):04o})"
        raise ConfigError(what, where=str(path), remedy=remedy)
    if len(raw) > _MAX_PRIVATE:
        raise ConfigError(f"it has more than {_MAX_PRIVATE} bytes", where=str(path))
    return raw.decode("utf-8", "replace")


_LARGEST_PEM = 4 << 20  # bytes; all of a system's authorities have some 200 KiB


def read_pem(path: Path, *, private: bool) -> str:
    """Look whether a file holds certificates or a key.

    Args:
        private: a key is in it, which nobody else may read.

    Returns:
        a warning, "" for none.

    Raises:
        ConfigError: it can't be read or is no PEM.
    """
    try:
        raw, st = read_regular(path, _LARGEST_PEM + 1)
    except OSError as e:
        raise ConfigError(f"the file can't be read ({e.strerror})", where=str(path)) from None
    if b"-----BEGIN " not in raw or len(raw) > _LARGEST_PEM:
        raise ConfigError("expected a file in PEM (-----BEGIN …-----)", where=str(path))
    if (private or b"PRIVATE KEY-----" in raw) and st.st_mode & 0o077:
        mode = stat.S_IMODE(st.st_mode)
        return f"{path}: others may read this key (mode {mode:04o}); run chmod 600"
    return ""


def read_secret(path: Path) -> Secret:
    """Read a secret: the file's one line, without the line's end.

    Raises:
        ConfigError: the file is missing, can't be read, is no regular file, is empty or has more lines.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[Secret, os.stat_result]:
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
        return Secret(value, f"{path}: others may read this secret (mode {mode:04o}); run chmod 600"), st
    return Secret(value), st
