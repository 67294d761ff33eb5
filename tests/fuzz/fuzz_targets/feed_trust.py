"""What signatures are made of: any bytes are refused with a typed error, or say what the key has signed.

First byte: which of the parsers.
"""

from __future__ import annotations

import base64
import hashlib

from fuzzing import Target, harmless, law

from scanner.feeds.trust import Published, TrustTerms, claims_of, parse_public_key, pinned, verify
from scanner.feeds.trust.minisign import parse_signature
from scanner.feeds.trust.openpgp import public_keys, signature_packet, signer
from scanner.feeds.trust.remembered import from_file, to_file
from scanner.feeds.trust.rules import MAX_SERIAL, Accepted
from scanner.feeds.trust.signing import comment, make_key_pair, read_secret_file, sign
from scanner.model.errors import ConfigError, FeedTrustError

_KEY = make_key_pair(lambda n: bytes(range(n)))
_NOW = 1_790_000_000 * 10**9
_DIGEST = hashlib.blake2b(b"list").digest()
_TERMS = TrustTerms("police", "list.txt", 86_400 * 10**9)
_FINGERPRINT = "A" * 40
_STATUS = (
    b"[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG AA x\n"
    b"[GNUPG:] NOTATION_NAME serial@hostsweep\n[GNUPG:] NOTATION_DATA 4\n"
    b"[GNUPG:] VALIDSIG " + b"B" * 40 + b" 2026-01-01 1767225600 0 4 0 22 8 00 " + b"A" * 40 + b"\n"
)


def _signature() -> bytes:
    return sign(_KEY, _DIGEST, comment("police", 7, _NOW))


def _verified(raw: bytes) -> None:
    found = verify(Published(_DIGEST, b"list"), raw, pinned([_KEY.public]), None, _NOW, _TERMS)
    ours, theirs = parse_signature(_signature()), parse_signature(raw)
    law(theirs == ours, "nothing is believed but what was signed, in its one form")
    law(
        (found.serial, found.signed_ns, found.digest) == (7, _NOW, _DIGEST.hex()),
        "what it says is what was said",
    )


def _claims(raw: bytes) -> None:
    found = claims_of(raw)
    law(found.serial is None or 0 <= found.serial <= MAX_SERIAL, "a serial is a number in its range")
    law(found.signed_ns >= 0 and b"time" in raw, "a time is told, not made up")
    law(not any(c in " \t" for c in found.feed) or b"\t" in raw, "a name is one word")


def _packet(raw: bytes) -> None:
    packet = signature_packet(raw)
    law(
        packet[0] & 0x80 and len(packet) <= len(raw),
        "a packet begins like one, and is no more than what came",
    )
    law(signature_packet(packet) == packet, "a packet is its own binary form")


def _status(raw: bytes) -> None:
    found = signer(raw, 0, {_FINGERPRINT})
    law(b"GOODSIG" in raw and b"VALIDSIG" in raw and _FINGERPRINT.encode() in raw, "gpgv said it of this key")
    law(
        not any(bad in raw for bad in (b"] BADSIG ", b"] EXPKEYSIG ", b"] REVKEYSIG ")),
        "nothing speaks against it",
    )
    law(found.claims.serial is None or found.claims.serial >= 0, "a serial is a number")


def _file(raw: bytes) -> None:
    try:
        accepted, snapshot = from_file(raw)
    except ValueError:
        return
    law(from_file(to_file(accepted, snapshot)) == (accepted, snapshot), "it is written as it was read")


def _public(raw: bytes) -> None:
    key = parse_public_key(raw.decode("utf-8", "replace"))
    law(parse_public_key(key.encoded()) == key, "a key is written as it was read")


def _secret(raw: bytes) -> None:
    pair = read_secret_file(raw)
    law(read_secret_file(pair.secret_file()) == pair, "a key is written as it was read")


def _keys(raw: bytes) -> None:
    data = public_keys(raw)
    law(public_keys(data) == data, "keys are their own binary form")


_PARSERS = (_verified, _claims, _packet, _status, _file, _public, _secret, _keys)


def check(data: bytes) -> None:
    if not data:
        return
    try:
        _PARSERS[data[0] % len(_PARSERS)](data[1:])
    except (FeedTrustError, ConfigError) as e:
        harmless(str(e), "the error")
        law(len(str(e)) < 1000, "an error is a sentence")


def seeds() -> dict[str, bytes]:
    packet = b"\x88\x15\x04\x00\x16\x08\x00\x06\x05\x02" + bytes(13)
    armour = b"-----BEGIN PGP %s-----\n\n%s\n-----END PGP %s-----\n"
    key = b"\x98\x04\x04\x00\x00\x00"
    told = to_file(Accepted("minisign", "AB", 5, 7, "cd" * 64, "ef" * 32), "snapshot-00000001")
    return {
        "minisig": b"\0" + _signature(),
        "comment": b"\1timestamp:1769860800\tfile:list.json\thashed",
        "own": b"\1" + comment("police", 7, _NOW).encode(),
        "packet": b"\2" + packet,
        "armoured": b"\2" + armour % (b"SIGNATURE", base64.b64encode(packet), b"SIGNATURE"),
        "endless": b"\2\xc2\xff\xff\xff\xff\xff\x04",
        "status": b"\3" + _STATUS,
        "trust": b"\4" + told,
        "forgotten": b"\4" + to_file(None, ""),
        "public": b"\5" + _KEY.public_file(),
        "secret": b"\6" + _KEY.secret_file(),
        "keys": b"\7" + armour % (b"PUBLIC KEY BLOCK", base64.b64encode(key), b"PUBLIC KEY BLOCK"),
    }


_WORDS = (
    b"serial:",
    b"time:",
    b"timestamp:",
    b"feed:police",
    b"[GNUPG:] ",
    b"BADSIG ",
    b"\r\n",
    b"\t",
    b"RW",
    b"ED",
)
TARGET = Target(check, seeds, _WORDS)
