"""Answers of a service that is asked hash by hash, as `scanner.feeds.exchanges.asking` writes them.

A "yes" is an entry with the service's classification as its category, a "no" one of no category, which never
acts: so the list remembers what was asked, and when.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import BinaryIO

from scanner.feeds.checks import MAX_TEXT, admit, digest
from scanner.feeds.formats.base import FormatOptions
from scanner.model.errors import FeedFormatError
from scanner.model.feeds import LISTED, About, Entry, ImportCounts
from scanner.model.hashes import KINDS

_MAX_ANSWERS = 100_000  # of one page


class AnswersFormat:
    """One JSON object: `kind`, `time` (nanoseconds) and `answers`, pairs of a hash and a category."""

    @property
    def name(self) -> str:
        return "answers"

    @property
    def default_categories(self) -> frozenset[str] | None:
        # Other classifications of a service are for the operator to name.
        return frozenset({LISTED, "csam"})

    def proposes(self, head: bytes) -> str | None:
        return "it has answers of a hash service" if head.startswith(b'{"answers":') else None

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Entry]:
        try:
            told = json.loads(stream.read())
            kind, time, answers = told["kind"], told["time"], told["answers"]
            right = kind in KINDS and isinstance(time, int) and isinstance(answers, list)
        except (ValueError, KeyError, TypeError, RecursionError) as e:
            raise FeedFormatError("these are no answers of a hash service") from e
        if not right or len(answers) > _MAX_ANSWERS:
            raise FeedFormatError("these are no answers of a hash service")
        for number, answer in enumerate(answers, 1):
            entry = _entry(kind, time, answer, f"answer {number}", counts)
            if entry is not None:
                yield entry


def _entry(kind: str, time: int, answer: object, where: str, counts: ImportCounts) -> Entry | None:
    if not isinstance(answer, list) or len(answer) != 2 or not all(isinstance(part, str) for part in answer):
        raise FeedFormatError("expected a hash and a category", where=where)
    text, category = answer
    if len(category) > MAX_TEXT:
        raise FeedFormatError("a category that is too long", where=where)
    pair = kind, digest(kind, text, where)
    return admit((pair,), "", category, counts, key=text, changed_ns=time, about=About(added_ns=time))
