"""VICS: JSON of any shape is entries or a FeedError, the same in chunks as event by event."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator

from fuzzing import Target, law

from fuzz_targets._lists import HEX, SIZES, WORDS, check_format
from scanner.feeds import FormatOptions
from scanner.feeds.formats import VicsFormat, vics
from scanner.feeds.formats.vics_chunks import Sizes
from scanner.feeds.formats.vics_events import entries
from scanner.model.errors import FeedError
from scanner.model.feeds import ImportCounts, Item, entries_of

_SHORT = Sizes(head=64, piece=100, most=1000)
_KEYS = ("value", "Media", "MediaID", "Category", "AlternativeHashes", "HashName", "HashValue", "CaseID")


def check(data: bytes) -> None:
    check_format(VicsFormat(), data, FormatOptions())
    chunked = _outcome(lambda stream, counts: vics.read(stream, counts, _SHORT), data)
    law(chunked == _outcome(entries, data), "chunks give what the events give")


def _outcome(read: Callable[..., Iterator[Item]], data: bytes) -> object:
    counts = ImportCounts()
    try:
        return [e for item in read(io.BytesIO(data), counts) for e in entries_of(item, SIZES)], counts
    except FeedError as e:
        return type(e), e.what


def seeds() -> dict[str, bytes]:
    md5, sha1, pdq = (HEX[kind].decode() for kind in ("md5", "sha1", "pdq"))
    media = {"MediaID": 7, "Category": 1, "MD5": md5, "SHA1": sha1.upper(), "PhotoDNA": "AAAA"}
    other = {"MediaID": "x", "AlternativeHashes": [{"HashName": "PDQ", "HashValue": pdq}], "Tags": [[{}]]}
    empty = {"Category": 2.0, "md5": None, "SHA1": "", "AlternativeHashes": [{"HashName": "vPDQ"}]}
    documents = {
        "set": {"odata.metadata": "…/ProjectVic/DataModels/2.0.xml#Media", "value": [media, other]},
        "case": {"value": [{"CaseID": "1", "Media": [media, other]}]},
        "no_hash": {"value": [empty]},
        "many": {"value": [{"MediaID": n, "MD5": md5, "Category": n % 3} for n in range(20)]},
        "no_value": {"Media": [media]},
        "digest_for_a_key": {"value": [{md5: 1, "MD5": [md5]}]},
        "surrogate": {"value": [{"MediaID": "\ud800", "MD5": md5}]},
    }
    return {name: json.dumps(document).encode() for name, document in documents.items()}


TARGET = Target(check, seeds, (*WORDS, *(f'"{key}":'.encode() for key in _KEYS), b"[{", b"}]", b"1e999"))
