"""Vault manifests: a ValueError, or an item of the right types that is written as it was read.

First byte: as it is, or a JSON object whose checksum is made right, so that what is behind it is reached.
"""

from __future__ import annotations

import hashlib
import json

from fuzzing import Target, law

from scanner.response import Attributes, Item, ItemState
from scanner.response.items import decode, encode


def _sealed(raw: bytes) -> bytes:
    try:
        body = json.loads(raw)
        if not isinstance(body, dict):
            return raw
        body.pop("checksum", None)
        body["checksum"] = hashlib.sha256(_canonical(body)).hexdigest()
        return _canonical(body)
    except (ValueError, RecursionError):
        return raw


def _canonical(body: dict[str, object]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def check(data: bytes) -> None:
    raw = data[1:]
    try:
        item = decode(_sealed(raw) if data[:1] < b"\x80" else raw)
    except ValueError:
        return
    _check_types(item)
    law(decode(encode(item)) == item, "what is written is what is read")
    law(all(c not in (b"", b".", b"..") and b"/" not in c for c in item.components), "a path is plain")
    law(len(item.sha256) == 32, "an object has a name")


def _check_types(item: Item) -> None:
    law(all(type(text) is str for text in (item.id, item.case_id, item.volume)), "names are text")
    law(type(item.parent_uid) in (int, type(None)), "an owner is a number")
    found = item.attributes
    whole = (item.size, item.secured_ns, found.uid, found.gid, found.mode, found.atime_ns, found.mtime_ns)
    more = (found.ctime_ns, found.links, found.xattrs_omitted)
    law(all(type(number) is int for number in (*whole, *more)), "numbers are whole")
    law(item.size >= 0 and 0 <= found.mode <= 0o7777, "sizes and modes can be")


def seeds() -> dict[str, bytes]:
    attributes = Attributes(
        uid=1000, gid=1000, mode=0o644, atime_ns=1, mtime_ns=-2, ctime_ns=3, links=1,
        xattrs=((b"user.x", b"\xff"),), xattrs_omitted=0,
    )  # fmt: skip
    item = Item(
        id="00112233445566778899", case_id="c", volume="web", root=b"/srv", components=(b"a", b"b\xff"),
        parent_uid=None, size=3, attributes=attributes, digests={"sha256": b"s" * 32, "md5": b"m" * 16},
        secured_ns=5, state=ItemState.RESTORED, restored_to=b"/srv/a/b",
    )  # fmt: skip
    manifest = encode(item)
    body = json.loads(manifest)
    return {
        "sealed": b"\0" + manifest,
        "as_it_is": b"\xff" + manifest,
        "dots": b"\0" + _canonical(body | {"path": ["Li4="]}),
        "no_sha256": b"\0" + _canonical(body | {"digests": {}}),
        "deep": b"\xff" + b"[" * 3000,
        "infinite": b"\0" + manifest.replace(b'"size":3', b'"size":1e999'),
    }


_KEYS = ("id", "path", "digests", "sha256", "xattrs", "size", "mode", "state", "restored_to", "parent_uid")
TARGET = Target(check, seeds, (*(f'"{key}":'.encode() for key in _KEYS), b"null", b"1e999", b"held", b"Li4="))
