"""What the processes that fetch and read lists answer, checked as the words of an enemy.

Such a process may have been taken over by the server or the list it had to do with. It can then lie about its
list, as the publisher could anyhow; it must not get anything else past here. JSON, of a bounded length, of
exactly this shape.
"""

from __future__ import annotations

import base64
import builtins
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from scanner.feeds.exchanges import MAX_MEMORY
from scanner.feeds.fetching import Traffic
from scanner.feeds.signatures import MAX_SIGNATURE
from scanner.feeds.trust.errors import by_name
from scanner.model.errors import (
    ConfigError,
    FeedError,
    FeedFormatError,
    FeedMalformedError,
    FeedProcessError,
    FeedRefusedError,
    FeedTransportError,
    ScannerError,
)
from scanner.model.feeds import ImportCounts
from scanner.model.names import display

# 1000 categories of 1024 characters, each of them six bytes in JSON at worst, are the most an honest one
# says.
MAX_ANSWER = 8 << 20

_ERRORS: Mapping[str, type[ScannerError]] = {
    **by_name(),
    **{
        kind.__name__: kind
        for kind in (
            ConfigError,
            FeedError,
            FeedFormatError,
            FeedMalformedError,
            FeedRefusedError,
            FeedTransportError,
        )
    },
}
_MAX_SENTENCE = 1000  # characters of each part of an error
_MAX_TAG = 1024  # characters of an ETag or Last-Modified, as the transport keeps them
_MAX_KEYS = 1001  # different categories and "no category"; kinds and reasons are fewer
_MAX_KEY = 1024
_MOST = 1 << 53  # of anything that is counted
_FETCHED = frozenset(
    {"not_modified", "etag", "last_modified", "bytes", "sha256", "memory", "partial", "traffic", "signature"}
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FORMAT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class Nonsense(ValueError):
    """An answer is not what an honest process says; the text tells in which way, and quotes nothing."""


@dataclass(frozen=True, slots=True)
class FetchAnswer:
    """As `scanner.feeds.Fetched`, without the path."""

    not_modified: bool
    etag: str
    last_modified: str
    bytes: int
    sha256: str
    memory: str = ""
    partial: bool = False
    traffic: Traffic = field(default_factory=Traffic)
    signature: builtins.bytes = b""


@dataclass(frozen=True, slots=True)
class ListFigures:
    """A list that was built.

    Attributes:
        entries: it has.
        hashes: values by kind.
        categories: entries by category.
        added, replaced, removed: entries that came new, in place of others, or went.
        unknown: entries that were to go and weren't there.
        outdated: statements older than others of the same record.
    """

    entries: int
    hashes: Mapping[str, int]
    categories: Mapping[str, int]
    added: int = 0
    replaced: int = 0
    removed: int = 0
    unknown: int = 0
    outdated: int = 0


@dataclass(frozen=True, slots=True)
class ImportAnswer:
    """What was imported.

    Attributes:
        format: the format it was read with.
        sha256: of the list, in hexadecimal.
        counts: what it holds; of changes to a list, what these hold.
        list: the list that came of it.
    """

    format: str
    sha256: str
    counts: ImportCounts
    list: ListFigures

    def list_counts(self) -> dict[str, Any]:
        """The counts as they describe the whole list, whatever came of it this time."""
        whole = {"entries": self.list.entries, "hashes": self.list.hashes, "categories": self.list.categories}
        return {**asdict(self.counts), **whole}


def fetched(raw: bytes) -> FetchAnswer:
    """What a fetch came to.

    Raises:
        FeedError, ConfigError: as the process says.
        Nonsense: the answer can't be right.
    """
    answer = _ok(raw, _FETCHED)
    unchanged, memory = answer["not_modified"], answer["memory"]
    if not isinstance(unchanged, bool) or not isinstance(answer["partial"], bool):
        raise Nonsense("not_modified or partial is no yes or no")
    if not isinstance(memory, str) or len(memory) > MAX_MEMORY or not memory.isascii():
        raise Nonsense("memory is no short text")
    digest = answer["sha256"]
    if not (digest == "" if unchanged else _is(_SHA256, digest)):
        raise Nonsense("sha256 is no digest")
    return FetchAnswer(
        unchanged,
        _tag(answer["etag"]),
        _tag(answer["last_modified"]),
        _count(answer["bytes"]),
        digest,
        memory,
        answer["partial"],
        _traffic(answer["traffic"]),
        _signature(answer["signature"]),
    )


def _traffic(value: object) -> Traffic:
    if not isinstance(value, dict) or value.keys() != {f.name for f in fields(Traffic)}:
        raise Nonsense("it has not the fields of traffic")
    return Traffic(**{name: _count(number) for name, number in value.items()})


def imported(raw: bytes, *, partial: bool = False) -> ImportAnswer:
    """What an import came to.

    Args:
        partial: changes were imported, which may hold no entry.

    Raises:
        FeedError, ConfigError: as the process says.
        Nonsense: the answer can't be right.
    """
    answer = _ok(raw, {"format", "sha256", "counts", "list"})
    if not _is(_FORMAT, answer["format"]):
        raise Nonsense("format is no name")
    if not _is(_SHA256, answer["sha256"]):
        raise Nonsense("sha256 is no digest")
    counts = _counts(answer["counts"], partial)
    return ImportAnswer(answer["format"], answer["sha256"], counts, _list(answer["list"]))


def _ok(raw: bytes, keys: Collection[str]) -> dict[str, Any]:
    try:
        answer = json.loads(raw)
    except (ValueError, RecursionError) as e:
        raise Nonsense("it is no JSON") from e
    if not isinstance(answer, dict) or len(answer) != 1:
        raise Nonsense("it is neither a result nor an error")
    if "error" in answer:
        raise _error(answer["error"])
    result = answer.get("ok")
    if not isinstance(result, dict) or result.keys() != set(keys):
        raise Nonsense("it has not the fields of a result")
    return result


def _error(told: object) -> ScannerError:
    if not isinstance(told, dict) or told.keys() != {"kind", "what", "where", "remedy"}:
        raise Nonsense("it has not the fields of an error")
    if not all(isinstance(part, str) for part in told.values()):
        raise Nonsense("its error is no text")
    # An error of another kind, of storage say, would stop more than this feed.
    kind = _ERRORS.get(told["kind"], FeedProcessError)
    what, where, remedy = (_sentence(told[key]) for key in ("what", "where", "remedy"))
    return kind(what or "it failed without a reason", where=where, remedy=remedy)


def _sentence(text: str) -> str:
    shown = display(text[: _MAX_SENTENCE + 1])
    return shown if len(shown) <= _MAX_SENTENCE else f"{shown[:_MAX_SENTENCE]}…"


def _is(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _tag(value: object) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TAG or not (value.isascii() and value.isprintable()):
        raise Nonsense("a tag is no short line of text")
    return value


def _signature(value: object) -> bytes:
    try:
        raw = base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except ValueError:
        raw = None
    if raw is None or len(raw) > MAX_SIGNATURE + 1:
        raise Nonsense("the signature is no short base64")
    return raw


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST:
        raise Nonsense("a count is no number")
    return value


def _counts(value: object, partial: bool) -> ImportCounts:
    names = {field.name for field in fields(ImportCounts)}
    if not isinstance(value, dict) or value.keys() != names:
        raise Nonsense("it has not the fields of counts")
    entries, removals, malformed = (_count(value.pop(key)) for key in ("entries", "removals", "malformed"))
    if not entries and not partial:
        raise Nonsense("it tells of a list without entries")
    first = value.pop("first_malformed")
    if not isinstance(first, str):
        raise Nonsense("what is malformed is no text")
    return ImportCounts(
        entries,
        removals,
        malformed,
        _sentence(first),
        **{name: _numbers(numbers) for name, numbers in value.items()},
    )


def _list(value: object) -> ListFigures:
    names = {field.name for field in fields(ListFigures)}
    if not isinstance(value, dict) or value.keys() != names:
        raise Nonsense("it has not the figures of a list")
    hashes, categories = (_numbers(value.pop(name)) for name in ("hashes", "categories"))
    figures = ListFigures(hashes=hashes, categories=categories, **{k: _count(n) for k, n in value.items()})
    if not figures.entries:
        raise Nonsense("it tells of a list without entries")
    return figures


def _numbers(value: object) -> dict[str, int]:
    if not isinstance(value, dict) or len(value) > _MAX_KEYS:
        raise Nonsense("counts are no numbers by name")
    # Names are the list's own words: harmless for a terminal, whoever shows them.
    return {display(str(key)[:_MAX_KEY]): _count(number) for key, number in value.items()}
