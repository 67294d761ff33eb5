"""The pages of ThreatExchange's `threat_updates`: JSON with indicators, the opinions on each, and tombstones.

Shape (as the public reference client reads it, python-threatexchange `clients/fb_threatexchange`): `data`
is a list of indicators with `id`, `type`, `indicator`, `last_updated`, `should_delete`, and `descriptors`,
one for each owner's opinion. An indicator without descriptors is gone as well (its issue 834).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from scanner.feeds.checks import kind_name, pass_over
from scanner.feeds.choices import chosen, one_of, words
from scanner.feeds.formats.base import FormatOptions
from scanner.feeds.formats.json_records import is_true, objects_of, records, text_of
from scanner.feeds.formats.sharing import (
    entry_or_removal,
    key_of_value,
    labels_of,
    left_out,
    removal,
    value_of,
)
from scanner.feeds.times import iso_ns, unix_ns
from scanner.model.errors import FeedFormatError
from scanner.model.feeds import About, ImportCounts, Item

OPTIONS = {"statuses": words, "opinions": one_of("majority", "any", "unanimous")}

_AGAINST = "NON_MALICIOUS"
_AGREES = "HELPFUL"
_DISAGREES = "DISAGREE_WITH_TAGS"
_MAX_ID = 256  # characters


@dataclass(frozen=True, slots=True)
class _Policy:
    """Which indicators are wanted.

    Attributes:
        statuses: of an opinion that counts for one.
        opinions: how opinions against it count: more must be for it than against it, any for it is enough, or
            none may be against it.
    """

    statuses: frozenset[str]
    opinions: str


class ThreatExchangeFormat:
    """Indicators of ThreatExchange. Its statuses are the categories, and what is kept acts by default."""

    @property
    def name(self) -> str:
        return "threatexchange"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return None

    def proposes(self, head: bytes) -> str | None:
        if not head.lstrip().startswith((b"{", b"[")) or b'"indicator"' not in head:
            return None
        if b'"should_delete"' in head or b'"descriptors"' in head:
            return "it is JSON with ThreatExchange indicators"
        return None

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Item]:
        told = options.options
        policy = _Policy(
            chosen(told, OPTIONS, "statuses", "MALICIOUS"), chosen(told, OPTIONS, "opinions", "majority")
        )
        for where, record in records(stream, "data"):
            try:
                yield _item(record, where, policy, counts)
            except FeedFormatError as e:
                pass_over(e, counts)


def _item(record: dict[str, Any], where: str, policy: _Policy, counts: ImportCounts) -> Item:
    changed_ns = unix_ns(record.get("last_updated"), where)
    type, indicator = text_of(record, "type", where), _indicator(record, where)
    key = text_of(record, "id", where)
    if len(key) > _MAX_ID or not (key or (type and indicator)):
        raise FeedFormatError("expected an id", where=where)
    key = key or key_of_value(type, indicator)
    descriptors = objects_of(record.get("descriptors"))
    if is_true(record.get("should_delete")) or not descriptors:
        return removal(key, changed_ns, counts)
    statuses = [text_of(d, "status", where) for d in descriptors]
    status = next((s for s in statuses if s in policy.statuses), "")
    if not status:
        return left_out("status", key, changed_ns, counts)
    votes, against = _votes(descriptors, policy.statuses)
    if _is_outvoted(votes, against, policy):
        return left_out("disputed", key, changed_ns, counts)
    pair = value_of(_kind(type), indicator, where, counts)
    return entry_or_removal(
        [pair] if pair else [],
        key,
        status,
        counts,
        key=key,
        changed_ns=changed_ns,
        about=About(
            labels=labels_of([*_tags(descriptors), "disputed" if against else ""]),
            added_ns=_added_ns(descriptors, where),
            source=_owner(descriptors[statuses.index(status)]),
        ),
    )


def _indicator(record: dict[str, Any], where: str) -> str:
    """The value; texts and addresses among them may be long and are none of ours."""
    value = record.get("indicator")
    return value.strip() if isinstance(value, str) else ""


def _kind(type: str) -> str:
    """The hash kind of an indicator type; HASH_URL_MD5, say, is none that a file has."""
    if not type.startswith("HASH_"):
        return "other"
    return kind_name(type.removeprefix("HASH_").removeprefix("VIDEO_"))


def _votes(descriptors: list[dict[str, Any]], statuses: frozenset[str]) -> tuple[int, int]:
    """How many owners are for an indicator, and how many against it. Who has no opinion of its own may react
    to another's; of two reactions the one for it counts, as in the reference."""
    owners = {_owner(d) for d in descriptors} | {""}
    helped = _reacting(descriptors, _AGREES) - owners
    disagreeing = _reacting(descriptors, _DISAGREES) - owners - helped
    told = [d.get("status") for d in descriptors]
    return sum(s in statuses for s in told) + len(helped), told.count(_AGAINST) + len(disagreeing)


def _reacting(descriptors: list[dict[str, Any]], key: str) -> set[str]:
    found: set[str] = set()
    for descriptor in descriptors:
        for reaction in objects_of(descriptor.get("reactions")):
            value = reaction.get("value")
            if reaction.get("key") == key and isinstance(value, str):
                found.update(owner.strip() for owner in value.split(","))
    return found


def _is_outvoted(votes: int, against: int, policy: _Policy) -> bool:
    if policy.opinions == "majority":
        return votes <= against
    return policy.opinions == "unanimous" and against > 0


def _owner(descriptor: dict[str, Any]) -> str:
    owner = descriptor.get("owner")
    return str(owner.get("id", ""))[:_MAX_ID] if isinstance(owner, dict) else ""


def _tags(descriptors: list[dict[str, Any]]) -> Iterator[str]:
    """Both as the API gives them (objects with a text) and as its clients write them down (texts)."""
    for descriptor in descriptors:
        tags = descriptor.get("tags")
        if isinstance(tags, list):
            yield from (tag for tag in tags if isinstance(tag, str))
        for tag in objects_of(tags):
            if isinstance(tag.get("text"), str):
                yield tag["text"]


def _added_ns(descriptors: list[dict[str, Any]], where: str) -> int:
    """When the first opinion was given; 0 where nobody says so in a way that can be read."""
    told = []
    for descriptor in descriptors:
        added = descriptor.get("added_on")
        try:
            told.append(iso_ns(added, where) if isinstance(added, str) else unix_ns(added, where))
        except FeedFormatError:
            continue
    return min(told, default=0)
