"""VICS: JSON of any shape is entries or a FeedError."""

from __future__ import annotations

import json

from fuzzing import Target

from fuzz_targets._lists import HEX, WORDS, check_format
from scanner.feeds import FormatOptions
from scanner.feeds.formats import VicsFormat

_KEYS = ("value", "Media", "MediaID", "Category", "AlternativeHashes", "HashName", "HashValue", "CaseID")


def check(data: bytes) -> None:
    check_format(VicsFormat(), data, FormatOptions())


def seeds() -> dict[str, bytes]:
    md5, sha1, pdq = (HEX[kind].decode() for kind in ("md5", "sha1", "pdq"))
    media = {"MediaID": 7, "Category": 1, "MD5": md5, "SHA1": sha1.upper(), "PhotoDNA": "AAAA"}
    other = {"MediaID": "x", "AlternativeHashes": [{"HashName": "PDQ", "HashValue": pdq}], "Tags": [[{}]]}
    empty = {"Category": 2.0, "md5": None, "SHA1": "", "AlternativeHashes": [{"HashName": "vPDQ"}]}
    documents = {
        "set": {"odata.metadata": "…/ProjectVic/DataModels/2.0.xml#Media", "value": [media, other]},
        "case": {"value": [{"CaseID": "1", "Media": [media, other]}]},
        "no_hash": {"value": [empty]},
        "no_value": {"Media": [media]},
        "digest_for_a_key": {"value": [{md5: 1, "MD5": [md5]}]},
        "surrogate": {"value": [{"MediaID": "\ud800", "MD5": md5}]},
    }
    return {name: json.dumps(document).encode() for name, document in documents.items()}


TARGET = Target(check, seeds, (*WORDS, *(f'"{key}":'.encode() for key in _KEYS), b"[{", b"}]", b"1e999"))
