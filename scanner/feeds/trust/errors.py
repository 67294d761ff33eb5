"""Why a signed list is not believed: one error for each threat, with a short name for metrics."""

from __future__ import annotations

from collections.abc import Mapping

from scanner.model.errors import FeedTrustError


class SignatureMissingError(FeedTrustError):
    """There is no signature beside the list."""

    reason = "missing"


class SignatureFormError(FeedTrustError):
    """The signature is not of its form: too long, cut short, with something after it, not canonical."""

    reason = "malformed"


class WrongKeyError(FeedTrustError):
    """It was made with a key that is not pinned."""

    reason = "wrong_key"


class BadSignatureError(FeedTrustError):
    """It is of other bytes than these: another list, a cut or an altered one."""

    reason = "bad_signature"


def other_bytes() -> BadSignatureError:
    """The signature does not verify."""
    return BadSignatureError(
        "the signature is of other bytes than the list",
        remedy="The list or its signature was changed or cut short on its way, or one of them was just being "
        "published; it is tried again at the next turn",
    )


class CommentTamperedError(FeedTrustError):
    """The list is signed, and what is said about it was changed."""

    reason = "comment_tampered"


class SubstitutionError(FeedTrustError):
    """It is signed, but says that it is another feed's list, or does not say whose."""

    reason = "substitution"


class RollbackError(FeedTrustError):
    """It is older than the list that was last accepted."""

    reason = "rollback"


class EquivocationError(FeedTrustError):
    """Two different lists have the same serial or time."""

    reason = "equivocation"


class FrozenError(FeedTrustError):
    """It was signed longer ago than the publisher would leave a list standing."""

    reason = "frozen"


class FutureError(FeedTrustError):
    """It was signed at a time that has not come yet."""

    reason = "future"


class FastForwardError(FeedTrustError):
    """Its serial leaps so far that no later list could follow."""

    reason = "fast_forward"


class WeakSignatureError(FeedTrustError):
    """It is valid, but made in a way that can be forged, or over something else than the exact bytes."""

    reason = "weak"


class KeyExpiredError(FeedTrustError):
    """The key, or the signature, has expired."""

    reason = "expired"


class KeyRevokedError(FeedTrustError):
    """The key was revoked by its owner."""

    reason = "revoked"


_ALL: tuple[type[FeedTrustError], ...] = (
    SignatureMissingError,
    SignatureFormError,
    WrongKeyError,
    BadSignatureError,
    CommentTamperedError,
    SubstitutionError,
    RollbackError,
    EquivocationError,
    FrozenError,
    FutureError,
    FastForwardError,
    WeakSignatureError,
    KeyExpiredError,
    KeyRevokedError,
)


def by_name() -> Mapping[str, type[FeedTrustError]]:
    """Every one of them by the name of its class."""
    return {kind.__name__: kind for kind in _ALL}
