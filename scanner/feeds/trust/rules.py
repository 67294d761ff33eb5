"""What a publisher has to say about a list that it signs, and when that is believed.

A signature by itself says that the publisher once made these bytes. It must also say of which feed they are
(else another list of the same publisher could be put in their place), and where they stand in time (else an
old list could be brought back, or the newest held back).

The trusted comment of a signature is words with tabs between them or, where it has no tab, blanks. Those of
the form `name:value` with these names count, each at most once; all others are passed over:

    feed:NAME       whose list it is
    file:NAME       the name of the signed file, as minisign writes it by itself
    serial:N        a number that grows with each list
    time:RFC3339    when it was signed, in UTC, such as 2026-01-31T12:00:00Z
    timestamp:UNIX  the same in seconds since 1970, as minisign writes it by itself

`hostsweep feed:nl-police serial:42 time:2026-01-31T12:00:00Z` is what we write ourselves;
`timestamp:1769860800<tab>file:list.json<tab>hashed` is what plain `minisign -S` writes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from scanner.feeds.trust.errors import (
    EquivocationError,
    FastForwardError,
    FrozenError,
    FutureError,
    RollbackError,
    SignatureFormError,
    SubstitutionError,
)
from scanner.model.names import display

TOLERANCE_NS = 15 * 60 * 10**9  # how far a publisher's clock may be ahead of ours
MAX_SERIAL = 1 << 62
# A serial that is a time in nanoseconds grows by 2^55 in a year; more at once leaves too few for later.
MAX_LEAP = 1 << 56
_NAMES = frozenset({"feed", "file", "serial", "time", "timestamp"})
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_SHOWN = 100  # characters of a publisher's word in an error


@dataclass(frozen=True, slots=True)
class Claims:
    """What is said of a list under its signature.

    Attributes:
        signed_ns: when, UTC, nanoseconds since 1970.
        serial: None where it has none.
        feed, file: "" where it is not said.
    """

    signed_ns: int
    serial: int | None = None
    feed: str = ""
    file: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A list that was believed, as it is remembered.

    Attributes:
        kind: minisign or openpgp.
        key: the id of the key, or the fingerprint, in hexadecimal.
        signed_ns, serial: as in `Claims`.
        digest: BLAKE2b-512 of the exact bytes of the list, in hexadecimal.
        signature: SHA-256 of the signature's exact bytes, in hexadecimal.
    """

    kind: str
    key: str
    signed_ns: int
    serial: int | None
    digest: str
    signature: str


@dataclass(frozen=True, slots=True)
class TrustTerms:
    """What the operator wants of a feed's signatures.

    Attributes:
        feed: what `feed:` must say.
        file: what `file:` must say; "" where the list has no name of its own, so that this says nothing.
        max_age_ns: how long ago it may have been signed.
        require_serial: a list without a serial is refused.
        require_name: one that says neither its feed nor its file is refused.
    """

    feed: str
    file: str
    max_age_ns: int
    require_serial: bool = False
    require_name: bool = True


def claims_of(comment: bytes) -> Claims:
    """Read a trusted comment, which must be verified already.

    Raises:
        SignatureFormError: it says something twice, or no time.
    """
    try:
        text = comment.decode("utf-8")
    except UnicodeDecodeError:
        raise _malformed("its comment is not in UTF-8") from None
    said: dict[str, str] = {}
    for word in text.split("\t" if "\t" in text else " "):
        name, colon, value = word.partition(":")
        if colon and name in _NAMES:
            if name in said:
                raise _malformed(f"its comment says {name}: twice")
            said[name] = value
    return claims(said)


def claims(said: dict[str, str]) -> Claims:
    """The claims of words by name.

    Raises:
        SignatureFormError: a value is not of its form, or there is no time.
    """
    times = {_time(name, said[name]) for name in ("time", "timestamp") if name in said}
    if len(times) != 1:
        raise _malformed("expected one time in its comment, as time: or timestamp:")
    return Claims(times.pop(), _serial(said.get("serial")), said.get("feed", ""), said.get("file", ""))


def judge(
    claims: Claims, key: str, digest: str, last: Accepted | None, now_ns: int, terms: TrustTerms
) -> None:
    """Decide whether a list whose signature is valid is believed.

    1. It must be this feed's: by its own word, under the signature.
    2. It must have a serial, where the operator wants one or the last list had one.
    3. Its time must have come, and must not be too long ago.
    4. It must not be older than the last that was accepted: by serial where both have one, by time else.
       Where it is just as old, it must be the same list.
    5. Its serial must leave room for those to come.

    The signature itself, and the exact bytes, are the caller's duty.

    Args:
        last: the list that was last accepted; its serial counts only if `key` was pinned then as well as now,
            see `forgiven`.

    Raises:
        FeedTrustError: it is not believed; the class says of which threat it would be.
    """
    _is_this_feed(claims, terms)
    if claims.serial is None and (terms.require_serial or (last is not None and last.serial is not None)):
        raise RollbackError(
            "the signature says no serial, and one is wanted",
            remedy="Ask the publisher: a list without a serial could be an old one",
        )
    _is_in_time(claims.signed_ns, now_ns, terms)
    if last is not None:
        _is_no_older(claims, digest, last)
    _leaves_room(claims.serial, None if last is None else last.serial)


def still_fresh(last: Accepted, now_ns: int, terms: TrustTerms) -> None:
    """Whether the list in use may still be believed to be the newest; a server that says for ever that
    nothing has changed is found out here.

    Raises:
        FrozenError: it was signed too long ago.
    """
    _is_in_time(last.signed_ns, now_ns, terms)


def forgiven(last: Accepted | None, pinned: frozenset[str]) -> Accepted | None:
    """What the last list holds against the next. The serial of a key that is no longer pinned counts no more:
    whoever stole that key could else have closed the feed for good, with the highest serial there is. Its
    time counts on, since it can't lie in the future.

    Args:
        pinned: names of the keys that are pinned now.
    """
    if last is None or last.key in pinned:
        return last
    return replace(last, serial=None)


_RESET = "If it is right, `hostsweep feed reset-trust NAME` forgets what was accepted before"


def _is_this_feed(claims: Claims, terms: TrustTerms) -> None:
    for name, said, wanted in (("feed", claims.feed, terms.feed), ("file", claims.file, terms.file)):
        if said and wanted and said != wanted:
            raise SubstitutionError(
                f"the list is signed as {name} '{_shown(said)}', expected '{_shown(wanted)}'",
                remedy=f"If that is right, write it as the feed's signature.{name}",
            )
    if terms.require_name and not claims.feed and not (claims.file and terms.file):
        raise SubstitutionError(
            "the signature does not say of which list it is",
            remedy="Ask the publisher for feed: or file: in it, or, where the key signs nothing else, set "
            "the feed's signature.require_name to false",
        )


def _is_in_time(signed_ns: int, now_ns: int, terms: TrustTerms) -> None:
    if signed_ns > now_ns + TOLERANCE_NS:
        raise FutureError(
            f"the list was signed at {iso(signed_ns)}, which has not come yet",
            remedy="Check this machine's clock; else ask the publisher",
        )
    if now_ns - signed_ns > terms.max_age_ns:
        raise FrozenError(
            f"it was signed at {iso(signed_ns)}, longer ago than signature.max_age permits",
            remedy="A newer one may be held back from you: ask the publisher. If it signs that seldom, "
            "raise signature.max_age",
        )


def _is_no_older(claims: Claims, digest: str, last: Accepted) -> None:
    if claims.serial is not None and last.serial is not None:
        word, new, old = "serial", claims.serial, last.serial
    else:
        word, new, old = "time", claims.signed_ns, last.signed_ns
    if new < old:
        raise RollbackError(
            f"its {word} is lower than that of the list which was accepted last",
            remedy=f"An old list was put in place of the new one: ask the publisher. {_RESET}",
        )
    if new == old and digest != last.digest:
        raise EquivocationError(
            f"it has the same {word} as the list which was accepted last, and is another one",
            remedy=f"Ask the publisher which is right. {_RESET}",
        )


def _leaves_room(serial: int | None, last: int | None) -> None:
    if serial is not None and serial > (MAX_SERIAL // 2 if last is None else last + MAX_LEAP):
        raise FastForwardError(
            "its serial leaps so far that no later list could follow",
            remedy=f"Ask the publisher. {_RESET}",
        )


def _time(name: str, value: str) -> int:
    try:
        if name == "timestamp" and _NUMBER.fullmatch(value):
            return int(datetime.fromtimestamp(int(value), UTC).timestamp()) * 10**9
        if name == "time" and _TIME.fullmatch(value):
            return int(datetime.fromisoformat(value).timestamp()) * 10**9
    except (ValueError, OverflowError, OSError):
        pass
    raise _malformed(f"its {name}: is no time, such as time:2026-01-31T12:00:00Z or timestamp:1769860800")


def _serial(value: str | None) -> int | None:
    if value is None:
        return None
    if not _NUMBER.fullmatch(value) or int(value) > MAX_SERIAL:
        raise _malformed("its serial: is no number up to 2^62")
    return int(value)


def iso(ns: int) -> str:
    """RFC 3339 in UTC, whole seconds."""
    return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shown(word: str) -> str:
    return display(word[:_SHOWN])


def _malformed(how: str) -> SignatureFormError:
    return SignatureFormError(
        f"the signature can't be used: {how}", remedy="The last good list stays in use; ask the publisher"
    )
