"""What formats say of themselves: for people, and for the check of a feed's polarity."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from scanner.feeds.formats.base import FeedFormat

# Of formats that are older than these attributes: (summary, kinds, recognised by).
_OLDER: Mapping[str, tuple[str, tuple[str, ...], str]] = MappingProxyType(
    {
        "plain": ("one digest a line, as md5sum and its family print them", (), "a digest in its first line"),
        "csv": ("columns below a header", (), "a header that names a kind of hash"),
        "vics": ("JSON of Project VIC and CAID, sets and cases", (), "JSON that names a data model or Media"),
    }
)


@dataclass(frozen=True, slots=True)
class Description:
    """A format in words.

    Attributes:
        name: as in `format:`.
        summary: what it is.
        only_benign: why it can only be a benign list, "" where it can be either.
        kinds: hash kinds that it can carry; empty: any.
        default_categories: values that act where the operator names none; None: all but 0 and absent.
        recognised_by: what `auto` goes by; "" where it says nothing of that.
    """

    name: str
    summary: str
    only_benign: str
    kinds: tuple[str, ...]
    default_categories: tuple[str, ...] | None
    recognised_by: str


def describe(form: FeedFormat) -> Description:
    """What a format, ours or another package's, says of itself."""
    summary, kinds, recognised = _OLDER.get(form.name, ("", (), ""))
    categories = form.default_categories
    return Description(
        name=form.name,
        summary=str(getattr(form, "summary", "")) or summary or _first_line(form),
        only_benign=why_benign(form),
        kinds=tuple(str(kind) for kind in getattr(form, "kinds", kinds)),
        default_categories=None if categories is None else tuple(sorted(categories)),
        recognised_by=str(getattr(form, "recognised_by", recognised)),
    )


def why_benign(form: FeedFormat) -> str:
    """Why lists of this format are never lists of illegal material; "" where they may be."""
    return str(getattr(form, "only_benign", ""))


def _first_line(form: object) -> str:
    return (inspect.getdoc(type(form)) or "").split("\n", 1)[0]
