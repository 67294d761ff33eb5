"""A list of known harmless files, made from packages the operator trusts: content systems and their themes.

In June 2021 a Dutch provider switched a hash check off, since the lists behind it held pictures that come
with WordPress (security.nl 706782). A benign feed of such pictures keeps that from ever acting.

Whatever such a list names is never a hit again, so it must not be made from what customers can write to.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scanner.hashing import is_media, sniff
from scanner.model.errors import ConfigError
from scanner.system.opening import open_regular

_HEAD = 8192  # bytes by which a type is told
_CHUNK = 1 << 20  # bytes read at once
_ESCAPES = ((b"\\", b"\\\\"), (b"\n", b"\\n"), (b"\r", b"\\r"))  # as sha256sum writes names


@dataclass(slots=True)
class BenignList:
    """What was found. Mutable: filled while the trees are walked.

    Attributes:
        names: SHA-256 to the name of the first file that has it, below its tree.
        media: pictures and films met.
        unread: (path, why) of what could not be read.
    """

    names: dict[bytes, bytes] = field(default_factory=dict)
    media: int = 0
    unread: list[tuple[bytes, str]] = field(default_factory=list)

    def lines(self) -> Iterator[bytes]:
        """The list as sha256sum prints one, in the order of the digests; no path above the trees is told."""
        yield b"# known harmless files, for a feed with polarity: benign\n"
        for digest, name in sorted(self.names.items()):
            escaped = name
            for character, written in _ESCAPES:
                escaped = escaped.replace(character, written)
            mark = b"\\" if escaped != name else b""
            yield mark + digest.hex().encode("ascii") + b"  ./" + escaped + b"\n"


def list_trees(trees: Sequence[Path], volumes: Sequence[Path]) -> BenignList:
    """Digests of all pictures and films below some directories; blocking, reads only, follows no link.

    Args:
        volumes: where customers' files are: no tree may lie in one of them or hold one.

    Raises:
        ConfigError: a tree is no directory, or has to do with a volume.
    """
    found = BenignList()
    for tree in trees:
        _check_tree(tree, volumes)
    for tree in trees:
        _list(os.fsencode(tree), found)
    return found


def _check_tree(tree: Path, volumes: Sequence[Path]) -> None:
    if tree.is_symlink() or not tree.is_dir():
        raise ConfigError("expected a directory, and no link to one", where=str(tree))
    real = Path(os.path.realpath(tree))
    for volume in volumes:
        theirs = Path(os.path.realpath(volume))
        if real == theirs or theirs in real.parents or real in theirs.parents:
            raise ConfigError(
                f"this has to do with the volume {volume}, whose files are customers': "
                "what is listed here would never be a hit again",
                where=str(tree),
                remedy="Unpack the packages somewhere else, and name that directory",
            )


def _list(tree: bytes, found: BenignList) -> None:
    def unread(e: OSError) -> None:
        path = e.filename if isinstance(e.filename, bytes) else tree
        found.unread.append((path, e.strerror or type(e).__name__))

    for directory, below, names, fd in os.fwalk(tree, onerror=unread):
        below.sort()
        for name in sorted(names):
            path = os.path.join(directory, name)
            try:
                _take(fd, name, os.path.relpath(path, tree), found)
            except OSError as e:
                if os.path.islink(path):
                    continue
                found.unread.append((path, e.strerror or type(e).__name__))


def _take(directory: int, name: bytes, shown: bytes, found: BenignList) -> None:
    fd, _ = open_regular(directory, name)
    with open(fd, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor
        data = file.read(_HEAD)
        if not is_media(sniff(data)):
            return
        digest = hashlib.sha256()
        while data:
            digest.update(data)
            data = file.read(_CHUNK)
    found.media += 1
    found.names.setdefault(digest.digest(), shown)
