"""What would be left if the power failed: the order of writes, checked from a trace of system calls.

A kill leaves the page cache whole, so it can't show a missing sync. Here a model keeps what has reached the
disk for certain: a file's content and attributes when the file was synced, a name when its directory was, and
nothing sooner (POSIX; some file systems do more). Each rule says what must be durable before a call is made.
The rules stand in docs/durability.md under the same names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from fault_tracer import Event

_CONTENT = frozenset(
    {"write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range"}
    | {"ftruncate", "truncate", "fallocate"}
)
_ATTRIBUTES = frozenset({"fchmod", "fchown", "utimensat", "fsetxattr", "fremovexattr"})
_SYNCS = frozenset({"fsync", "fdatasync"})
_OPENS = frozenset({"open", "openat", "openat2", "creat", "mknod", "mknodat"})
_RENAMES = frozenset({"rename", "renameat", "renameat2"})
_LINKS = frozenset({"link", "linkat"})
_UNLINKS = frozenset({"unlink", "unlinkat", "rmdir"})
_MKDIRS = frozenset({"mkdir", "mkdirat"})


@dataclass(frozen=True, slots=True)
class Roles:
    """Where things are.

    Attributes:
        volume: a volume's root.
        vault, state: our directories.
    """

    volume: str
    vault: str
    state: str


def below(path: str, directory: str) -> bool:
    return path.startswith(directory.rstrip("/") + "/")


@dataclass(slots=True)
class Disk:
    """What has not reached the disk yet.

    Attributes:
        content, attributes: paths of files.
        names: directory to the names in it that came (True) or went.
    """

    content: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    names: dict[str, dict[str, bool]] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """A call was made."""
        if event.error:
            return
        call, path = event.call, event.path
        if call in _CONTENT:
            self.content.add(path)
        elif call in _ATTRIBUTES:
            self.attributes.add(path)
        elif call in _SYNCS:
            self.content.discard(path)
            self.names.pop(path, None)
            if call == "fsync":
                self.attributes.discard(path)
        elif call in _OPENS or call in _MKDIRS:
            self._name(path, came=True)
        elif call in _RENAMES:
            self._move(path, event.to)
        elif call in _LINKS:
            self._name(event.to, came=True)
        elif call in _UNLINKS:
            self._name(path, came=False)
            self.content.discard(path)
            self.attributes.discard(path)

    def _name(self, path: str, *, came: bool) -> None:
        directory, name = os.path.split(path)
        self.names.setdefault(directory, {})[name] = came

    def _move(self, source: str, target: str) -> None:
        for kept in (self.content, self.attributes):
            moved = source in kept
            kept.discard(source)
            kept.discard(target)
            if moved:
                kept.add(target)
        self._name(source, came=False)
        self._name(target, came=True)

    def names_below(self, *directories: str, went: bool = True) -> list[str]:
        """Names that came, or went, in these directories and below them."""
        return sorted(
            os.path.join(directory, name)
            for directory, names in self.names.items()
            for name, came in names.items()
            if (came or went) and any(directory == d or below(directory, d) for d in directories)
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """Before some calls, some things must have reached the disk.

    Attributes:
        name: as in the docs.
        at: the calls; None for the end of the trace.
        lacking: what of it has not reached the disk, by a look at the model before the call.
    """

    name: str
    at: Callable[[Event], bool] | None
    lacking: Callable[[Disk, Event], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule was broken: at this call these were not durable."""

    rule: str
    event: Event
    lacking: tuple[str, ...]


_END = Event("end")
# What needs not survive. Names: locks, SQLite's own side files, what every start sweeps. Content: tokens, and
# the catalog's log, which only says how files were found that can be read again.
_PASSING_NAMES = re.compile(
    r"/(owners|incoming(?!/purge)|work)(/|$)|\.sqlite-(shm|wal|journal)$|(/|\.)lock$|/\.ledger-[^/]*$"
)
# Empty directories, made anew if they are lost; with something in them it is "directory-before-entry".
_EMPTY = re.compile(r"/\.hostsweep-staging$|/objects/[0-9a-f]{2}$")
_PASSING_FILES = re.compile(r"/owners/|-shm$|/catalog\.sqlite-wal$|(/|\.)lock$")


def lint(events: Sequence[Event], rules: Sequence[Rule], *, ended: bool = True) -> Iterator[Violation]:
    """The rules that a trace breaks.

    Args:
        ended: the work came to its end: what it promised must be on the disk now.
    """
    disk = Disk()
    for event in events:
        # A call that failed did nothing, and promised nothing.
        yield from (_look(r, disk, event) for r in rules if not event.error and _broken(r, disk, event))
        disk.apply(event)
    if ended:
        yield from (_look(r, disk, _END) for r in rules if r.at is None and any(r.lacking(disk, _END)))


def _broken(rule: Rule, disk: Disk, event: Event) -> bool:
    return rule.at is not None and rule.at(event) and any(rule.lacking(disk, event))


def _look(rule: Rule, disk: Disk, event: Event) -> Violation:
    return Violation(rule.name, event, tuple(rule.lacking(disk, event)))


def needed_syncs(events: Sequence[Event]) -> Iterator[int]:
    """Positions of the syncs that bring something to the disk which must survive."""
    disk = Disk()
    for position, event in enumerate(events):
        if event.call in _SYNCS and not event.error:
            names = [f"{event.path}/{n}" for n in disk.names.get(event.path, ())]
            files = {event.path} & (disk.content | disk.attributes)
            if any(not _PASSING_NAMES.search(n) for n in names) or any(
                not _PASSING_FILES.search(f) for f in files
            ):
                yield position
        disk.apply(event)


# The rules


def rules(roles: Roles) -> tuple[Rule, ...]:
    """All rules, for an installation."""
    return (*_for_all_files(), *_securing(roles), *_vault(roles), *_feeds(roles), *_databases())


def _renames_to(pattern: str) -> Callable[[Event], bool]:
    expression = re.compile(pattern)
    return lambda e: e.call in _RENAMES and bool(expression.search(e.to))


def _unlinks(pattern: str) -> Callable[[Event], bool]:
    expression = re.compile(pattern)
    return lambda e: e.call in _UNLINKS and bool(expression.search(e.path))


def _for_all_files() -> tuple[Rule, ...]:
    def named(e: Event) -> bool:
        return e.call in _RENAMES | _LINKS

    def new_directories(disk: Disk, e: Event) -> list[str]:
        """Directories above the target whose own name may be gone."""
        found, path = [], os.path.dirname(e.to)
        while path not in ("", "/"):
            if os.path.basename(path) in disk.names.get(os.path.dirname(path), ()):
                found.append(path)
            path = os.path.dirname(path)
        return found

    def anything(disk: Disk, _: Event) -> list[str]:
        files = [f for f in disk.content | disk.attributes if not _PASSING_FILES.search(f)]
        names = [n for n in disk.names_below("/") if not _PASSING_NAMES.search(n)]
        names = [n for n in names if not _EMPTY.search(n)]
        return sorted(files) + names

    return (
        Rule("content-before-name", named, lambda d, e: {e.path} & d.content),
        Rule("attributes-before-name", named, lambda d, e: {e.path} & d.attributes),
        Rule("directory-before-entry", named, new_directories),
        Rule("all-before-the-end", None, anything),
    )


def _securing(roles: Roles) -> tuple[Rule, ...]:
    staging = f"{roles.volume}/.hostsweep-staging"

    def log(disk: Disk, _: Event) -> set[str]:
        return {p for p in disk.content if p.endswith("/ledger.sqlite-wal")}

    def moves(disk: Disk, _: Event) -> list[str]:
        return [n for n in disk.names_below(roles.volume) if not _EMPTY.search(n)]

    def into_staging(e: Event) -> bool:
        return e.call in _RENAMES and below(e.to, staging) and not below(e.path, staging)

    def copies(e: Event) -> bool:
        return e.call in _CONTENT and e.path.endswith(".part")

    def records(e: Event) -> bool:
        return e.call in _CONTENT and e.path.endswith("/ledger.sqlite-wal")

    def removes_staged(e: Event) -> bool:
        return e.call in _UNLINKS and below(e.path, staging)

    return (
        Rule("intent-before-move", into_staging, log),
        Rule("move-before-copy", copies, moves),
        Rule("manifest-before-removal", removes_staged, lambda d, e: _kept(d, roles)),
        Rule("act-before-outcome", records, moves),
        Rule("vault-before-outcome", records, lambda d, e: _kept(d, roles)),
    )


def _kept(disk: Disk, roles: Roles) -> list[str]:
    kept = disk.names_below(f"{roles.vault}/items", f"{roles.vault}/objects")
    return [n for n in kept if not _EMPTY.search(n)]


def _vault(roles: Roles) -> tuple[Rule, ...]:
    items, objects = f"{roles.vault}/items/", f"{roles.vault}/objects/"
    to_manifest = _renames_to("^" + re.escape(items))
    goes = _unlinks("^(" + re.escape(items) + "|" + re.escape(objects) + ")")

    def purge_note(disk: Disk, _: Event) -> list[str]:
        return [n for n in disk.names_below(f"{roles.vault}/incoming") if n.endswith("/purge")]

    return (
        Rule("object-before-manifest", to_manifest, lambda d, e: d.names_below(objects.rstrip("/"))),
        Rule("place-before-manifest", to_manifest, lambda d, e: d.names_below(roles.volume)),
        Rule("purge-noted-before-manifest", to_manifest, purge_note),
        Rule("place-before-discard", goes, lambda d, e: d.names_below(roles.volume)),
        Rule(
            "manifest-before-object-goes",
            _unlinks("^" + re.escape(objects)),
            lambda d, e: d.names_below(items.rstrip("/")),
        ),
    )


def _feeds(roles: Roles) -> tuple[Rule, ...]:
    feeds = f"{roles.state}/feeds"

    def names(pattern: str) -> Callable[[Disk, Event], list[str]]:
        return lambda disk, e: [n for n in disk.names_below(feeds, went=False) if re.search(pattern, n)]

    return (
        Rule("snapshot-before-state", _renames_to(r"/state\.json$"), names(r"/snapshot-[0-9]+$")),
        Rule("state-before-old-snapshot-goes", _unlinks(r"/snapshot-[0-9]+$"), names(r"/state\.json$")),
    )


def _databases() -> tuple[Rule, ...]:
    """SQLite's own order, which stands on the settings that it is given."""

    def checkpoints(e: Event) -> bool:
        return e.call in _CONTENT and e.path.endswith(".sqlite")

    def drops_log(e: Event) -> bool:
        return e.call in _UNLINKS | {"ftruncate"} and e.path.endswith(".sqlite-wal")

    def logs(disk: Disk, _: Event) -> list[str]:
        return [f for f in disk.content if f.endswith("/ledger.sqlite-wal")]

    return (
        Rule("commit-before-return", lambda e: e.call == "mark", logs),
        Rule("log-before-database", checkpoints, lambda d, e: {e.path + "-wal"} & d.content),
        Rule("database-before-log-goes", drops_log, lambda d, e: {e.path.removesuffix("-wal")} & d.content),
    )
