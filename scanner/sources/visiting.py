"""A directory that is being looked at, and what the walk tells of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from scanner.model.files import DirectoryMet, FilesSkipped, KnownDirectory
from scanner.sources.comparing import Comparison
from scanner.sources.mail import PrivateStore


@dataclass(slots=True)
class Visit:
    """A directory being listed.

    Attributes:
        horizon: ns since 1970; files that changed later are young.
        entry: what its files are compared with.
        subvolume: as `Moves.subvolume` tells it.
        inode, moved_from: as in DirectoryMet.
        store: what in it is private mail or chat.
        skipped: files that are not looked at, by reason.
    """

    path: bytes
    horizon: int
    entry: KnownDirectory | None = None
    subvolume: bytes = b""
    inode: int = 0
    moved_from: int = 0
    store: PrivateStore | None = None
    skipped: dict[str, int] = field(default_factory=dict)

    def skip(self, reason: str, files: int) -> None:
        if files:
            self.skipped[reason] = self.skipped.get(reason, 0) + files


def unchanged(entry: KnownDirectory, fingerprint: bytes, files: int) -> bool:
    """Whether the catalog's row of a directory stands: the counts are its own check on itself."""
    return (
        entry.fingerprint == fingerprint != b"" and not entry.hot and entry.clean + entry.not_media == files
    )


def skips(here: Visit) -> Iterator[FilesSkipped]:
    """What of it was left out, by reason."""
    for reason, files in here.skipped.items():
        yield FilesSkipped(here.path, reason, files)


def cached(path: bytes, entry: KnownDirectory) -> DirectoryMet:
    """It is as the catalog has it."""
    return DirectoryMet(
        path,
        clean=entry.clean,
        not_media=entry.not_media,
        unchanged_bytes=entry.bytes,
        fingerprint=entry.fingerprint,
        cached=True,
    )


def moved(here: Visit, entry: KnownDirectory) -> DirectoryMet:
    """It is as the catalog has it at another path."""
    whole = cached(here.path, entry)
    return replace(whole, cached=False, inode=here.inode, moved_from=here.moved_from)


def met(
    here: Visit,
    result: Comparison,
    *,
    fingerprint: bytes = b"",
    gone: tuple[bytes, ...] = (),
    last: bool = True,
) -> DirectoryMet:
    """What comparing its files, or some of them, came to."""
    return DirectoryMet(
        here.path,
        changed=tuple(result.changed),
        known=tuple(result.known),
        clean=result.clean,
        not_media=result.not_media,
        unchanged_bytes=result.clean_bytes,
        gone=gone,
        fingerprint=fingerprint,
        last=last,
        inode=here.inode,
        moved_from=here.moved_from,
    )
