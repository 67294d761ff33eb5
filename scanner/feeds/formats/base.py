"""The seam of the hash-list formats: one module a format, third parties add theirs by entry point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from scanner.model.feeds import ImportCounts, Item


@dataclass(frozen=True, slots=True)
class FormatOptions:
    """What the operator says of how a list is written. A format ignores what does not concern it.

    Attributes:
        columns: the list's own header names, or numbers of columns counted from 1, to the field each one is;
            a field may say how its values are written: `md5:base64`, `sha1:base32`.
        values: for a field (`category`, `type`, …) what the list writes, to what is meant by it.
        header: the first line names the columns.
        delimiter: of columns; None: found out.
        encoding: of the text, a codec's name; None: UTF-8, or UTF-16 where a byte order mark says so.
        hash: hash kind of values whose length does not tell it (64 digits: sha256 or pdq); of lists that name
            each file by several kinds and take one: which.
        member: name of the list in an archive, with `*` and `?` as in a shell; None: the only list in it.
        scratch: a folder of the import's own, for a format that has to look into a list out of order; None:
            where the system has such. Not the operator's.
        options: the feed's `options`, of which a format takes its own.
        now_ns: when the list is read, UTC, nanoseconds since 1970; 0: it does not matter.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    delimiter: str | None = None
    encoding: str | None = None
    hash: str | None = None
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    header: bool = True
    member: str | None = None
    scratch: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)
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

    It may have these attributes besides, which say what it is (`scanner.feeds.formats.describing`):
    - `only_benign`: why a list of this format can never be one of illegal material, "" where it can. Whether
      it is one is never the format's to say.
    - `summary`, `kinds`, `recognised_by`: what it is, the hash kinds it can carry, what `proposes` goes by.
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


@runtime_checkable
class PagedFormat(Protocol):
    """A format whose pages belong together, instead of each being a document of its own."""

    def parse_pages(
        self, pages: Iterator[bytes], options: FormatOptions, counts: ImportCounts
    ) -> Iterator[Item]:
        """As `FeedFormat.parse`, of all pages."""
