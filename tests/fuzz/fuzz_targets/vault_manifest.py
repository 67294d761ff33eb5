"""Vault manifests: a ValueError, or an item of the right types that is written as it was read.

First byte: as it is; or a JSON object, or edits of a whole one, whose checksum is made right, so that what is
behind it is reached.
"""

from __future__ import annotations

import hashlib
import json

from fuzzing import Target, law

from fuzz_targets._edits import edited
from scanner.response import Attributes, Item, ItemState
from scanner.response.items import decode, encode


def _sealed(body: object) -> bytes:
    if not isinstance(body, dict):
        return _canonical(body)
    body.pop("checksum", None)
    return _canonical(body | {"checksum": hashlib.sha256(_canonical(body)).hexdigest()})


def _canonical(body: object) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _manifest(data: bytes) -> bytes:
    what, raw = data[0] % 3 if data else 0, data[1:]
    try:
        match what:
            case 0:
                return raw
            case 1:
                return _sealed(json.loads(raw))
            case _:
                return _sealed(edited(json.loads(encode(_item())), raw))
    except (ValueError, RecursionError):
        return raw


def check(data: bytes) -> None:
    try:
        item = decode(_manifest(data))
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


def _item() -> Item:
    attributes = Attributes(
        uid=1000, gid=1000, mode=0o644, atime_ns=1, mtime_ns=-2, ctime_ns=3, links=1,
        xattrs=((b"user.x", b"\xff"),), xattrs_omitted=0,
    )  # fmt: skip
    return Item(
        id="00112233445566778899", case_id="c", volume="web", root=b"/srv", components=(b"a", b"b\xff"),
        parent_uid=None, size=3, attributes=attributes, digests={"sha256": b"s" * 32, "md5": b"m" * 16},
        secured_ns=5, state=ItemState.RESTORED, restored_to=b"/srv/a/b",
    )  # fmt: skip


def seeds() -> dict[str, bytes]:
    manifest = encode(_item())
    return {
        "as_it_is": b"\0" + manifest,
        "sealed": b"\1" + manifest,
        "edited": b"\2size=7\nid=x",
        "dots": b'\2path=["Li4="]',
        "slash": b"\2path.0=YS9i",
        "no_sha256": b"\2digests={}",
        "short_sha256": b"\2digests.sha256=00",
        "numbers": b"\2mode=99999\nsize=-1\nuid=1.5\nparent_uid=0",
        "xattrs": b"\2xattrs.0.1=5\nxattrs=[[]]",
        "format": b"\2format=2",
        "deep": b"\0" + b"[" * 3000,
        "infinite": b"\1" + manifest.replace(b'"size":3', b'"size":1e999'),
    }


_KEYS = ("id=", "path.0=", "digests.", "sha256", "xattrs.0.", "size=", "mode=", "state=", "restored_to=")
TARGET = Target(
    check, seeds, (*(key.encode() for key in _KEYS), b"=null", b"=1e999", b"held", b"Li4=", b"\n")
)
