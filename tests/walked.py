"""What walks over small trees came to, and a catalog of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from scanner.model.files import (
    DirectoryFailed,
    DirectoryMet,
    FilesSkipped,
    FileState,
    FormerDirectory,
    KnownDirectory,
    KnownFile,
    OthersMet,
    WalkEvent,
)
from scanner.model.hashes import Digests


class Catalog:
    """Rows of what was walked, as if every file had been hashed and found clean."""

    def __init__(self) -> None:
        self.met: dict[bytes, tuple[DirectoryMet, dict[bytes, KnownFile]]] = {}

    def learn(self, events: Iterable[WalkEvent]) -> None:
        seen = set()
        before = list(self.met.values())
        for event in events:
            if isinstance(event, DirectoryMet):
                seen.add(event.path)
                if not event.cached:
                    came_from = before[event.moved_from - 1] if event.moved_from else None
                    rows = dict((came_from or self.met.get(event.path, (event, {})))[1])
                    for name in event.gone:
                        rows.pop(name, None)
                    for stat in event.changed:
                        rows[stat.name] = KnownFile(stat, FileState.CLEAN, Digests(0, ""))
                    self.met[event.path] = (event, rows)
        for path in self.met.keys() - seen:
            del self.met[path]

    def directory(self, path: bytes) -> KnownDirectory | None:
        if path not in self.met:
            return None
        event, rows = self.met[path]
        number = list(self.met).index(path) + 1
        return KnownDirectory(number, event.fingerprint, len(rows), 0, 0, hot=False, inode=event.inode)

    def formerly(self, inode: int) -> FormerDirectory | None:
        path = next((path for path, (event, _) in self.met.items() if event.inode == inode), None)
        known = None if path is None else self.directory(path)
        return None if known is None else FormerDirectory(known, path)

    def files(self, directory_id: int) -> Mapping[bytes, KnownFile]:
        return list(self.met.values())[directory_id - 1][1]

    def some_files(self, directory_id: int, names: Sequence[bytes]) -> Mapping[bytes, KnownFile]:
        rows = self.files(directory_id)
        return {name: rows[name] for name in names if name in rows}


def told(events: Iterable[WalkEvent]) -> object:
    """What a scan makes of a walk, in whatever order it came. How many files lie in what is left out is not
    compared: it is known as of the last plain walk."""
    files, others, rest = {}, Counter[str](), []
    for event in events:
        if isinstance(event, DirectoryMet):
            names = (sorted(s.name for s in event.changed), event.clean, sorted(event.gone))
            assert event.path not in files
            files[event.path] = (*names, event.fingerprint)
        elif isinstance(event, OthersMet):
            others.update(event.counts)
        elif isinstance(event, FilesSkipped):
            rest.append((event.path, event.reason))
        elif isinstance(event, DirectoryFailed):
            rest.append((event.path, event.kind))
    return files, others, sorted(rest)
