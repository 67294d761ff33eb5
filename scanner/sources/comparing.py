"""Deciding for the files of a directory whether they are as they were when they were hashed."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field

from scanner.model.files import FileStat, FileState, KnownFile, Stat
from scanner.sources.listed import Block
from scanner.sources.listing import other_kind


@dataclass(slots=True)
class Comparison:
    """What became of the files of a block; the fields are those of DirectoryMet.

    Attributes:
        young: some file changed so lately that another change could have the same ctime.
        names: names of all files compared, as bytes.
    """

    changed: list[FileStat] = field(default_factory=list)
    known: list[KnownFile] = field(default_factory=list)
    clean: int = 0
    not_media: int = 0
    clean_bytes: int = 0
    young: bool = False
    names: list[bytes] = field(default_factory=list)


def compare(
    block: Block, names: list[bytes], rows: Mapping[bytes, KnownFile], horizon: int, others: dict[str, int]
) -> Comparison:
    """Compare files with the catalog's rows by inode, ctime and size.

    mtime is never trusted: customers set it. ctime only the kernel sets. A file younger than the horizon
    counts as changed whatever its row says.

    Args:
        names: the block's names as bytes.
        horizon: nanoseconds since 1970; what changed after it is young.
        others: what turned into something else since it was listed is counted here by type.
    """
    result = Comparison(names=names)
    for name, st in zip(names, block.stats, strict=True):
        row = rows.get(name)
        if not stat.S_ISREG(st.st_mode):
            kind = other_kind(st.st_mode)
            others[kind] = others.get(kind, 0) + 1
        elif st.st_ctime_ns > horizon:
            result.young = True
            result.changed.append(FileStat.of(name, st))
        elif row is None or not _same(row.stat, st):
            result.changed.append(FileStat.of(name, st))
        elif row.state is FileState.CLEAN:
            result.clean += 1
            result.clean_bytes += st.st_size
        elif row.state is FileState.NOT_MEDIA:
            result.not_media += 1
        else:
            result.known.append(KnownFile(FileStat.of(name, st), row.state, row.digests))
    return result


def _same(row: FileStat, st: Stat) -> bool:
    """Device numbers change over a reboot and mean nothing here: all of a directory lies on one device."""
    return (row.inode, row.ctime_ns, row.size) == (st.st_ino, st.st_ctime_ns, st.st_size)
