"""Lists that are encrypted with age, as a stream: no more than some chunks of 64 KiB are in memory.

age seals each chunk and marks the last (C2SP, age.md, "Payload"), so what is cut anywhere fails. It fails at
the cut, when all before was handed over already: so an import counts only when the stream came to its end,
as with every list.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Protocol

from scanner.model.errors import ConfigError, FeedError, FeedFormatError

AGE = (b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED FILE-----")
"""How such lists begin, without and with armour."""

_MAX_HEADER = 1 << 20  # bytes before the first chunk is opened; a header has 100 for each reader
_MAX_IDENTITIES = 64 << 10  # bytes of a file; one has 75


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def read_identities(path: Path) -> str:
    """Read a file of identities, as age-keygen writes it; blocking.

    Raises:
        ConfigError: it can't be read, or holds none. What it holds is never told.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_IDENTITIES + 1)
    except OSError as e:
        raise ConfigError(
            f"the age identities can't be read ({e.strerror})", where=str(path), remedy="Check its owner"
        ) from e
    lines = [line.strip() for line in raw.decode("ascii", "replace").splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    good = bool(found) and all(line.startswith("AGE-SECRET-KEY-1") for line in found)
    if len(raw) > _MAX_IDENTITIES or not good:
        raise ConfigError("expected age identities, a line AGE-SECRET-KEY-1… for each", where=str(path))
    return "\n".join(found)


def load_age() -> Any:
    """The library, which is an extra.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import pyrage
    except ImportError:
        raise ConfigError(
            "identity_file needs pyrage, which is not installed", remedy="pip install 'hostsweep[age]'"
        ) from None
    return pyrage


class Decrypted:
    """The content of an encrypted list, decrypted by a thread while it is read.

    Args:
        source: the list as it was published.
        identities: those that may open it, a line each.

    Raises:
        ConfigError: there is no such identity, or no library.
    """

    def __init__(self, source: _Readable, identities: str) -> None:
        self._reading = -1
        self._age = load_age()
        self._source = _Source(source)
        try:
            self._identities = [self._age.x25519.Identity.from_str(line) for line in identities.split("\n")]
        except self._age.IdentityError:  # which may quote the secret
            raise ConfigError("an age identity is damaged", where="identity_file") from None
        self._whole = False  # until the library says so: whatever else happens is an error
        self._reading, writing = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._decrypt, args=(writing,), name="age", daemon=True)
        self._thread.start()

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; b"" at the end of a list that was whole.

        Raises:
            FeedError: it is damaged, cut short, has something after its end, or is not for these identities.
        """
        if data := os.read(self._reading, size):
            return data
        self._thread.join()
        if self._source.error is not None:
            raise self._source.error
        if not self._whole:
            raise FeedFormatError(
                "the list can't be decrypted: it is no age file for the feed's identity_file, is damaged, "
                "or cut short",
                remedy="Fetch the list again; else ask the publisher for whom it is encrypted",
            )
        return b""

    def close(self) -> None:
        """Stop, wherever it is."""
        if self._reading >= 0:
            os.close(self._reading)  # the thread's next write fails
            self._reading = -1

    def __del__(self) -> None:
        self.close()

    def _decrypt(self, writing: int) -> None:
        try:
            with os.fdopen(writing, "wb", buffering=0) as out:
                self._age.decrypt_io(self._source, _Sink(out, self._source), self._identities)
                self._whole = True
        except (OSError, self._age.DecryptError):
            pass  # damaged, or nobody reads on


class _Source:
    """What the library reads from; an error of ours is kept, since it makes one of its own of it."""

    def __init__(self, source: _Readable) -> None:
        self._source = source
        self._bytes = 0
        self.opened = False
        self.error: FeedError | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            data = self._source.read(size if size > 0 else 1 << 16)
        except FeedError as e:
            self.error = e
            raise OSError("the list can't be read") from e
        self._bytes += len(data)
        if not self.opened and self._bytes > _MAX_HEADER:
            raise OSError("the header has no end")
        return data


class _Sink:
    def __init__(self, out: Any, source: _Source) -> None:
        self._out = out
        self._source = source

    def write(self, data: bytes) -> int:
        self._source.opened = True
        view = memoryview(data)
        while view:
            view = view[self._out.write(view) :]
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""
