"""What one listing of an open directory gave: a block of entries.

A block is made in one of two ways: by Python, entry by entry (`scanner.sources.listing`), or by a few lines
of C for all entries at once (`native/listing.c`). Names and stats of the second kind become objects only
where somebody asks for them: nearly all directories are as they were, and nobody does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import starmap
from operator import attrgetter
from struct import Struct
from typing import NamedTuple

from scanner.model.files import Stat

_RECORD = Struct("<QqqI")  # inode, ctime in ns, size, mode: the type is in the mode
_MORE = Struct("<qqQQ")  # mtime in ns, blocks, links, device
_FIELDS = attrgetter("st_ino", "st_ctime_ns", "st_size", "st_mode")
# In the order of the enumeration in native/listing.c.
_OTHERS = ("symlink", "fifo", "socket", "device", "unknown")


class _NativeStat(NamedTuple):
    st_ino: int
    st_ctime_ns: int
    st_size: int
    st_mode: int
    st_mtime_ns: int
    st_blocks: int
    st_nlink: int
    st_dev: int


class Block:
    """Some entries of a directory, in the order of the file system.

    Attributes:
        files: how many regular files there are.
        directories: names of subdirectories.
        others: everything else, counted by type.
        unreadable: files whose stat was refused (or whose type, where listings don't tell it).
        failure: why the listing broke off after this block; "" if it did not.
        last: nothing comes after this block.
    """

    __slots__ = ("_names", "_packed", "_raw", "_stats", "directories", "failure", "files", "last", "others",
                 "unreadable")  # fmt: skip

    def __init__(
        self,
        names: Sequence[str] = (),
        stats: Sequence[Stat] = (),
        directories: Sequence[str] = (),
        others: Mapping[str, int] | None = None,
        *,
        unreadable: int = 0,
        failure: str = "",
        last: bool = True,
    ) -> None:
        self._names: Sequence[str] = names
        self._stats: Sequence[Stat] | None = stats
        self._raw: bytes | None = None
        self._packed = (b"", b"")
        self.files = len(names)
        self.directories = directories
        self.others = others or {}
        self.unreadable = unreadable
        self.failure = failure
        self.last = last

    @classmethod
    def packed(cls, listed: Packed, failure: str) -> Block:
        """A block as `native/listing.c` gives it."""
        files, names, records, more, directories, others, unreadable, _, last = listed
        block = cls(unreadable=unreadable, failure=failure, last=last)
        block.files, block._raw, block._packed, block._stats = files, names, (records, more), None
        if directories:
            block.directories = os.fsdecode(directories).split("\0")
        if any(others):
            block.others = {kind: count for kind, count in zip(_OTHERS, others, strict=True) if count}
        return block

    @property
    def sound(self) -> bool:
        """Whether everything that is there was seen."""
        return not self.failure and not self.unreadable

    @property
    def stats(self) -> Sequence[Stat]:
        """Of the files, in the order of `raw_names`."""
        if self._stats is None:
            records, more = self._packed
            pairs = zip(_RECORD.iter_unpack(records), _MORE.iter_unpack(more), strict=True)
            self._stats = [_NativeStat(*record, *rest) for record, rest in pairs]
        return self._stats

    def raw_names(self) -> bytes:
        """The names of the files, joined by zero bytes."""
        if self._raw is None:
            self._raw = os.fsencode("\0".join(self._names))
        return self._raw

    def records(self) -> bytes:
        """Inode, ctime, size and mode of each file, 28 bytes each, little-endian."""
        records = self._packed[0]
        return records or b"".join(starmap(_RECORD.pack, map(_FIELDS, self.stats)))

    def keep(self, wanted: Iterator[bool]) -> int:
        """Keep only some files; returns how many were dropped."""
        before, names = self.files, self.raw_names().split(b"\0") if self.files else []
        kept = [pair for pair, keep in zip(zip(names, self.stats, strict=True), wanted, strict=True) if keep]
        self._raw = b"\0".join(name for name, _ in kept)
        self._stats = [st for _, st in kept]
        self._packed = (b"", b"")
        self.files = len(kept)
        return before - self.files


Packed = tuple[int, bytes, bytes, bytes, bytes, tuple[int, ...], int, int, bool]
NativeReader = Callable[[int, int, bool], Packed]


def native_reader() -> NativeReader | None:
    """`read_block(fd, limit, by_inode)` of the extension; None where it was not built."""
    try:
        from scanner.sources import _listing
    except ImportError:
        return None
    reader: NativeReader = _listing.read_block
    return reader
