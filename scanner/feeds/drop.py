"""A drop folder: lists that are carried to a machine without a network, of which the newest is taken.

Whoever may write there may leave anything: links, pipes, folders, a hundred thousand files, half a list.
Nothing there is followed, removed or changed, and what was taken is remembered elsewhere.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scanner.model.errors import FeedTransportError
from scanner.model.names import display

_MOST = 10_000  # entries; a list a day makes as many in 27 years
_FUTURE = 24 * 3600 * 10**9  # nanoseconds: FAT keeps local time, which may be 14 hours off

# What programs that copy and download call a file until it is whole.
_UNFINISHED = (
    ".part", ".partial", ".filepart", ".tmp", ".temp", ".crdownload", ".download", ".upload", ".incomplete",
    ".swp", "~",
)  # fmt: skip
_SIGNATURES = (".minisig", ".sig", ".asc", ".gpg-sig", ".sigstore")
_CHECKSUMS = (".md5", ".sha1", ".sha256", ".sha512")


@dataclass(frozen=True, slots=True)
class Dropped:
    """The newest list of a folder: its open descriptor, its name, and when it was last changed."""

    descriptor: int
    name: str
    mtime_ns: int


def open_newest(folder: Path, newest_by: str, now_ns: int) -> Dropped:
    """Open the newest list; blocking. Whoever calls closes it.

    Args:
        newest_by: "time" (last change, then name) or "name".
        now_ns: a file from the future would be the newest for ever.

    Raises:
        FeedTransportError: the folder can't be read, has no list or far too much in it.
    """
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as e:
        raise _unreadable(e) from e
    try:
        name = _newest(fd, newest_by, now_ns)
        return _opened(fd, name)
    except OSError as e:
        raise _unreadable(e) from e
    finally:
        os.close(fd)


def open_companion(folder: Path, name: str, suffix: str) -> int | None:
    """Open what lies beside a list under its name and a suffix, a signature say; blocking.

    Returns:
        a descriptor of a regular file; None where there is none.
    """
    try:
        fd = os.open(folder / (name + suffix), _FLAGS)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return None


_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def _newest(fd: int, newest_by: str, now_ns: int) -> str:
    files = dict(_regular(fd))
    lists = {name: mtime for name, mtime in files.items() if _is_list(name, files)}
    if not lists:
        raise FeedTransportError(
            f"there is no list in the folder, and {len(files)} other files",
            remedy="Put one there by renaming, and leave it there while it is in use",
        )
    name = max(lists) if newest_by == "name" else max(lists, key=lambda name: (lists[name], name))
    if newest_by == "time" and lists[name] > now_ns + _FUTURE:
        raise FeedTransportError(
            f"the newest list in the folder, {display(name)}, was last changed in the future",
            remedy="Check this machine's clock, and touch the file",
        )
    return name


def _regular(fd: int) -> Iterator[tuple[str, int]]:
    with os.scandir(fd) as entries:
        for number, entry in enumerate(entries):
            if number >= _MOST:
                raise FeedTransportError(
                    f"the folder has more than {_MOST} entries", remedy="Remove what is no longer needed"
                )
            if entry.is_file(follow_symlinks=False):
                try:
                    yield entry.name, entry.stat(follow_symlinks=False).st_mtime_ns
                except FileNotFoundError:
                    continue  # renamed while we look: by its new name it is seen now or at the next turn


def _is_list(name: str, files: dict[str, int]) -> bool:
    small = name.lower()
    if small.startswith((".", "~")) or small.endswith((*_UNFINISHED, *_SIGNATURES)):
        return False
    # `known.md5` may well be a list of MD5s; `export.json.md5` is a checksum, even if it comes first.
    stem, suffix = os.path.splitext(name)
    return suffix.lower() not in _CHECKSUMS or not (stem in files or "." in stem)


def _opened(folder: int, name: str) -> Dropped:
    fd = os.open(name, _FLAGS, dir_fd=folder)
    st = os.fstat(fd)
    if stat.S_ISREG(st.st_mode):
        return Dropped(fd, name, st.st_mtime_ns)
    os.close(fd)
    raise FeedTransportError("the newest list was replaced by something else", remedy="Look who writes there")


def _unreadable(e: OSError) -> FeedTransportError:
    return FeedTransportError(
        f"the folder can't be read ({e.strerror})", remedy="Name a folder that exists and may be read"
    )
