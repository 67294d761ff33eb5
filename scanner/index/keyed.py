"""The key under which exact digests are stored: whoever has the disk and not the key can test no digest.

A digest stands in a snapshot as the first bytes of HMAC-SHA-256(key, kind || digest). Every file's digests
are turned into this form before they are looked up, and every entry's when a list is imported, so the time of
one call counts. Measured for a short message (CPython 3.11, one core of a small server): hmac.digest 2.4 us,
a copied hmac.new object 1.5 us, two copied SHA-256 objects that already had the padded key 0.75 us. The last
is RFC 2104 written out, and is what is used; hashlib's objects, which go through OpenSSL's allocation, take
1.3 us, and serve where an interpreter has no SHA-256 of its own.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from scanner.model.hashes import HashKind

KEY_SIZE = 32  # bytes: as many as the output, RFC 2104 section 3
MAX_STORED = 32  # bytes: what SHA-256 gives
RECORD_SIZE = 16  # bytes of a record key's digest: no two of 2**32 records meet
_BLOCK = 64  # bytes: SHA-256's block, to which RFC 2104 pads the key
_ID_LABEL = b"hostsweep list key"  # no kind's name begins so
_RECORD_LABEL = b"record\0"
_HINTS_LABEL = b"hints\0"
_ID_SIZE = 8  # bytes


def _sha256() -> Callable[..., Any]:
    """The interpreter's own SHA-256: copying its objects is cheap, for they are no OpenSSL contexts."""
    for name in ("_sha256", "_sha2"):  # up to Python 3.11, and since
        try:
            found: Callable[..., Any] = importlib.import_module(name).sha256
        except (ImportError, AttributeError):
            continue
        return found
    return hashlib.sha256


def stored_size(kind: HashKind, *, keyed: bool) -> int:
    """Bytes of a value of this kind in a snapshot."""
    return min(kind.size, MAX_STORED) if keyed and kind.exact else kind.size


class Prekeyed:
    """HMAC-SHA-256 with one key and one beginning of all messages, made ready once.

    Args:
        key: of any length.
        prefix: what every message begins with.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes, prefix: bytes = b"") -> None:
        sha256 = _sha256()
        padded = (sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
        inner = sha256(bytes(b ^ 0x36 for b in padded) + prefix)
        outer = sha256(bytes(b ^ 0x5C for b in padded))
        self._inner, self._outer = inner.copy, outer.copy

    def digest(self, message: bytes) -> bytes:
        """HMAC-SHA-256 of prefix || message, 32 bytes."""
        inner = self._inner()
        inner.update(message)
        outer = self._outer()
        outer.update(inner.digest())
        result: bytes = outer.digest()
        return result

    def digests(self, messages: bytes, size: int, keep: int) -> bytes:
        """The first `keep` bytes for each of many messages of `size` bytes that stand one after another."""
        new_inner, new_outer = self._inner, self._outer
        found = []
        for at in range(0, len(messages), size):
            inner = new_inner()
            inner.update(messages[at : at + size])
            outer = new_outer()
            outer.update(inner.digest())
            found.append(outer.digest())
        # Cutting all of them at once costs less than cutting each.
        return np.frombuffer(b"".join(found), dtype=np.uint8).reshape(-1, MAX_STORED)[:, :keep].tobytes()


class ListKey:
    """A key of lists. Two objects are equal where their keys are.

    Args:
        secret: `KEY_SIZE` bytes.

    Raises:
        ValueError: another length.
    """

    __slots__ = ("_kinds", "_record", "_secret", "hints", "id")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_SIZE:
            raise ValueError(f"a key of lists has {KEY_SIZE} bytes")
        self._secret = bytes(secret)
        self._kinds: dict[str, Prekeyed] = {}
        self._record = Prekeyed(self._secret, _RECORD_LABEL).digest
        self.hints = Prekeyed(self._secret, _HINTS_LABEL).digest
        """HMAC-SHA-256 for `scanner.index.hints` alone, 32 bytes."""
        self.id = Prekeyed(self._secret).digest(_ID_LABEL)[:_ID_SIZE].hex()
        """Tells keys apart, and nothing about the key."""

    @classmethod
    def parse(cls, data: bytes) -> ListKey:
        """A key as it stands in a file: 32 bytes, or 64 hexadecimal digits with white space around.

        Raises:
            ValueError: neither; the text quotes nothing.
        """
        if len(data) == KEY_SIZE:
            return cls(data)
        try:
            return cls(bytes.fromhex(data.decode("ascii").strip()))
        except ValueError:  # of UnicodeDecodeError, fromhex and the wrong length
            raise ValueError("expected 32 bytes or 64 hexadecimal digits") from None

    def hex(self) -> str:
        """The key itself, for the process that imports a list; never for a log."""
        return self._secret.hex()

    def digest(self, kind: str, value: bytes) -> bytes:
        """The form in which a digest is stored: as long as the digest, at most `MAX_STORED` bytes."""
        return self.of(kind).digest(value)[: len(value)]

    def digests(self, kind: str, values: bytes, size: int) -> bytes:
        """The same of many values of `size` bytes that stand one after another."""
        return self.of(kind).digests(values, size, min(size, MAX_STORED))

    def record(self, key: str) -> bytes:
        """What stands for the key of a record, `RECORD_SIZE` bytes. Keys are any text of a publisher's."""
        return self._record(key.encode("utf-8", "surrogatepass"))[:RECORD_SIZE]

    def of(self, kind: str) -> Prekeyed:
        """What makes digests of one kind, before they are cut to their length."""
        ready = self._kinds.get(kind)
        if ready is None:
            ready = self._kinds[kind] = Prekeyed(self._secret, kind.encode())
        return ready

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ListKey) and other._secret == self._secret

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"ListKey(id={self.id})"


def plain_record(key: str) -> bytes:
    """What stands for the key of a record in a snapshot without a key."""
    return hashlib.sha256(_RECORD_LABEL + key.encode("utf-8", "surrogatepass")).digest()[:RECORD_SIZE]
