"""Which format a list is in: content only proposes, the configuration decides, disagreement is an error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from scanner.feeds.formats.base import FeedFormat
from scanner.model.errors import FeedRefusedError

AUTO = "auto"

# Of MISP's feed generator: a digest and the UUID of an event, without a header.
_MISP = re.compile(rb"[0-9a-f]{32},[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\r?\n")

# What lists are wrapped in, or what comes instead of one: said plainly where no format knows it.
_TELLING = (
    (b"SQLite format 3", "it is an SQLite database", "Export it as CSV"),
    (b"-----BEGIN PGP", "it is an OpenPGP message or signature", "Name the list, not its signature"),
    (
        b"<",
        "it is HTML or XML",
        "A login or error page may have come instead of the list: look at the address",
    ),
)


def proposals(head: bytes, formats: Mapping[str, FeedFormat]) -> dict[str, str]:
    """Every format the content could be, with the reason why."""
    found = {name: known.proposes(head) for name, known in formats.items()}
    return {name: reason for name, reason in found.items() if reason is not None}


def choose(
    declared: str, head: bytes, formats: Mapping[str, FeedFormat], *, header: bool = True
) -> FeedFormat:
    """The format to read a list with.

    Args:
        declared: the format's name, or `auto`.
        head: the first 64 KiB, decompressed, in UTF-8, without a byte order mark.
        header: False: declared as a table without one. Its first line may look like one of a plain list.

    Raises:
        FeedRefusedError: unknown name; `auto` finds none or several; the content is clearly of another
            format than the declared one.
    """
    found = proposals(head, formats)
    if declared == AUTO:
        return _found(found, head, formats)
    if not header:
        found.pop("plain", None)
    if declared not in formats:
        raise FeedRefusedError(
            f"there is no list format '{declared}'",
            where="format",
            remedy=f"Known: {', '.join(formats)}, {AUTO}",
        )
    if found and declared not in found and not _special_cases(found, formats, formats[declared]):
        raise FeedRefusedError(
            f"declared as {declared}, but the content says otherwise: {_reasons(found)}",
            remedy=f"Correct the feed's format: (or set it to {AUTO}), or ask the publisher what changed",
        )
    return formats[declared]


def _found(found: Mapping[str, str], head: bytes, formats: Mapping[str, FeedFormat]) -> FeedFormat:
    """The one format that content can be of."""
    if not found:
        raise _unknown(head, formats)
    if found.keys() == {"plain", "csv"}:
        return formats["csv"]  # one column of digests with its name above: the same list in both
    if len(found) > 1:
        raise _ambiguous(found)
    return formats[next(iter(found))]


def _special_cases(names: Iterable[str], formats: Mapping[str, FeedFormat], general: FeedFormat) -> bool:
    """Whether some of these formats are special cases of another: a table declared as CSV may be read so."""
    return any(isinstance(formats[name], type(general)) for name in names)


def _reasons(found: Mapping[str, str]) -> str:
    return "; ".join(f"{name}, because {reason}" for name, reason in found.items())


def _ambiguous(found: Mapping[str, str]) -> FeedRefusedError:
    return FeedRefusedError(
        f"the list could be of several formats: {_reasons(found)}",
        remedy=f"Declare which: format: {' or format: '.join(found)}",
    )


def _unknown(head: bytes, formats: Mapping[str, FeedFormat]) -> FeedRefusedError:
    text = head.lstrip()
    if _MISP.match(text):
        return FeedRefusedError(
            "this looks like the hashes.csv of a MISP feed: MD5 of the values of attributes, not of files",
            remedy="Name the feed's directory instead, which has the events. If these are MD5 of files after"
            " all, declare format: csv, header: false and columns: {1: md5, 2: id}",
        )
    for magic, what, remedy in _TELLING:
        if text.startswith(magic):
            return FeedRefusedError(f"this is no list that can be read: {what}", remedy=remedy)
    return FeedRefusedError(
        f"the format was not recognised: it looks like none of {', '.join(formats)}",
        remedy="Declare it with format: (and columns: for a CSV with headers of its own)",
    )
