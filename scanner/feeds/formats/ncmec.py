"""The pages of NCMEC's hash-sharing API, version 2: XML with images, videos and their tombstones.

Shape (as the public reference client reads it, python-threatexchange `clients/ncmec`): `queryResult` holds
`images` and `videos`; in them `image`, `video`, `deletedImage`, `deletedVideo`, each with `member`, `id` and
`timestamp`. A record is told from others by its member and its id: many members list one file, and each takes
back its own listing only. Records come in no order; the newest of one member and id counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from scanner.feeds.checks import MAX_TEXT, category_text, count, kind_name, pass_over
from scanner.feeds.choices import chosen, numbers, one_of, yes_no
from scanner.feeds.formats.base import FormatOptions
from scanner.feeds.formats.sharing import entry_or_removal, labels_of, left_out, removal, value_of
from scanner.feeds.times import iso_ns
from scanner.feeds.xml_reading import Node, nodes
from scanner.model.errors import FeedFormatError
from scanner.model.feeds import LISTED, About, ImportCounts, Item

OPTIONS = {"members": numbers, "refuse_disputed": yes_no, "unclassified": one_of("keep", "act")}
SECTIONS = ("images", "videos")
ROOT = "queryResult"

# The industry's classification: A prepubescent, B pubescent minor; 1 a sex act, 2 lascivious exhibition.
_CATEGORIES = frozenset({"A1", "A2", "B1", "B2"})
_MAX_ID = 256  # characters


@dataclass(frozen=True, slots=True)
class _Policy:
    """What the operator chose.

    Attributes:
        members: ids of those whose entries are wanted; None: all.
        refuse_disputed: entries that a member disputes are left out.
        unclassified: the category of entries without a classification.
    """

    members: frozenset[str] | None
    refuse_disputed: bool
    unclassified: str


class NcmecFormat:
    """NCMEC's hash sharing; the four classifications act by default."""

    @property
    def name(self) -> str:
        return "ncmec"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return _CATEGORIES | {LISTED}

    def proposes(self, head: bytes) -> str | None:
        text = head.lstrip()
        if text.startswith(b"<") and b"queryResult" in text:
            return "it is XML with a `queryResult`"
        return None

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Item]:
        policy = _policy(options)
        for node in nodes(stream, ROOT, SECTIONS):
            try:
                item = _item(node, policy, counts)
            except FeedFormatError as e:
                pass_over(e, counts)
                continue
            if item is not None:
                yield item


def _policy(options: FormatOptions) -> _Policy:
    told = options.options
    return _Policy(
        chosen(told, OPTIONS, "members", "") if "members" in told else None,
        chosen(told, OPTIONS, "refuse_disputed", "no"),
        LISTED if chosen(told, OPTIONS, "unclassified", "keep") == "act" else "",
    )


def _item(node: Node, policy: _Policy, counts: ImportCounts) -> Item | None:
    """What a record says; None where it is none of ours."""
    where = f"line {node.line}"
    what = node.name.lower()
    deleted = what.startswith("deleted")
    if what.removeprefix("deleted") not in ("image", "video"):
        count(counts.unsupported, "other")
        return None
    member, key = _identity(node, where)
    changed_ns = iso_ns(node.text_of("timestamp"), where)
    if policy.members is not None and member not in policy.members:
        count(counts.refused, "other_member")
        return None
    if deleted:
        return removal(key, changed_ns, counts)
    disputed = _is_disputed(node)
    if disputed and policy.refuse_disputed:
        return left_out("disputed", key, changed_ns, counts)
    labels = labels_of([what, "disputed" if disputed else ""])
    name = (node.child("member") or node).text.strip()
    category = category_text(node.text_of("classification")[:MAX_TEXT]).upper() or policy.unclassified
    return entry_or_removal(
        _hashes(node, where, counts),
        node.text_of("id"),
        category,
        counts,
        key=key,
        changed_ns=changed_ns,
        about=About(labels=labels, source=name[:MAX_TEXT]),
    )


def _identity(node: Node, where: str) -> tuple[str, str]:
    """The member, and what tells the record from all others."""
    holder = node.child("member")
    member = holder.attributes.get("id", "").strip() if holder is not None else ""
    id = node.text_of("id")
    if not (member.isascii() and member.isdigit() and len(member) <= _MAX_ID):
        raise FeedFormatError("expected a member with a number as its id", where=where)
    if not 0 < len(id) <= _MAX_ID:
        raise FeedFormatError(f"expected an id of 1 to {_MAX_ID} characters", where=where)
    return member, f"{member}/{id}"


def _is_disputed(node: Node) -> bool:
    """Whether some member says that it should not be listed; an empty element says nothing."""
    feedback = node.child("feedback")
    if feedback is None:
        return False
    return any(child.name == "negativeFeedback" and child.children for child in feedback.children)


def _hashes(node: Node, where: str, counts: ImportCounts) -> list[tuple[str, bytes]]:
    holder = node.child("fingerprints")
    if holder is None or not holder.children:
        raise FeedFormatError("an entry without any fingerprint", where=where)
    found: list[tuple[str, bytes]] = []
    for fingerprint in holder.children:
        text = fingerprint.text.strip()
        if not text:
            # Large ones stand elsewhere, under an address: nothing here, and never the hash of nothing.
            count(counts.unsupported, "linked" if "href" in fingerprint.attributes else "empty")
            continue
        pair = value_of(kind_name(fingerprint.name), text, where, counts)
        if pair is not None and pair not in found:
            found.append(pair)
    return found
