"""The pages of StopNCII's hash API, version 1: JSON with `hashRecords`.

Shape (as the public reference client declares it, python-threatexchange `clients/stopncii`). A record
replaces the earlier one of its type and value. That a case was withdrawn stands in `hashStatus`; the
reference's adapter looks for it in `hashValue` and so never takes one away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from scanner.feeds.checks import pass_over
from scanner.feeds.choices import chosen, words, yes_no
from scanner.feeds.formats.base import FormatOptions
from scanner.feeds.formats.json_records import objects_of, records, text_of
from scanner.feeds.formats.sharing import (
    entry_or_removal,
    key_of_value,
    labels_of,
    left_out,
    removal,
    value_of,
)
from scanner.feeds.times import unix_ns
from scanner.model.errors import FeedFormatError
from scanner.model.feeds import LISTED, About, ImportCounts, Item

OPTIONS = {"statuses": words, "refuse_disputed": yes_no}

_KINDS = {"ImagePDQ": "pdq", "VideoMD5": "md5", "VideoTMK": "tmk"}  # the rest are texts and addresses
_GONE = frozenset({"Withdrawn", "Deleted"})
_STATUSES = "Active,Received"  # Received is a new case; Unknown is not acted on
_NOT_IT = "NotBlocked"


@dataclass(frozen=True, slots=True)
class _Policy:
    statuses: frozenset[str]
    refuse_disputed: bool


class StopNciiFormat:
    """Hashes that people asked platforms to look for; nobody verified them. Report a match, no more."""

    @property
    def name(self) -> str:
        return "stopncii"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return None

    def proposes(self, head: bytes) -> str | None:
        text = head.lstrip()
        if text.startswith((b"{", b"[")) and (b'"hashRecords"' in text or b'"hashStatus"' in text):
            return "it is JSON with StopNCII's hash records"
        return None

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Item]:
        told = options.options
        policy = _Policy(
            chosen(told, OPTIONS, "statuses", _STATUSES), chosen(told, OPTIONS, "refuse_disputed", "no")
        )
        for where, record in records(stream, "hashRecords"):
            try:
                yield _item(record, where, policy, counts)
            except FeedFormatError as e:
                pass_over(e, counts)


def _item(record: dict[str, Any], where: str, policy: _Policy, counts: ImportCounts) -> Item:
    changed_ns = unix_ns(record.get("lastModtimestamp"), where)
    type, value = text_of(record, "signalType", where), _value(record, where)
    status = text_of(record, "hashStatus", where)
    key = key_of_value(type, value)
    if status in _GONE:
        return removal(key, changed_ns, counts)
    if status not in policy.statuses:
        return left_out("status", key, changed_ns, counts)
    feedback = objects_of(record.get("CSPFeedbacks"))
    disputed = any(f.get("feedbackValue") == _NOT_IT for f in feedback)
    if disputed and policy.refuse_disputed:
        return left_out("disputed", key, changed_ns, counts)
    pair = value_of(_KINDS.get(type, "other"), value, where, counts)
    about = About(labels=labels_of([*_tags(feedback), "disputed" if disputed else ""]))
    return entry_or_removal(
        [pair] if pair else [], "", LISTED, counts, key=key, changed_ns=changed_ns, about=about
    )


def _value(record: dict[str, Any], where: str) -> str:
    value = record.get("hashValue")
    if not isinstance(value, str) or not value.strip():
        raise FeedFormatError("`hashValue`: expected text", where=where)
    return value.strip()


def _tags(feedback: list[dict[str, Any]]) -> Iterator[str]:
    for told in feedback:
        tags = told.get("tags")
        if isinstance(tags, list):
            yield from (tag for tag in tags if isinstance(tag, str))
