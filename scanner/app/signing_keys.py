"""The secret key that a publisher signs with: a file of minisign's, that root or we alone may read."""

from __future__ import annotations

import stat
from pathlib import Path

from scanner.config.reading import read_regular
from scanner.feeds.trust.signing import KeyPair, make_key_pair, read_secret_file
from scanner.model.errors import ConfigError, StorageError
from scanner.system.durable import write_new

_LARGEST = 4096  # bytes; minisign's have some 300


def signing_key(path: Path, *, make: bool) -> KeyPair:
    """Read the key, or make it; blocking.

    Args:
        make: make it if there is none; the public key goes beside it, as minisign names it.

    Raises:
        ConfigError: it isn't there, is none, or others may read it.
        StorageError: it can't be written.
    """
    if make and not path.exists():
        pair = make_key_pair()
        _write(path, pair.secret_file(), 0o600)
        _write(path.with_suffix(".pub"), pair.public_file(), 0o644)
        return pair
    try:
        raw, st = read_regular(path, _LARGEST)
    except OSError as e:
        raise ConfigError(
            f"the key can't be read ({e.strerror})", where=str(path), remedy="Make one with --new-key"
        ) from None
    if st.st_mode & 0o077:
        raise ConfigError(
            f"others may read this key (mode {stat.S_IMODE(st.st_mode):04o})",
            where=str(path),
            remedy="Whoever has read it can sign lists: make a new one, with mode 0600",
        )
    return read_secret_file(raw, str(path))


def _write(path: Path, data: bytes, mode: int) -> None:
    try:
        write_new(path, data, mode)
    except OSError as e:
        raise StorageError(f"the key can't be written ({e.strerror})", where=str(path)) from e
