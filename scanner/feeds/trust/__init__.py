"""Whether a list is believed: signatures, and what they have to say. Pure functions: files and programs are
in `scanner.feeds.published` and `scanner.pipeline`."""

from scanner.feeds.trust.deciding import (
    MAX_LEGACY,
    MINISIGN,
    OPENPGP,
    Published,
    needs_content,
    verify,
    verify_openpgp,
)
from scanner.feeds.trust.minisign import PublicKey, Signature, parse_public_key, parse_signature, pinned
from scanner.feeds.trust.rules import Accepted, Claims, TrustTerms, claims_of, forgiven, judge, still_fresh

__all__ = [
    "MAX_LEGACY",
    "MINISIGN",
    "OPENPGP",
    "Accepted",
    "Claims",
    "PublicKey",
    "Published",
    "Signature",
    "TrustTerms",
    "claims_of",
    "forgiven",
    "judge",
    "needs_content",
    "parse_public_key",
    "parse_signature",
    "pinned",
    "still_fresh",
    "verify",
    "verify_openpgp",
]
