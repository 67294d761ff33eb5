"""The seam of the hash-list formats: one module a format, third parties add theirs by entry point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from scanner.model.feeds import ImportCounts, Item


@dataclass(frozen=True, slots=True)
class FormatOptions:
    """What the operator says of how a list is written. A format ignores what does not concern it.

    Attributes:
        columns: the list's own header names, to the field each one is.
        delimiter: of columns; None: found out.
        encoding: of the text, a codec's name; None: UTF-8, or UTF-16 where a byte order mark says so.
        hash: hash kind of values whose length does not tell it (64 digits: sha256 or pdq).
        now_ns: when the list is read, UTC, nanoseconds since 1970; 0: it does not matter.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    delimiter: str | None = None
    encoding: str | None = None
    hash: str | None = None
    now_ns: int = 0


class FeedFormat(Protocol):
    """One format of hash lists. Entry-point group: `hostsweep.feed_formats` (an instance or a class
    without arguments).

    Laws:
    - streams and heads are already decompressed, in UTF-8 where they are text, and without a byte
      order mark; they can be read once, forwards only;
    - `parse` needs memory that does not grow with the list: it yields entries as it reads;
    - a record that is not as it should be, in a list that is whole, is counted by `checks.pass_over`; the
      share of them that is let through is the caller's;
    - it raises FeedFormatError with the line number or the JSON path in `where`, and never quotes a
      hash in an error;
    - it may be abandoned after any entry; `counts` is complete once it is exhausted;
    - nothing is kept between two calls.
    """

    @property
    def name(self) -> str:
        """As in the configuration's `format:`."""

    @property
    def default_categories(self) -> frozenset[str] | None:
        """Values that act where the operator names none; None: every value except 0 or absent."""

    def proposes(self, head: bytes) -> str | None:
        """Why a list that begins like this could be of this format; None when it isn't. Never raises."""

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Item]:
        """The entries of a list, in its order; values that can't be used are counted and left out.

        A list that came in pages (`scanner.feeds.pages`) is parsed page by page, each with the same `counts`.

        Raises:
            FeedFormatError: the list is not what the format says.
            FeedRefusedError: it can be read in more than one way and `options` do not say which.
        """
