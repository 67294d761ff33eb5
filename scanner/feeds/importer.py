"""Importing a list: open, recognise, read all of it, and say what it was."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scanner.feeds.detect import choose
from scanner.feeds.formats import available_formats
from scanner.feeds.formats.base import FeedFormat, FormatOptions, PagedFormat
from scanner.feeds.formats.describing import why_benign
from scanner.feeds.reading import DEFAULT_MAX_BYTES, OpenList, open_list
from scanner.model.errors import (
    FeedError,
    FeedFormatError,
    FeedMalformedError,
    FeedRefusedError,
    ScannerError,
)
from scanner.model.feeds import ImportCounts, Item, Polarity

# Malformed records that changes may hold whatever share they are: there may be three of them in an hour, and
# a single bad one would hold up the feed until somebody mends it.
_FEW = 10


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What a list was.

    Attributes:
        format: the format it was read with.
        default_categories: of that format; None: every value except 0 or absent acts.
        counts: what became of its values.
        sha256: of the exact bytes of the file, in hexadecimal.
        bytes: size of the file.
    """

    format: str
    default_categories: frozenset[str] | None
    counts: ImportCounts
    sha256: str
    bytes: int


def import_list(
    source: Path,
    format_name: str,
    options: FormatOptions,
    sink: Callable[[Item], None],
    *,
    formats: Mapping[str, FeedFormat] | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    descriptor: int | None = None,
    max_malformed: float = 0.0,
    partial: bool = False,
    polarity: str | None = None,
    identities: str = "",
) -> ImportResult:
    """Read a whole list and hand every entry to `sink`. What the sink got is good only on return: a list
    that is malformed or cut short anywhere raises, and must leave nothing behind.

    Args:
        format_name: a format's name, or `auto`.
        formats: all there are; None: ours and those of installed packages.
        max_bytes: most the file, and its content, may have.
        descriptor: of the open list, where `source` is only its name for errors; closed at the end.
        max_malformed: the share of malformed records from which on the list is refused; a few are let through
            in changes.
        partial: these are changes to a list; they may hold no entry at all.
        polarity: what the configuration says of the feed; None where nobody has said it.
        identities: age's, for a list that is encrypted.

    Raises:
        FeedFormatError: it is not what its format says; `where` has the line or the JSON path.
        FeedMalformedError: more of its records are malformed than may be.
        FeedRefusedError: it can't be read, its format can't be told, it has no usable entry, or lists of its
            format are never what the feed's polarity says.
        ConfigError: an installed package's format can't be loaded.
    """
    known = available_formats() if formats is None else formats
    counts = ImportCounts()
    try:
        given = source if descriptor is None else descriptor
        with open_list(
            given, options.encoding, max_bytes, member=options.member, identities=identities
        ) as opened:
            chosen = choose(format_name, opened.head, known, header=options.header)
            _check_polarity(chosen, polarity)
            for entry in _guarded(chosen, opened, options, counts):
                sink(entry)
            digest, size = opened.finish()
        _check_malformed(counts, max_malformed, _FEW if partial else 0)
        if not counts.entries and not partial:
            raise _nothing_usable(counts)
    except FeedError as e:
        raise type(e)(
            e.what, where=f"{source}: {e.where}" if e.where else str(source), remedy=e.remedy
        ) from e
    return ImportResult(chosen.name, chosen.default_categories, counts, digest, size)


def _guarded(
    chosen: FeedFormat, opened: OpenList, options: FormatOptions, counts: ImportCounts
) -> Iterator[Item]:
    """The entries of a list; whatever breaks in reading them is the list's error."""
    try:
        if opened.pages is None:
            yield from chosen.parse(opened.stream, options, counts)
        elif isinstance(chosen, PagedFormat):
            yield from chosen.parse_pages(opened.pages, options, counts)
        else:
            for page in opened.pages:
                yield from chosen.parse(io.BytesIO(page), options, counts)
    except (ScannerError, OSError):
        raise
    except Exception as e:  # formats may be others' code, and read what anybody may have written
        raise FeedFormatError(
            f"reading it as {chosen.name} failed ({type(e).__name__})",
            remedy="Check that the list is what its format: says",
        ) from e


def _check_polarity(chosen: FeedFormat, polarity: str | None) -> None:
    reason = why_benign(chosen)
    if reason and polarity == Polarity.ILLEGAL:
        raise FeedRefusedError(
            f"a list of the format {chosen.name} is never one of illegal material: {reason}",
            remedy="Configure it as a feed of its own with polarity: benign",
        )


def _check_malformed(counts: ImportCounts, allowed: float, few: int) -> None:
    whole = counts.entries + counts.removals + counts.malformed
    if counts.malformed <= max(allowed * whole, few):
        return
    more = f", and {counts.malformed - 1:,} more of {whole:,} records" if counts.malformed > 1 else ""
    raise FeedMalformedError(
        f"{counts.first_malformed}{more}: more than {allowed:.2%} of the records are malformed",
        remedy="The last good list stays in use. Tell the publisher, or raise the feed's max_malformed",
    )


def _nothing_usable(counts: ImportCounts) -> FeedRefusedError:
    found = [f"{n} refused ({reason})" for reason, n in sorted(counts.refused.items())]
    found += [f"{n} of {kind}, which can't be matched" for kind, n in sorted(counts.unsupported.items())]
    detail = f": only {', '.join(found)}" if found else ": there is nothing in it"
    return FeedRefusedError(
        f"the list has no usable entry{detail}",
        remedy="The last good list stays in use; ask the publisher",
    )
