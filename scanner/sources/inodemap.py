"""What a walk saw of a volume, by inode: enough to know later, from the inodes alone, where nothing changed.

A directory whose own inode is as it was has the names it had; a file whose inode has the ctime, size and
mode it had has its content. So where all inodes of a directory are as they were, the directory is what
the walk saw, and its fingerprint with it. Inodes are compared, not trusted: another file system at the
same place has others.

Directories stand in the order of the walk, depth first, so what lies below one is the range that follows
it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scanner.model.files import FilesSkipped
from scanner.system.inodes import INODE, Inodes

_MAGIC = b"hostsweep inodes 1\n"
_ALIGNED = 64
NO_FINGERPRINT = b"\0" * 16  # of a directory that has to be looked at each time

# Depth below the root, end of the range of what lies below, where the name ends, regular files, inode, the
# fingerprint.
DIRECTORY = np.dtype(
    [
        ("depth", "<u4"),
        ("end", "<u4"),
        ("name_end", "<u8"),
        ("files", "<u8"),
        ("inode", "<u8"),
        ("print", "V16"),
    ]
)
Directories = npt.NDArray[Any]  # of DIRECTORY
Owners = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Told:
    """What a walk told of a directory beside its files.

    Attributes:
        others: what is no file, by type.
        skipped: (path, reason, files) as in FilesSkipped.
    """

    others: Mapping[str, int] = field(default_factory=dict)
    skipped: tuple[tuple[bytes, str, int], ...] = ()

    def events(self) -> Iterator[FilesSkipped]:
        for path, reason, files in self.skipped:
            yield FilesSkipped(path, reason, files)


@dataclass(frozen=True, slots=True)
class InodeMap:
    """A volume as it was walked.

    Attributes:
        made_with: everything that decides what a walk looks at; with another value the map says nothing.
        walked_ns: when the last plain walk that this goes back to began.
        token: what the file system has to be asked for to know what changed since.
        directories: one row each, in the order of the walk.
        names: last components of the directories, one behind the other.
        inodes: of all these directories and their files, by ascending number; a file with several names is
            there several times.
        owners: the directory of each of the inodes.
        told: by directory, where there is something to tell.
    """

    made_with: str
    walked_ns: int
    token: str
    directories: Directories
    names: npt.NDArray[np.uint8]
    inodes: Inodes
    owners: Owners
    told: Mapping[int, Told]

    def __len__(self) -> int:
        return len(self.directories)

    def name(self, directory: int) -> bytes:
        ends = self.directories["name_end"]
        start = int(ends[directory - 1]) if directory else 0
        return self.names[start : int(ends[directory])].tobytes()

    def all_names(self) -> list[bytes]:
        """Of each directory the last component."""
        ends, names = self.directories["name_end"].tolist(), self.names.tobytes()
        return [names[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]

    def children(self, directory: int) -> Iterator[int]:
        ends = self.directories["end"]
        child = directory + 1
        while child < ends[directory]:
            yield child
            child = int(ends[child])

    def find(self, components: Sequence[bytes]) -> list[int]:
        """The directories along a path, as far as they are there; the root is the first."""
        found = [0] if len(self) else []
        for component in components:
            child = (
                next((c for c in self.children(found[-1]) if self.name(c) == component), None)
                if found
                else None
            )
            if child is None:
                break
            found.append(child)
        return found


def save(made: InodeMap, path: Path) -> None:
    """Write a map; the file is the old or the new one at any time, and a torn one is not read.

    Raises:
        OSError: it can't be written.
    """
    arrays = (made.directories, made.names, made.inodes, made.owners)
    told = {
        str(i): {"others": dict(t.others), "skipped": [[p.hex(), r, n] for p, r, n in t.skipped]}
        for i, t in made.told.items()
    }
    head = json.dumps(
        {
            "made_with": made.made_with,
            "walked_ns": made.walked_ns,
            "token": made.token,
            "lengths": [len(a) for a in arrays],
            "told": told,
        }
    ).encode()
    new = path.with_name(f"{path.name}.new")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as f:
            f.write(_MAGIC + len(head).to_bytes(8, "little") + head)
            for array in arrays:
                f.write(b"\0" * (-f.tell() % _ALIGNED))
                array.tofile(f)
            f.write(_MAGIC)  # written last: a file without it is not whole
            f.flush()
            os.fsync(f.fileno())
        os.rename(new, path)
    except OSError:
        new.unlink(missing_ok=True)  # where there is no room, it is the ledger's
        raise


def load(path: Path) -> InodeMap | None:
    """A map that was saved; None where there is none, or none that can be used: it is only a shortcut."""
    try:
        whole = np.memmap(path, dtype=np.uint8, mode="r")
        at = len(_MAGIC)
        if bytes(whole[:at]) != _MAGIC or bytes(whole[-at:]) != _MAGIC:
            return None
        size = int.from_bytes(bytes(whole[at : at + 8]), "little")
        head = json.loads(bytes(whole[at + 8 : at + 8 + size]))
        at += 8 + size
        arrays: list[Any] = []
        types: tuple[np.dtype[Any], ...] = (DIRECTORY, np.dtype("u1"), INODE, np.dtype("<u4"))
        for length, dtype in zip(head["lengths"], types, strict=True):
            at += -at % _ALIGNED
            arrays.append(whole[at : at + length * dtype.itemsize].view(dtype))
            at += length * dtype.itemsize
        directories, names, inodes, owners = arrays
        if at + len(_MAGIC) != len(whole) or len(inodes) != len(owners):
            return None
        told = {
            int(i): Told(t["others"], tuple((bytes.fromhex(p), r, n) for p, r, n in t["skipped"]))
            for i, t in head["told"].items()
        }
        return InodeMap(
            head["made_with"], head["walked_ns"], head["token"], directories, names, inodes, owners, told
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
