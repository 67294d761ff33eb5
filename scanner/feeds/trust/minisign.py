"""minisign's signatures and public keys, after its own description of their forms (jedisct1/minisign).

A signature has four lines:

    untrusted comment: …
    base64(algorithm 2 | key id 8 | signature 64)
    trusted comment: …
    base64(signature 64 of the first signature and the trusted comment)

`ED` signs the BLAKE2b-512 of the list, `Ed`, the older form, the list itself, which has to
be held in memory for it. Everything here is stricter than minisign: sizes, canonical base64, nothing after
it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass

from scanner.feeds.trust.errors import SignatureFormError
from scanner.model.errors import ConfigError

MAX_SIGNATURE = 16 << 10  # bytes: comments of 1024 and 8192 (minisign.h) and 200 of base64
PREHASHED, LEGACY = b"ED", b"Ed"
_UNTRUSTED, _TRUSTED = b"untrusted comment: ", b"trusted comment: "
_KEY_ID, _PUBLIC, _SIGNATURE = 8, 32, 64  # bytes
_MAX_KEY_FILE = 4 << 10  # bytes


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A pinned key: its id, which is only a name, and the Ed25519 key itself, 32 bytes."""

    key_id: bytes
    raw: bytes

    @property
    def name(self) -> str:
        """The id as minisign prints it: a little-endian number in hexadecimal."""
        return self.key_id[::-1].hex().upper()

    def encoded(self) -> str:
        """As minisign's `-P` takes it: 56 characters."""
        return base64.b64encode(LEGACY + self.key_id + self.raw).decode()


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature as it came; nothing in it is verified.

    Attributes:
        prehashed: it is of the BLAKE2b-512 of the list, else of the list.
        key_id: of the key that is said to have made it.
        signature: of the list, 64 bytes.
        comment: the trusted comment's exact bytes.
        global_signature: of `signature` and `comment`, 64 bytes.
    """

    prehashed: bool
    key_id: bytes
    signature: bytes
    comment: bytes
    global_signature: bytes

    @property
    def key_name(self) -> str:
        return self.key_id[::-1].hex().upper()


def parse_signature(raw: bytes) -> Signature:
    """Read a .minisig file.

    Raises:
        SignatureFormError: it is none.
    """
    if len(raw) > MAX_SIGNATURE:
        raise _malformed(f"it has more than {MAX_SIGNATURE} bytes")
    lines = raw.split(b"\n")
    if len(lines) == 5 and not lines[4]:
        lines.pop()
    if len(lines) != 4:
        raise _malformed(f"expected four lines, found {len(lines)}")
    first, blob, second, final = (line.removesuffix(b"\r") for line in lines)
    if not first.startswith(_UNTRUSTED) or not second.startswith(_TRUSTED):
        raise _malformed("expected an untrusted comment in the first line and a trusted one in the third")
    made = _base64(blob, 2 + _KEY_ID + _SIGNATURE)
    if made is None or made[:2] not in (PREHASHED, LEGACY):
        raise _malformed("the second line is no Ed25519 signature")
    whole = _base64(final, _SIGNATURE)
    if whole is None:
        raise _malformed("the fourth line is no signature")
    return Signature(
        made[:2] == PREHASHED,
        made[2 : 2 + _KEY_ID],
        made[2 + _KEY_ID :],
        second.removeprefix(_TRUSTED),
        whole,
    )


def parse_public_key(text: str, where: str = "") -> PublicKey:
    """Read a public key: its 56 characters, or a .pub file with a comment before them.

    Args:
        where: what it is called in errors.

    Raises:
        ConfigError: it is none. What was found is not told: it may be a secret key.
    """
    lines = text.split("\n") if len(text) <= _MAX_KEY_FILE else []
    lines = [line.removesuffix("\r") for line in lines if line.strip()]
    if len(lines) == 2 and lines[0].startswith("untrusted comment:"):
        lines.pop(0)
    blob = None
    if len(lines) == 1 and lines[0].isascii():
        blob = _base64(lines[0].encode(), 2 + _KEY_ID + _PUBLIC)
    if blob is None or blob[:2] != LEGACY:
        raise ConfigError(
            "expected minisign's public key: 56 characters that begin with RW, or its .pub file", where=where
        )
    return PublicKey(blob[2 : 2 + _KEY_ID], blob[2 + _KEY_ID :])


def pinned(keys: Iterable[PublicKey]) -> dict[bytes, PublicKey]:
    """Keys by their id.

    Raises:
        ConfigError: there is none, or two different ones have the same id.
    """
    found: dict[bytes, PublicKey] = {}
    for key in keys:
        if found.setdefault(key.key_id, key) != key:
            raise ConfigError(f"two different keys have the id {key.name}", remedy="Ask who made them")
    if not found:
        raise ConfigError("there is no key to verify a signature with")
    return found


def _base64(text: bytes, length: int) -> bytes | None:
    """The bytes of canonical base64, None where it is anything else: one signature has one form."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == length and base64.b64encode(raw) == text else None


def _malformed(how: str) -> SignatureFormError:
    return SignatureFormError(
        f"what should be minisign's signature is none: {how}",
        remedy="The last good list stays in use; ask the publisher",
    )
