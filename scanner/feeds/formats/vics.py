"""VICS, the JSON of Project VIC and CAID, data models 1.1 to 2.0.

Shapes (ICMEC/ProjectVic and VICSDATAMODEL data models): an envelope with `value`, which holds Media
objects (a hash set), or Case objects with their Media below (an export of cases). The keys come in any
order and case. The same envelope is published for illegal and for known-good sets: which it is, only the
configuration says; nothing here looks for it.

It is read in two ways that give the same. Records of a hash set go in chunks (`vics_chunks`) as long as that
is possible; everything else, and what is left when it isn't, goes event by event (`vics_events`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from scanner.feeds.formats.base import FormatOptions
from scanner.feeds.formats.vics_chunks import Chunks, Sizes
from scanner.feeds.formats.vics_events import entries
from scanner.feeds.layers import Readable
from scanner.model.feeds import ImportCounts, Item

_MODEL_NAMES = (b"projectvic", b"vicsdatamodel")
_VALUE_LIST = re.compile(rb'"value"\s*:\s*\[')  # other formats have a `value` that is text


class VicsFormat:
    """Media of Project VIC and CAID; 1 and 2 act by default, as published hash sets carry them."""

    @property
    def name(self) -> str:
        return "vics"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return frozenset({"1", "2"})

    def proposes(self, head: bytes) -> str | None:
        text = head.lstrip().lower()
        if not text.startswith(b"{"):
            return None
        if any(name in text for name in _MODEL_NAMES):
            return "it is JSON and names a Project VIC data model"
        if _VALUE_LIST.search(text) and (b'"md5"' in text or b'"media"' in text):
            return "it is JSON with a `value` list of Media"
        return None

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Item]:
        return read(stream, counts, Sizes())


def read(stream: Readable, counts: ImportCounts, sizes: Sizes) -> Iterator[Item]:
    """The items of an envelope, in chunks as far as that goes."""
    chunks = Chunks(stream, counts, sizes)
    yield from chunks.items()
    yield from entries(chunks.rest(), counts, first=chunks.records)
