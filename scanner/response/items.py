"""A vault item and its manifest: canonical JSON that carries its own checksum.

Format 1: one object, keys sorted, no white space, ASCII only, a newline at the end. Names of files, paths,
the volume's name and attributes are base64 of their bytes; digests are hexadecimal; times are nanoseconds
since 1970. `checksum` is the SHA-256 of the same object without it, in the same form.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from scanner.response.attributes import Attributes
from scanner.response.places import Place, from_text, to_text

_FORMAT = 1
# Keys that came later: manifests without them are older, and say nothing of these.
_LATER_NUMBERS = ("flags",)
_NUMBERS = ("uid", "gid", "mode", "atime_ns", "mtime_ns", "ctime_ns", "links", "xattrs_omitted")


class ItemState(StrEnum):
    HELD = "held"
    RESTORED = "restored"  # the vault keeps its copy
    PURGED = "purged"  # only the manifest is left, as the record


@dataclass(frozen=True, slots=True)
class Item:
    """One secured file.

    Attributes:
        id: the quarantine id.
        case_id, volume: whom and what it belongs to.
        root: the volume's root at the time.
        components: path below the root, one entry a component: paths may be longer than PATH_MAX.
        parent_uid: owner of the directory it was in; None if the directory was gone when it was secured.
        size: bytes.
        attributes: what it had besides its bytes.
        digests: kind to raw digest; always has sha256, which is the name of its object.
        secured_ns: UTC, nanoseconds.
        restored_to: absolute path it was last restored to, None if it never was.
        inode, mark: which file it was (see `system.identity`); 0 and "" where that isn't on record.
        staging: directory below the root in which its staging folder was; b"" is the root itself.
    """

    id: str
    case_id: str
    volume: str
    root: bytes
    components: tuple[bytes, ...]
    parent_uid: int | None
    size: int
    attributes: Attributes
    digests: Mapping[str, bytes]
    secured_ns: int
    state: ItemState = ItemState.HELD
    restored_to: bytes | None = None
    inode: int = 0
    mark: str = ""
    staging: bytes = b""

    @property
    def place(self) -> Place:
        return Place(self.root, b"/".join(self.components[:-1]), self.components[-1])

    @property
    def path(self) -> bytes:
        """Path below the volume's root."""
        return b"/".join(self.components)

    @property
    def sha256(self) -> bytes:
        return self.digests["sha256"]


def encode(item: Item) -> bytes:
    """The manifest of an item."""
    attributes = item.attributes
    body: dict[str, Any] = {
        "format": _FORMAT,
        "id": item.id,
        "case_id": item.case_id,
        "volume": to_text(item.volume.encode("utf-8", "surrogateescape")),
        "root": to_text(item.root),
        "path": [to_text(c) for c in item.components],
        "parent_uid": item.parent_uid,
        "size": item.size,
        "xattrs": [[to_text(name), to_text(value)] for name, value in attributes.xattrs],
        "digests": {kind: digest.hex() for kind, digest in item.digests.items()},
        "secured_ns": item.secured_ns,
        "state": item.state.value,
        "restored_to": None if item.restored_to is None else to_text(item.restored_to),
        "inode": item.inode,
        "mark": item.mark,
        "staging": to_text(item.staging),
    }
    body.update({name: getattr(attributes, name) for name in (*_NUMBERS, *_LATER_NUMBERS)})
    body["checksum"] = _checksum(body)
    return _canonical(body)


def decode(manifest: bytes) -> Item:
    """The item of a manifest.

    Raises:
        ValueError: it is damaged, or of another format.
    """
    try:
        body = json.loads(manifest)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(body, dict) or body.get("format") != _FORMAT:
        raise ValueError(f"expected a manifest of format {_FORMAT}")
    checksum = body.pop("checksum", None)
    if checksum != _checksum(body):
        raise ValueError("the checksum is not that of the content")
    try:
        return _checked(_item(body))
    except (KeyError, TypeError, AttributeError) as e:
        raise ValueError(f"a key is missing or of the wrong type ({e})") from e


def _item(body: dict[str, Any]) -> Item:
    components = tuple(from_text(c) for c in body["path"])
    if not components or any(c in (b"", b".", b"..") or b"/" in c for c in components):
        raise ValueError("the path is not a plain path below the root")
    digests = {kind: bytes.fromhex(digest) for kind, digest in body["digests"].items()}
    if len(digests["sha256"]) != hashlib.sha256().digest_size:
        raise ValueError("the SHA-256 has the wrong length")
    restored_to = body["restored_to"]
    return Item(
        id=body["id"],
        case_id=body["case_id"],
        volume=from_text(body["volume"]).decode("utf-8", "surrogateescape"),
        root=from_text(body["root"]),
        components=components,
        parent_uid=body["parent_uid"],
        size=body["size"],
        attributes=Attributes(
            xattrs=tuple((from_text(name), from_text(value)) for name, value in body["xattrs"]),
            **{name: body[name] for name in _NUMBERS},
            **{name: body.get(name, 0) for name in _LATER_NUMBERS},
        ),
        digests=digests,
        secured_ns=body["secured_ns"],
        state=ItemState(body["state"]),
        restored_to=None if restored_to is None else from_text(restored_to),
        inode=body.get("inode", 0),
        mark=body.get("mark", ""),
        staging=from_text(body.get("staging", "")),
    )


def _checked(item: Item) -> Item:
    """The item, if its values have their types: a checksum only says that they are as they were written."""
    numbers = (item.size, item.secured_ns, *(getattr(item.attributes, name) for name in _NUMBERS))
    if not all(type(n) is int for n in numbers) or type(item.parent_uid) not in (int, type(None)):
        raise ValueError("a number is none")
    if not all(type(text) is str for text in (item.id, item.case_id)):
        raise ValueError("a text is none")
    if item.size < 0 or not 0 <= item.attributes.mode <= 0o7777:
        raise ValueError("a size or a mode can't be")
    return item


def _canonical(body: Mapping[str, object]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"


def _checksum(body: Mapping[str, object]) -> str:
    return hashlib.sha256(_canonical(body)).hexdigest()
