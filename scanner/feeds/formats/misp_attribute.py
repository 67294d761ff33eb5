"""One attribute of MISP: whether it is a hash of a file, and which."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from scanner.feeds.checks import (
    MAX_TEXT,
    admit,
    category_text,
    count,
    digest,
    kind_name,
    shown,
    unsupported_name,
)
from scanner.feeds.times import SECOND
from scanner.model.errors import FeedFormatError, FeedRefusedError
from scanner.model.feeds import LISTED, About, ImportCounts, Item, Removal
from scanner.model.hashes import EXACT_KINDS

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

SAMPLE = "malware-sample"  # name|md5; the sample itself travels as `data`
NAMED = "filename|"
# Types whose value is the digest of a whole file (describeTypes of MISP).
DIGESTS = frozenset(
    {"md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha512/224", "sha512/256"}
    | {"sha3-224", "sha3-256", "sha3-384", "sha3-512"}
)
# Types that look alike and are none: digests of a part of a file, of a certificate or a handshake, or fuzzy.
_NEVER = frozenset(
    {"imphash", "pehash", "authentihash", "impfuzzy", "vhash", "cdhash", "telfhash", "ssdeep", "tlsh"}
    | {"dom-hash", "favicon-mmh3", "ja3-fingerprint-md5", "hassh-md5", "hasshserver-md5"}
    | {"x509-fingerprint-md5", "x509-fingerprint-sha1", "x509-fingerprint-sha256"}
)
_FLAGS: Mapping[Any, bool] = {True: True, False: False, "1": True, "0": False, "true": True, "false": False}
_MAX_SECONDS = 1 << 40  # a time in seconds that can be right, and not in milliseconds
_MAX_LABELS = 32
_SHOWN_LABEL = 200  # characters


@dataclass(frozen=True, slots=True)
class Attribute:
    """What is kept of one until its event has come to its end.

    Attributes:
        hash: the kind and its value; None where there is nothing to match.
        withdrawn: it is deleted, or not meant for detection: what it said before is not said any more.
        category: as the operator's `columns:` take it from the attribute, None where they don't.
    """

    uuid: str
    hash: tuple[str, bytes] | None
    withdrawn: bool
    changed_ns: int
    category: str | None
    labels: tuple[str, ...]

    def taken_back(self) -> Attribute:
        """The same where the object around it is deleted."""
        return replace(self, withdrawn=True)

    def item(self, event: Event, counts: ImportCounts) -> Item:
        """What it says as a part of an event."""
        key = f"{event.uuid}/{self.uuid}" if event.uuid else self.uuid
        changed = self.changed_ns or event.changed_ns
        if self.hash is None or self.withdrawn:
            return Removal(key, changed)
        about = About(
            severity=event.threat_level,
            labels=(*self.labels, *event.tags)[:_MAX_LABELS],
            source=f"event {event.uuid}" if event.uuid else "",
        )
        category = event.category if self.category is None else self.category
        entry = admit((self.hash,), self.uuid, category, counts, key=key, changed_ns=changed, about=about)
        return entry or Removal(key, changed)


@dataclass(frozen=True, slots=True)
class Event:
    """What its attributes need of an event; all of it empty for attributes that came without one.

    Attributes:
        category: of attributes that have none of their own.
    """

    uuid: str = ""
    changed_ns: int = 0
    threat_level: str = ""
    tags: tuple[str, ...] = ()
    category: str = LISTED

    @classmethod
    def of(cls, record: Mapping[str, Any], tags: list[str], member: str | None) -> Event:
        """An event of its members.

        Raises:
            FeedFormatError: it has no UUID, or members that can't be.
        """
        level = text_of(record.get("threat_level_id"))
        category = {None: LISTED, "threat_level_id": level, "Tag": ",".join(tags)}.get(member, "")
        return cls(
            uuid_of(record, "an event"), time_of(record), level, labels_of(tags), category_text(category)
        )


def attribute_of(
    record: Mapping[str, Any], tags: list[str], member: str | None, counts: ImportCounts
) -> Attribute | None:
    """An attribute of its members; None where it is about no hash of a file, which is counted.

    Args:
        tags: names of its own tags.
        member: which member of it is the category; None: the operator names none.

    Raises:
        FeedFormatError: it is not as MISP says; without `where`.
    """
    kind, has_name = _digest_kind(record, counts)
    if not kind:
        return None
    own, changed = uuid_of(record, "an attribute"), time_of(record)
    deleted = flag(record, "deleted")
    withdrawn = deleted or not flag(record, "to_ids")
    category = None
    if member == "Tag":
        category = category_text(",".join(tags)) if tags else None
    elif member not in (None, "threat_level_id"):
        category = category_text(text_of(record.get(member)))
    labels = labels_of([text_of(record.get("category")), *tags])
    if deleted:
        counts.removals += 1
    elif withdrawn:
        count(counts.unsupported, "not_for_detection")
    pair = None if withdrawn else _hash(record, kind, has_name, counts)
    return Attribute(own, pair, withdrawn, changed, category, labels)


def mapped_category(columns: Mapping[str, str], members: Collection[str]) -> str | None:
    """Which of `members` is the category; None where the operator names none.

    Raises:
        FeedRefusedError: it is none of them: then nothing on the list would act, without a word.
    """
    wanted = next((theirs for theirs, ours in columns.items() if ours == "category"), None)
    if wanted is not None and wanted not in members:
        raise FeedRefusedError(
            f"'{shown(wanted)}' can't be the category: the list has {', '.join(sorted(map(shown, members)))}",
            where="columns",
        )
    return wanted


def _digest_kind(record: Mapping[str, Any], counts: ImportCounts) -> tuple[str, bool]:
    """The type of digest, and whether a file's name stands before it; "" where it is no digest of a file."""
    type_of = record.get("type")
    if not isinstance(type_of, str):
        raise FeedFormatError("expected text as `type`")
    if type_of == SAMPLE:
        return "md5", True
    bare = type_of.removeprefix(NAMED)
    if bare in DIGESTS:
        return bare, bare != type_of
    if flag(record, "to_ids") and not flag(record, "deleted"):
        count(counts.unsupported, bare if bare in _NEVER else "not_a_file_hash")
    return "", False


def _hash(
    record: Mapping[str, Any], kind: str, has_name: bool, counts: ImportCounts
) -> tuple[str, bytes] | None:
    value = record.get("value")
    if not isinstance(value, str):
        raise FeedFormatError("expected text as `value`")
    if has_name:  # a name may hold | as well
        value = value.rpartition("|")[2]
    kind = kind_name(kind) if "/" not in kind else kind
    if kind not in EXACT_KINDS:
        count(counts.unsupported, unsupported_name(kind))
        return None
    return kind, digest(kind, value.strip(), "")


def uuid_of(record: Mapping[str, Any], what: str) -> str:
    value = record.get("uuid")
    if not isinstance(value, str) or not UUID.fullmatch(value):
        raise FeedFormatError(f"expected the UUID of {what}")
    return value.lower()


def flag(record: Mapping[str, Any], member: str) -> bool:
    """A member that is true or false, however it is written; absent is false."""
    value = record.get(member)
    if value is None or value == "":
        return False
    plain = value.casefold() if isinstance(value, str) else value
    found = None if isinstance(plain, list) else _FLAGS.get(plain)
    if found is None:
        raise FeedFormatError(f"expected true or false as `{member}`")
    return found


def time_of(record: Mapping[str, Any]) -> int:
    """The member `timestamp`, seconds as a number or as text, in nanoseconds; 0 where it is absent."""
    value = record.get("timestamp")
    if value is None or value == "":
        return 0
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 14:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MAX_SECONDS:
        raise FeedFormatError("expected seconds since 1970 as `timestamp`")
    return value * SECOND


def text_of(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None or isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    text = str(value)
    if len(text) > MAX_TEXT:
        raise FeedFormatError(f"a text of {len(text)} characters, at most {MAX_TEXT} can be right")
    return text


def labels_of(words: list[str]) -> tuple[str, ...]:
    return tuple(word[:_SHOWN_LABEL] for word in words[:_MAX_LABELS] if word)
