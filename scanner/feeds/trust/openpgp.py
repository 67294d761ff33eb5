"""OpenPGP's detached signatures: what may be given to gpgv, and what its answer means.

gpgv does the arithmetic; it is a large parser in C, so it gets exactly one signature packet, bounded and of
one form (RFC 9580 sections 4.2, 5.2 and 6), and keys from files of the operator's. Its exit code says less
than it seems to: gpgv 2.2.40 ends with 0 for a key that has expired and for SHA-1. So its status lines are
read (GnuPG, doc/DETAILS), and everything is refused that is not plainly good.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from scanner.feeds.trust.errors import (
    KeyExpiredError,
    KeyRevokedError,
    SignatureFormError,
    SignatureMissingError,
    WeakSignatureError,
    WrongKeyError,
    other_bytes,
)
from scanner.feeds.trust.rules import Claims, claims
from scanner.model.errors import ConfigError

MAX_SIGNATURE = (
    16 << 10
)  # bytes: RSA of 16384 bits takes 2 KiB, armour a third more; then there are notations
MAX_KEYS = 1 << 20  # bytes of a file of public keys
MAX_STATUS = 64 << 10  # bytes of status lines: an honest answer has 1 KiB
_SIGNATURE_TAG, _KEY_TAGS = 2, frozenset({2, 6, 12, 13, 14, 17})  # 12: trust, in files of gpg's
_BINARY_DOCUMENT = 0x00
_HASHES = frozenset({8, 9, 10, 12, 14})  # SHA-256, SHA-384, SHA-512, SHA3-256, SHA3-512
_ALGORITHMS = frozenset({1, 3, 19, 22, 27, 28})  # RSA, ECDSA, EdDSA, Ed25519, Ed448; not DSA
_PREFIX = "[GNUPG:] "
_DOMAIN = "@hostsweep"  # of the notations that say serial, feed and file
_NO_PUBKEY = "9"  # the last field of ERRSIG: the key is missing
_FINGERPRINT = re.compile(r"[0-9A-F]{40}([0-9A-F]{24})?")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose valid signature it is.

    Attributes:
        key: fingerprint of the primary key, in hexadecimal.
        claims: what is said under the signature.
    """

    key: str
    claims: Claims


def fingerprint(text: str, where: str = "") -> str:
    """A fingerprint as people write it, with blanks perhaps; 40 or 64 digits in upper case.

    Raises:
        ConfigError: it is none; a short key id says too little.
    """
    found = text.replace(" ", "").removeprefix("0x").upper()
    if not _FINGERPRINT.fullmatch(found):
        raise ConfigError("expected a key's fingerprint of 40 hexadecimal digits", where=where)
    return found


def signature_packet(raw: bytes) -> bytes:
    """The one signature packet of a .sig or .asc file, and nothing else.

    Raises:
        SignatureMissingError: there is none at all.
        SignatureFormError: it is anything else: several packets, a signed message, a clear-signed text.
        WeakSignatureError: it is made over text instead of the exact bytes, or with a hash that is broken.
    """
    if not raw:
        raise SignatureMissingError(
            "there is no signature for the list",
            remedy="Ask the publisher, or correct the feed's signature.url",
        )
    if len(raw) > MAX_SIGNATURE:
        raise _malformed(f"it has more than {MAX_SIGNATURE} bytes")
    data = _dearmoured(raw, b"SIGNATURE")
    packets = list(_packets(data)) if data is not None else []
    if len(packets) != 1 or packets[0][0] != _SIGNATURE_TAG:
        raise _malformed("expected one detached signature")
    body = packets[0][1]
    if len(body) < 10 or body[0] != 4:
        raise _malformed("expected a signature of version 4")
    if body[1] != _BINARY_DOCUMENT:
        raise WeakSignatureError(
            "the signature is over text, whose blanks and line ends may be changed",
            remedy="Ask the publisher to sign the file as it is (--detach-sign without --textmode)",
        )
    if body[3] not in _HASHES or body[2] not in _ALGORITHMS:
        raise _weak()
    return data or b""


def public_keys(raw: bytes, where: str = "") -> bytes:
    """Keys in the binary form that gpgv reads, from an export with or without armour.

    Raises:
        ConfigError: it holds anything else than public keys, such as a secret one.
    """
    data = _dearmoured(raw, b"PUBLIC KEY BLOCK") if 0 < len(raw) <= MAX_KEYS else None
    try:
        tags = [tag for tag, _ in _packets(data)] if data else []
    except SignatureFormError:
        tags = []
    if not tags or tags[0] != 6 or not set(tags) <= _KEY_TAGS:
        raise ConfigError(
            "expected public keys of OpenPGP, as `gpg --export` writes them",
            where=where,
            remedy="Export the publisher's key into a file of its own",
        )
    return data or b""


def signer(status: bytes, code: int, pinned: Collection[str]) -> Signer:
    """Read gpgv's status lines.

    Args:
        status: what it wrote to `--status-fd`.
        code: what it ended with.
        pinned: fingerprints in upper case, of primary keys or of the subkeys that sign.

    Raises:
        FeedTrustError: there is not exactly one good signature by a pinned key, made over the exact bytes,
            with strong algorithms, by a key that has neither expired nor been revoked.
    """
    if len(status) > MAX_STATUS:
        raise _malformed("gpgv says too much about it")
    lines = [line.removeprefix(_PREFIX) for line in status.decode("utf-8", "replace").splitlines()]
    said = [(word, rest.split(" ")) for word, _, rest in (line.partition(" ") for line in lines)]
    _raise_refusals(said)
    valid = [fields for word, fields in said if word == "VALIDSIG"]
    good = sum(word == "GOODSIG" for word, _ in said)
    if code != 0 or good != 1 or len(valid) != 1 or len(valid[0]) < 10:
        raise _malformed("gpgv finds no good signature in it")
    made_by, _, created, _, _, _, algorithm, digest, kind, primary = valid[0][:10]
    if made_by not in pinned and primary not in pinned:
        raise _wrong_key(primary)
    if algorithm not in map(str, _ALGORITHMS) or digest not in map(str, _HASHES) or kind != "00":
        raise _weak()
    return Signer(primary, claims({**_notations(said), "timestamp": created}))


def _raise_refusals(said: list[tuple[str, list[str]]]) -> None:
    """Whatever spoils it, before anything that speaks for it."""
    for word, fields in said:
        match word:
            case "BADSIG":
                raise other_bytes()
            case "ERRSIG" if fields[5:6] == [_NO_PUBKEY]:
                raise _wrong_key(fields[6] if len(fields) > 6 else fields[0])
            case "ERRSIG":
                raise _weak()
            case "EXPKEYSIG" | "EXPSIG":
                raise KeyExpiredError(
                    "the publisher's key or its signature has expired",
                    remedy="Get the publisher's renewed key by another way than the list's, and put it into "
                    "signature.key_files",
                )
            case "REVKEYSIG":
                raise KeyRevokedError(
                    "the publisher has revoked the key that the list is signed with",
                    remedy="Don't use its lists before the publisher has told you its new key",
                )


def _notations(said: list[tuple[str, list[str]]]) -> dict[str, str]:
    """Notations of ours by name; gpgv tells those alone that are under the signature."""
    found: dict[str, str] = {}
    name = ""
    for word, fields in said:
        if word == "NOTATION_NAME":
            full = unquote(fields[0])
            name = full.removesuffix(_DOMAIN) if full.endswith(_DOMAIN) else ""
            if name and name in found:
                raise _malformed(f"it says {name} twice")
            if name in ("serial", "feed", "file"):
                found[name] = ""
        elif word == "NOTATION_DATA" and name in found:
            found[name] += unquote(" ".join(fields))
    return found


def _dearmoured(raw: bytes, what: bytes) -> bytes | None:
    """The bytes in an armour, or as they are where there is none; None where the armour is not as it has to
    be: one block, nothing before or after it."""
    if raw[0] & 0x80:
        return raw
    lines = [line.rstrip() for line in raw.strip().split(b"\n")]
    if lines[0] != b"-----BEGIN PGP " + what + b"-----" or lines[-1] != b"-----END PGP " + what + b"-----":
        return None
    if b"" not in lines:
        return None
    body = lines[lines.index(b"") + 1 : -1]
    if body and body[-1].startswith(b"="):  # a checksum, which RFC 9580 tells to leave alone
        body.pop()
    text = b"".join(body)
    if not _BASE64.fullmatch(text):
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if data and data[0] & 0x80 else None


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and body of each packet; all lengths have to be told, and to be right."""
    at = 0
    while at < len(data):
        first = data[at]
        if not first & 0x80:
            raise _malformed("it is no OpenPGP")
        tag, start, length = (_new_length if first & 0x40 else _old_length)(data, at)
        if length < 0 or start + length > len(data):
            raise _malformed("it is cut short, or a packet has no length")
        yield tag, data[start : start + length]
        at = start + length


def _new_length(data: bytes, at: int) -> tuple[int, int, int]:
    """Tag, where the body starts, and its length; -1: none."""
    tag, head = data[at] & 0x3F, data[at + 1 : at + 7]
    if head and head[0] < 192:
        return tag, at + 2, head[0]
    if len(head) > 1 and head[0] < 224:
        return tag, at + 3, ((head[0] - 192) << 8) + head[1] + 192
    if len(head) > 4 and head[0] == 255:
        return tag, at + 6, int.from_bytes(head[1:5])
    return tag, at, -1


def _old_length(data: bytes, at: int) -> tuple[int, int, int]:
    tag, size = (data[at] & 0x3C) >> 2, (1, 2, 4, 0)[data[at] & 3]
    length = data[at + 1 : at + 1 + size]
    return tag, at + 1 + size, int.from_bytes(length) if size and len(length) == size else -1


def _wrong_key(key: str) -> WrongKeyError:
    shown = key if re.fullmatch(r"[0-9A-F]{16,64}", key) else "unknown"
    return WrongKeyError(
        f"the list is signed with the key {shown}, which is not among the feed's signature.keys",
        remedy="Ask the publisher, by another way than the list's, whether that is its new key",
    )


def _weak() -> WeakSignatureError:
    return WeakSignatureError(
        "the signature is made with algorithms that can be forged or that are not known",
        remedy="Ask the publisher to sign with SHA-256 or better, and RSA, ECDSA or Ed25519",
    )


def _malformed(how: str) -> SignatureFormError:
    return SignatureFormError(
        f"what should be an OpenPGP signature is none: {how}",
        remedy="The last good list stays in use; ask the publisher",
    )
