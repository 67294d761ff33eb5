"""Whether a list is believed: bytes in, what was accepted or a typed error out. No file, clock or network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from scanner.feeds.trust.errors import (
    CommentTamperedError,
    SignatureMissingError,
    WeakSignatureError,
    WrongKeyError,
    other_bytes,
)
from scanner.feeds.trust.minisign import PublicKey, parse_signature
from scanner.feeds.trust.openpgp import signer
from scanner.feeds.trust.rules import Accepted, TrustTerms, claims_of, forgiven, judge

MAX_LEGACY = 64 << 20  # bytes of a list that is signed as a whole, and so has to be in memory as a whole
MINISIGN, OPENPGP = "minisign", "openpgp"


@dataclass(frozen=True, slots=True)
class Published:
    """A list as it was published, before anything is read of it.

    Attributes:
        digest: BLAKE2b-512 of its exact bytes, 64 bytes.
        content: those bytes, where there are no more than `MAX_LEGACY`; None else, or where they are not at
            hand.
    """

    digest: bytes
    content: bytes | None = None


def verify(
    published: Published,
    signature: bytes,
    keys: Mapping[bytes, PublicKey],
    last: Accepted | None,
    now_ns: int,
    terms: TrustTerms,
) -> Accepted:
    """Verify a list by minisign's signature.

    1. The signature has its exact form (`parse_signature`).
    2. It names a pinned key. The id is only a name: what counts is that the key verifies.
    3. That key signed these bytes.
    4. That key signed the trusted comment together with the signature of 3.
    5. What the comment says is believed (`judge`).

    Args:
        signature: the .minisig file, b"" where there is none.
        keys: the pinned ones by id, see `minisign.pinned`.
        last: what was accepted last of this feed, None at the first list.

    Raises:
        FeedTrustError: it is not believed.
    """
    if not signature:
        raise SignatureMissingError(
            "there is no signature for the list",
            remedy="Ask the publisher, or correct the feed's signature.url",
        )
    found = parse_signature(signature)
    key = keys.get(found.key_id)
    if key is None:
        raise WrongKeyError(
            f"the list is signed with the key {found.key_name}, which is not among the feed's signature.keys",
            remedy="Ask the publisher, by another way than the list's, whether that is its new key",
        )
    signed = published.digest if found.prehashed else _whole(published)
    if not _signed(key, found.signature, signed):
        raise other_bytes()
    if not _signed(key, found.global_signature, found.signature + found.comment):
        raise CommentTamperedError(
            "the signature's trusted comment was changed", remedy="Tell the publisher: somebody has tried it"
        )
    claims = claims_of(found.comment)
    digest = published.digest.hex()
    judge(claims, key.name, digest, forgiven(last, frozenset(k.name for k in keys.values())), now_ns, terms)
    return Accepted(
        MINISIGN, key.name, claims.signed_ns, claims.serial, digest, hashlib.sha256(signature).hexdigest()
    )


def verify_openpgp(
    published: Published,
    signature: bytes,
    status: bytes,
    code: int,
    fingerprints: frozenset[str],
    last: Accepted | None,
    now_ns: int,
    terms: TrustTerms,
) -> Accepted:
    """Decide by what gpgv says about a list and its signature; else as `verify`.

    Args:
        signature: the file as it came; what gpgv got of it is `openpgp.signature_packet`.
        status, code: what gpgv wrote to its status descriptor, and what it ended with.

    Raises:
        FeedTrustError: it is not believed.
    """
    found = signer(status, code, fingerprints)
    digest = published.digest.hex()
    # A key may be pinned by a subkey; it is remembered by its primary one, which it proved to belong to.
    judge(found.claims, found.key, digest, forgiven(last, fingerprints | {found.key}), now_ns, terms)
    made = hashlib.sha256(signature).hexdigest()
    return Accepted(OPENPGP, found.key, found.claims.signed_ns, found.claims.serial, digest, made)


def needs_content(signature: bytes) -> bool:
    """Whether minisign's signature can't be verified by the digest of the list alone.

    Raises:
        SignatureFormError: it is none.
    """
    return bool(signature) and not parse_signature(signature).prehashed


def _whole(published: Published) -> bytes:
    if published.content is None:
        raise WeakSignatureError(
            f"the signature is of the old form, over the list itself, which may have {MAX_LEGACY} bytes then",
            remedy="Ask the publisher to sign without -l, or with -H where its minisign is old",
        )
    return published.content


def _signed(key: PublicKey, signature: bytes, message: bytes) -> bool:
    # Imported where it is needed: it loads OpenSSL, which no other command does.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key.raw).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
