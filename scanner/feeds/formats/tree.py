"""The pages of a published tree: every file is held against the notification, which comes first.

So whoever has verified the notification has verified all of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import chain, pairwise
from typing import BinaryIO

from scanner.feeds.checks import pass_over
from scanner.feeds.formats.base import FormatOptions
from scanner.feeds.tree.lines import MAX_LINE, entry_of, key_of
from scanner.feeds.tree.notification import NAME, Notification, TreeFile, parse_notification
from scanner.feeds.tree.packing import check, split, unpack
from scanner.model.errors import FeedFormatError, FeedRefusedError
from scanner.model.feeds import ImportCounts, Item, Removal


class TreeFormat:
    """Lines of entries with their signs, in files that a notification names."""

    @property
    def name(self) -> str:
        return "tree"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return None

    def proposes(self, head: bytes) -> str | None:
        return None

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Item]:
        raise FeedRefusedError(
            "a published tree is not one file", remedy="Give the tree's address and exchange: tree"
        )

    def parse_pages(
        self, pages: Iterator[bytes], options: FormatOptions, counts: ImportCounts
    ) -> Iterator[Item]:
        """The entries of the snapshot, or the changes of the deltas, whichever the pages are.

        Raises:
            FeedError: a page is not a file that the notification names, or one of them is missing.
        """
        told = parse_notification(next(pages, b""))
        next(pages, None)  # the signature: whoever asks for one has seen to it
        for file, packed in _in_order(told, pages):
            check(packed, file.sha256, file.bytes)
            where = file.path.rsplit("/", 1)[-1]
            yield from _items(split(unpack(packed, where)), file.serial or told.serial, where, counts)


def _in_order(told: Notification, pages: Iterator[bytes]) -> Iterator[tuple[TreeFile, bytes]]:
    """Each page with the file it has to be: all of the snapshot, or the last deltas without a gap."""
    first = next(pages, b"")
    digest = hashlib.sha256(first).hexdigest()
    steps = [n for n, delta in enumerate(told.deltas) if delta.sha256 == digest]
    files = told.deltas[steps[0] :] if steps else told.snapshot
    got = 0
    for file, page in zip(files, chain((first,), pages), strict=False):
        yield file, page
        got += 1
    if got != len(files) or next(pages, None) is not None:
        raise FeedFormatError(
            f"{got} of {len(files)} files of the tree came", where=NAME, remedy="Fetch the list again"
        )


def _items(signed: Iterator[bytes], serial: int, where: str, counts: ImportCounts) -> Iterator[Item]:
    """A removal that is followed by the same record anew is a change of it, and no removal."""
    for number, (line, following) in enumerate(pairwise(chain(signed, (b"",))), 1):
        try:
            if len(line) > MAX_LINE or line[:1] not in (b"+", b"-"):
                raise FeedFormatError("expected a line with a sign before it")
            key = key_of(line[1:])
            if line[:1] == b"-":
                if not following.startswith(b"+" + key):
                    counts.removals += 1
                    yield Removal(key.decode("ascii"), serial)
                continue
            entry = entry_of(line[1:], serial, counts)
        except FeedFormatError as e:
            pass_over(FeedFormatError(e.what, where=f"{where}, line {number}"), counts)
            continue
        # A record none of whose hashes can be used takes away what it was before.
        yield Removal(key.decode("ascii"), serial) if entry is None else entry
