"""Writing a published tree: the next serial beside those before, visible all at once.

Order: the files of the new serial, the notification and its signature, then the pointer by renaming; what
nobody is led to any more goes last. A crash anywhere leaves the tree as it was, or as it is now.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from scanner.feeds.staging import storage_errors
from scanner.feeds.tree.lines import LineSum, key_of
from scanner.feeds.tree.notification import (
    NAME,
    POINTER,
    SIGNATURE,
    Notification,
    TreeFile,
    parse_notification,
    parse_pointer,
    pointer_json,
)
from scanner.feeds.tree.packing import MAX_UNPACKED, check, pack, split, unpack
from scanner.model.errors import FeedError, StorageError
from scanner.system.durable import sync_path, write_new

_PUBLIC = 0o644  # a web server reads them, as whatever user

_PART = 8 << 20  # bytes of lines in a part of the snapshot: some 3 MB on the wire
_MOST_DELTAS = 1000
_SERIALS_KEPT = 3  # whole ones, for those who are just reading the snapshot

Signer = Callable[[bytes, Notification], bytes]
"""Makes the signature file of a notification's bytes."""


@dataclass(frozen=True, slots=True)
class Published:
    """What was published: the serial number, and how many records came and went. `changed` is False where the
    list is what it was and nothing was written."""

    session: str
    serial: int
    entries: int
    added: int
    removed: int
    changed: bool


class TreeWriter:
    """The tree in one directory. One process at a time: hold a lock.

    Args:
        root: made if it isn't there; readable by all, as a web server needs it.
        sign: None for a tree without signatures.
    """

    def __init__(self, root: Path, sign: Signer | None = None) -> None:
        self._root = root
        self._sign = sign

    def current(self) -> Notification | None:
        """The notification that the pointer leads to, None where there is no tree yet.

        Raises:
            StorageError: it can't be read, or is damaged.
        """
        pointer = self._root / POINTER
        with storage_errors(pointer):
            try:
                data = pointer.read_bytes()
            except FileNotFoundError:
                return None
            try:
                return parse_notification((self._root / parse_pointer(data)).read_bytes())
            except FeedError as e:
                raise StorageError(
                    f"the published tree is damaged: {e.what}",
                    where=str(pointer),
                    remedy="Remove the directory and publish anew: followers take the new snapshot",
                ) from e

    def publish(
        self, feed: str, time: str, session: str, lines: Iterator[bytes], *, renew: bool = False
    ) -> Published:
        """Make the list of these lines the current one.

        Args:
            feed: what the list is called.
            time: RFC 3339 in UTC.
            session: a new UUID, for a tree that is begun.
            lines: all of the list in the order of their keys, each with its line feed.
            renew: make a new serial even where nothing changed, so that followers see that it is the newest.

        Raises:
            StorageError: the directory can't be written, or the tree in it is damaged.
        """
        old = self.current()
        serial = old.serial + 1 if old else 1
        session = old.session if old else session
        place = self._root / session / str(serial)
        with storage_errors(place):
            shutil.rmtree(place, ignore_errors=True)  # of one who died before the pointer led here
            place.mkdir(mode=0o755, parents=True)
            made = _Making(place, f"{session}/{serial}")
            made.take(self._old_lines(old), lines)
            if old and not renew and not made.added and not made.removed:
                shutil.rmtree(place)
                return Published(session, old.serial, old.entries, 0, 0, changed=False)
            deltas = self._deltas(old, made, serial)
            told = Notification(
                session, serial, time, feed, made.entries, made.sum.checksum, tuple(made.parts), deltas
            )
            self._finish(place, told)
            self._tidy(told)
        return Published(session, serial, made.entries, made.added, made.removed, changed=True)

    def _old_lines(self, old: Notification | None) -> Iterator[bytes]:
        for part in old.snapshot if old else ():
            data = (self._root / part.path).read_bytes()
            try:
                check(data, part.sha256, part.bytes)
                yield from (line[1:] for line in split(unpack(data)))
            except FeedError as e:
                raise StorageError(
                    f"the published tree is damaged: {e.what}",
                    where=part.path,
                    remedy="Remove the directory and publish anew",
                ) from e

    def _deltas(self, old: Notification | None, made: _Making, serial: int) -> tuple[TreeFile, ...]:
        """The new delta and those before, as long as all of them are less than the snapshot."""
        new = made.delta(serial) if old else None
        if old is None or new is None:
            return ()
        kept: list[TreeFile] = []
        room = sum(part.bytes for part in made.parts)
        for delta in (new, *reversed(old.deltas)):
            room -= delta.bytes
            if room < 0 or len(kept) == _MOST_DELTAS:
                break
            kept.append(delta)
        return tuple(reversed(kept))

    def _finish(self, place: Path, told: Notification) -> None:
        data = told.to_json()
        write_new(place / NAME, data, _PUBLIC)
        if self._sign is not None:
            write_new(place / SIGNATURE, self._sign(data, told), _PUBLIC)
        for directory in (place, place.parent, self._root):
            sync_path(directory)
        new = self._root / f".{POINTER}.new"
        new.unlink(missing_ok=True)
        write_new(new, pointer_json(told.session, told.serial), _PUBLIC)
        new.rename(self._root / POINTER)
        sync_path(self._root)

    def _tidy(self, told: Notification) -> None:
        """Remove what nobody is led to: old serials, but for the deltas that are still named."""
        named = {delta.path for delta in told.deltas}
        for directory in (self._root / told.session).iterdir():
            if not directory.name.isdigit() or int(directory.name) > told.serial - _SERIALS_KEPT:
                continue
            for file in directory.iterdir():
                if f"{told.session}/{directory.name}/{file.name}" not in named:
                    file.unlink()
            with suppress(OSError):  # a delta is still there
                directory.rmdir()


@dataclass(slots=True)
class _Making:
    """The files of one serial while they are written."""

    place: Path
    path: str
    entries: int = 0
    added: int = 0
    removed: int = 0
    parts: list[TreeFile] = field(default_factory=list)
    sum: LineSum = field(default_factory=LineSum)
    _part: bytearray = field(default_factory=bytearray)
    _delta: bytearray = field(default_factory=bytearray)

    def take(self, old: Iterator[bytes], new: Iterator[bytes]) -> None:
        """Go through both lists side by side."""
        before = next(old, None)
        for line in (each.rstrip(b"\n") for each in new):
            key = key_of(line)
            while before is not None and key_of(before) < key:
                self._gone(before)
                before = next(old, None)
            same = before is not None and key_of(before) == key
            if before is not None and same and before != line:
                self._gone(before)
            if before != line:
                self._came(line)
            if same:
                before = next(old, None)
            self._listed(line)
        while before is not None:
            self._gone(before)
            before = next(old, None)
        self._flush()

    def _gone(self, line: bytes) -> None:
        self.removed += 1
        self._note(b"-" + line + b"\n")

    def _came(self, line: bytes) -> None:
        self.added += 1
        self._note(b"+" + line + b"\n")

    def _note(self, signed: bytes) -> None:
        # One byte more than may be is kept, so that it is seen that there was too much.
        if len(self._delta) <= MAX_UNPACKED:
            self._delta += signed

    def _listed(self, line: bytes) -> None:
        self.entries += 1
        self.sum.add(line)
        self._part += b"+" + line + b"\n"
        if len(self._part) >= _PART:
            self._flush()

    def _flush(self) -> None:
        if self._part or not self.parts:
            self.parts.append(self._file(f"snapshot-{len(self.parts):04d}", bytes(self._part), 0))
            self._part.clear()

    def delta(self, serial: int) -> TreeFile | None:
        """The file of what came and went; None where that is too much for one."""
        if len(self._delta) > MAX_UNPACKED:
            return None
        return self._file("delta", bytes(self._delta), serial)

    def _file(self, name: str, lines: bytes, serial: int) -> TreeFile:
        packed = pack(lines)
        digest = hashlib.sha256(packed).hexdigest()
        # A part of the digest in the name: no cache can mistake one content for another.
        full = f"{name}-{digest[:16]}.gz"
        write_new(self.place / full, packed, _PUBLIC)
        return TreeFile(f"{self.path}/{full}", digest, len(packed), serial)
