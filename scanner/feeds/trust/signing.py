"""Making keys and signatures in minisign's own forms, for who publishes lists; no file is read or written
here.

Secret keys are written without a password, as `minisign -G -W` does: they are meant for a machine that signs
by itself, from a file that root alone may read. The form is that of jedisct1/minisign, `SeckeyStruct` in
minisign.h: algorithm 2 | key derivation 2 | checksum 2 | salt 32 | two limits of 8 | key id 8 | secret 64 |
checksum 32.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from scanner.feeds.trust.minisign import LEGACY, PREHASHED, PublicKey
from scanner.feeds.trust.rules import MAX_SERIAL, iso
from scanner.model.errors import ConfigError

_UNENCRYPTED, _CHECKSUM = b"\0\0", b"B2"
_SEED, _KEY_ID = 32, 8  # bytes
_SALT_AND_LIMITS = 32 + 8 + 8
_LENGTH = 6 + _SALT_AND_LIMITS + _KEY_ID + 64 + 32
_MAX_FILE = 4 << 10


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key that signs; `repr` never shows the secret.

    Attributes:
        key_id: 8 bytes, by chance.
        seed: Ed25519's secret, 32 bytes.
    """

    key_id: bytes
    seed: bytes = field(repr=False)

    @property
    def public(self) -> PublicKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        key = Ed25519PrivateKey.from_private_bytes(self.seed)
        return PublicKey(self.key_id, key.public_key().public_bytes_raw())

    def public_file(self) -> bytes:
        """As minisign's .pub file: what is given to others."""
        public = self.public
        return f"untrusted comment: minisign public key {public.name}\n{public.encoded()}\n".encode()

    def secret_file(self) -> bytes:
        """As minisign's .key file without a password: to be written with mode 0600."""
        secret = self.seed + self.public.raw
        blob = LEGACY + _UNENCRYPTED + _CHECKSUM + bytes(_SALT_AND_LIMITS) + self.key_id + secret
        blob += bytes(32)  # without a password minisign leaves its checksum out
        return b"untrusted comment: minisign secret key\n" + base64.b64encode(blob) + b"\n"


def make_key_pair(random: Callable[[int], bytes] = os.urandom) -> KeyPair:
    """A new key.

    Args:
        random: gives so many bytes that nobody can guess.
    """
    return KeyPair(random(_KEY_ID), random(_SEED))


def read_secret_file(raw: bytes, where: str = "") -> KeyPair:
    """Read a secret key that has no password.

    Args:
        where: what it is called in errors.

    Raises:
        ConfigError: it is none, has a password, or is damaged; nothing of it is told.
    """
    blob = _blob(raw)
    if blob is None or blob[:2] != LEGACY or blob[4:6] != _CHECKSUM:
        raise ConfigError("expected minisign's secret key", where=where)
    if blob[2:4] != _UNENCRYPTED:
        raise ConfigError(
            "the secret key has a password, which nobody is there to type",
            where=where,
            remedy="Take it off with `minisign -C -W`, and let root alone read the file",
        )
    key_id, rest = blob[54:62], blob[62:]
    pair = KeyPair(key_id, rest[:_SEED])
    if pair.public.raw != rest[_SEED:64]:
        raise ConfigError("the secret key is damaged", where=where)
    return pair


def comment(feed: str, serial: int, now_ns: int) -> str:
    """The trusted comment of a list, as `scanner.feeds.trust.rules` wants it.

    Raises:
        ValueError: the name has blanks in it, or the serial is out of range.
    """
    if not feed or any(c.isspace() or not c.isprintable() for c in feed) or not 0 <= serial <= MAX_SERIAL:
        raise ValueError("expected a name without blanks and a serial up to 2^62")
    return f"hostsweep feed:{feed} serial:{serial} time:{iso(now_ns)}"


def sign(pair: KeyPair, digest: bytes, trusted_comment: str, untrusted_comment: str = "hostsweep") -> bytes:
    """Sign a list; the .minisig file.

    Args:
        digest: BLAKE2b-512 of the list's exact bytes, 64 bytes.
        trusted_comment: one line, see `comment`.

    Raises:
        ValueError: the digest is none, or a comment has more than one line.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if len(digest) != hashlib.blake2b().digest_size or any(
        c in text for text in (trusted_comment, untrusted_comment) for c in "\r\n\0"
    ):
        raise ValueError("expected a BLAKE2b-512 digest and comments of one line each")
    key = Ed25519PrivateKey.from_private_bytes(pair.seed)
    signature, said = key.sign(digest), trusted_comment.encode()
    return b"\n".join(
        (
            b"untrusted comment: " + untrusted_comment.encode(),
            base64.b64encode(PREHASHED + pair.key_id + signature),
            b"trusted comment: " + said,
            base64.b64encode(key.sign(signature + said)),
            b"",
        )
    )


def sign_bytes(pair: KeyPair, data: bytes, trusted_comment: str) -> bytes:
    """`sign` of a list that is at hand."""
    return sign(pair, hashlib.blake2b(data).digest(), trusted_comment)


def _blob(raw: bytes) -> bytes | None:
    lines = [line.strip() for line in raw.split(b"\n") if line.strip()] if len(raw) <= _MAX_FILE else []
    if len(lines) != 2 or not lines[0].startswith(b"untrusted comment:"):
        return None
    try:
        blob = base64.b64decode(lines[1], validate=True)
    except (binascii.Error, ValueError):
        return None
    return blob if len(blob) == _LENGTH else None
