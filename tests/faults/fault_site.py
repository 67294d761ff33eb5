"""A whole installation in one directory: a volume, a vault, a state directory; and what must hold of it.

It is built once and put back before each fault, always at the same path, since records have absolute paths.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from scanner.app import cases
from scanner.app.app import App
from scanner.app.lists import Lists
from scanner.app.service import Service
from scanner.app.state import StateDirectory
from scanner.catalog import Catalog
from scanner.config import Config
from scanner.feeds import FormatOptions
from scanner.index import Snapshot
from scanner.ledger import Ledger
from scanner.model.feeds import FeedTerms
from scanner.model.files import FileRef, FileStat
from scanner.model.hashes import Digests
from scanner.model.matches import Action, Case, Match
from scanner.model.outcomes import ScanCounts
from scanner.pipeline.import_process import write_index
from scanner.pipeline.judging import Judge, OpenFile
from scanner.pipeline.reporting import Reporters
from scanner.pipeline.volume import Volume
from scanner.response import Brake, BrakeLimits, Item, ItemState, Securer
from scanner.response.attributes import Attributes, read_attributes
from scanner.system.opening import DIRECTORY_FLAGS, open_regular

CONTENT = b"a listed picture" * 4000  # 64 KB: one block of the copy, several of a file system
NAME = b"a.jpg"
DIRECTORY = b"customer/pictures"
FEED = "list"
OURS = frozenset({b".hostsweep-staging"})
MATCH = Match(kind="sha256", feed=FEED, entry="1", category="1")
_EPOCH_NS = 1_700_000_000_000_000_000  # any fixed moment: files older than this test


class _Matcher:
    """Says that everything is listed."""

    id = "index-1"

    def match(self, digests: Digests) -> tuple[Match, ...]:
        return (MATCH,)


def copy_tree(source: Path, target: Path) -> None:
    """Copy with owner, mode, times and extended attributes."""
    st = source.lstat()
    if stat.S_ISDIR(st.st_mode):
        target.mkdir()
        for entry in os.scandir(source):
            copy_tree(Path(entry.path), target / entry.name)
    else:
        shutil.copyfile(source, target)
    os.chown(target, st.st_uid, st.st_gid)
    target.chmod(stat.S_IMODE(st.st_mode))
    for name in os.listxattr(source):
        os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(st.st_atime_ns, st.st_mtime_ns))


def digests_of(content: bytes) -> Digests:
    exact = {k: hashlib.new(k, content, usedforsecurity=False).digest() for k in ("md5", "sha1", "sha256")}
    return Digests(size=len(content), media_type="image/jpeg", exact=exact)


@dataclass(frozen=True, slots=True)
class Known:
    """What a file is besides its content, as far as it must come back."""

    content: bytes
    uid: int
    gid: int
    mode: int
    mtime_ns: int
    xattrs: tuple[tuple[bytes, bytes], ...]

    @classmethod
    def of(cls, path: Path) -> Known:
        fd, st = open_regular(_directory(path.parent), os.fsencode(path.name))
        try:
            a = read_attributes(fd)
            content = os.pread(fd, st.st_size + 1, 0)
        finally:
            os.close(fd)
        return cls(content, a.uid, a.gid, a.mode, a.mtime_ns, a.xattrs)

    def is_kept(self, attributes: Attributes) -> bool:
        a = attributes
        return (self.uid, self.gid, self.mode, self.mtime_ns, self.xattrs) == (
            a.uid, a.gid, a.mode, a.mtime_ns, a.xattrs,
        )  # fmt: skip


def _directory(path: Path) -> int:
    """A descriptor for one call; the few there are end with the process."""
    return os.open(path, DIRECTORY_FLAGS)


class Site:
    """One installation. `work` functions run in a child that is struck; all else in the test.

    Args:
        base: an empty directory; the site is below it.
        vault: where the vault is instead, for another file system.
    """

    def __init__(self, base: Path, vault: Path | None = None) -> None:
        self.base = base
        self.root = base / "volume"
        self.file = self.root / os.fsdecode(DIRECTORY) / os.fsdecode(NAME)
        self.vault_directory = vault or base / "vault"
        self.state = StateDirectory(base / "state", self.vault_directory)
        self.export_target = base / "exported"
        self.elsewhere = base / "elsewhere"
        self._places = (self.root, self.state.path, self.vault_directory, self.elsewhere)
        self._aside = base / "aside"
        self._kept: list[tuple[Path, Path]] = []
        self._app: App | None = None
        self.known: Known | None = None
        self.strangers: dict[str, Any] = {}

    def app(self) -> App:
        """The app, as a process has it that has just started: in the test it never holds anything.

        Made once, as making one costs as much as a run.
        """
        if self._app is None:
            self._app = self._new_app()
        return self._app

    def _new_app(self) -> App:
        config = Config.model_validate(
            {
                "quarantine": {"reserve": 0},
                "feeds": ({"name": FEED, "url": "https://lists.example.org/list.txt"},),
            }
        )
        return App(config, self.state)

    # Building, and putting back

    def build(self) -> None:
        """A volume with a listed file and files of others; an installation that has run before."""
        self.file.parent.mkdir(parents=True)
        self.elsewhere.mkdir()
        neighbours = {self.file: CONTENT, self.file.with_name("b.jpg"): b"innocent"}
        neighbours[self.root / "other.txt"] = b"of another customer"
        neighbours[self.elsewhere / "mine"] = b"of the operator"
        for path, content in neighbours.items():
            path.write_bytes(content)
            path.chmod(0o640)
            if os.getuid() == 0:
                os.chown(path, 1000, 1000)
            os.setxattr(path, "user.note", b"kept")
            os.utime(path, ns=(_EPOCH_NS, _EPOCH_NS + 7))
        self.known = Known.of(self.file)
        self.strangers = self._strangers()
        self.start()

    def keep(self) -> None:
        """From here on `reset` leads back to what is there now, and nothing is held by this process."""
        self.app().owners.release()
        self._app = None
        self._aside.mkdir()
        for number, place in enumerate(self._places):
            if place.exists():
                copy_tree(place, self._aside / str(number))

    def reset(self) -> None:
        """Put everything back."""
        for number, place in enumerate(self._places):
            if place.exists():
                shutil.rmtree(place)
            if (self._aside / str(number)).exists():
                copy_tree(self._aside / str(number), place)
        self.export_target.unlink(missing_ok=True)

    def start(self) -> None:
        """A fresh start, as the daemon does it: whatever was left is put in order."""
        asyncio.run(Service(self.app()).prepare())

    # What is done

    def start_again(self) -> None:
        """What a fresh start does about what was left, without the threads that `start` has."""
        app = self.app()
        app.recover(Reporters([]))
        app.vault.prepare()

    def secure(self, digests: Digests | None = None) -> str:
        """Judge the listed file, as a scan does.

        Args:
            digests: as hashed, if the file was changed since.
        """
        hashed = digests or digests_of(CONTENT)
        app = self.app()
        root_fd, directory_fd = _directory(self.root), _directory(self.file.parent)
        with app.ledger() as ledger:
            judge = self._judge(app, ledger, root_fd)
            fd, st = open_regular(directory_fd, NAME)
            file = FileRef("web", DIRECTORY, FileStat.of(NAME, st))
            judged = judge.judge(file, hashed, ScanCounts(), lambda: OpenFile(fd, directory_fd, file.stat))
        return "secured" if judged.gone else "not secured"

    def _judge(self, app: App, ledger: Ledger, root_fd: int) -> Judge:
        owner = app.owners.own(app.ids.new())
        app.vault.prepare()
        return Judge(
            volume=Volume(name="web", root=os.fsencode(self.root)),
            matcher=_Matcher(),
            terms={FEED: FeedTerms(FEED)},
            ledger=ledger,
            brake=Brake(BrakeLimits(100, 1.0, 100)),
            root_fd=root_fd,
            securing=Securer(app.vault, ledger, app.clock, app.ids, owner),
            reporter=Reporters([]),
            clock=app.clock,
            ids=app.ids,
        )

    def restore(self, to: Path | None = None) -> None:
        app = self.app()
        (item,) = app.vault.items()
        cases.restore(app, item.id, to)

    def order(self, source: Path, descriptor: int) -> dict[str, Any]:
        """What the importing process is told."""
        return {
            "feed": FEED,
            "source": str(source),
            "descriptor": descriptor,
            "format": "auto",
            "options": asdict(FormatOptions(hash="sha256")),
            "now_ns": 1,
            "max_bytes": 1 << 20,
        }

    def swap_feed(self, source: Path) -> None:
        """Import a list and put it into use: what ListKeeper does, with the import in the same process."""
        app = self.app()
        app.state.prepare()
        with app.keeper.store.lock(FEED):
            target = app.state.work / "new.index"
            descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)  # whoever reads it closes it
            answer = write_index(self.order(source, descriptor), target)
            Snapshot.open(target).close()
            app.keeper.store.promote(FEED, target)
            app.keeper.store.record_success(
                FEED,
                app.clock.now_ns(),
                etag=source.name,
                last_modified="",
                source_sha256=answer["sha256"],
                format=answer["format"],
                counts=answer["counts"],
            )

    # What is there

    def lists(self) -> Lists:
        return self.app().keeper.open()

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        with Ledger.open(self.state.ledger) as ledger:
            yield ledger

    def has_open_steps(self) -> bool:
        if not self.state.ledger.exists():
            return False
        with self.ledger() as ledger:
            return bool(ledger.open_steps())

    def staged(self) -> list[Path]:
        folder = self.root / ".hostsweep-staging"
        return sorted(folder.iterdir()) if folder.exists() else []

    def in_place(self) -> bool:
        """Whether the file is at its place; whole and with all its metadata, or this fails."""
        if not self.file.exists():
            return False
        assert self._is_whole(Known.of(self.file)), "what is at the place is not the whole file"
        return True

    def _is_whole(self, found: Known) -> bool:
        """Whether it is the file; without its attributes only if the ledger says they could not be set."""
        if found == self.known:
            return True
        if self.known is None or replace(found, xattrs=self.known.xattrs) != self.known:
            return False
        with self.ledger() as ledger:
            return any("could not be set" in str(e.payload.get("outcome")) for e in ledger.events())

    def held(self) -> list[Item]:
        """Items that the vault has whole, with the file's metadata."""
        vault = self.app().vault
        items = [i for i in vault.items() if i.state is not ItemState.PURGED and vault.holds(i)]
        assert self.known is not None
        assert all(self.known.is_kept(i.attributes) for i in items)
        return items

    def _strangers(self) -> dict[str, Any]:
        """Everything else that is on the volume and beside it: not one inode may change."""
        found: dict[str, Any] = {}
        for top in (self.root, self.elsewhere):
            for directory, folders, files in os.walk(top):
                folders[:] = [f for f in folders if os.fsencode(f) not in OURS]
                for name in (*folders, *files):
                    path = Path(directory, name)
                    if path == self.file:
                        continue
                    st = path.lstat()
                    kept = (st.st_uid, st.st_gid, st.st_mode)
                    found[str(path)] = (*kept, Known.of(path)) if name in files else kept
        return found

    # Invariants

    def check_at_once(self) -> None:
        """What holds at every moment, before anything is put in order: the file is somewhere, whole."""
        if self.in_place() or self.held():
            return
        staged = [p for p in self.staged() if p.read_bytes() == CONTENT]
        assert staged, "the file is neither at its place nor staged nor in the vault"
        with self.ledger() as ledger:
            steps = [s.id for s in ledger.open_steps()]
        assert [p.name for p in staged] == steps, "a file is staged without an open step"

    def check_after_start(self, *, restored_to: Path | None = None) -> None:
        """What holds after a fresh start."""
        self.start()
        held, placed = self.held(), self.in_place()
        assert self._strangers_without(restored_to) == self.strangers, (
            "something of somebody else was changed"
        )
        assert self.staged() == []
        self._check_vault()
        with self.ledger() as ledger:
            assert ledger.verify().ok, ledger.verify()
            assert ledger.changed_tables() == ()
            assert ledger.open_steps() == []
            cases = ledger.list()
        for case in cases:
            self._check_case(case, held, placed)
        assert placed or held or self._purged(), "the file is neither at its place nor in the vault"
        for item in held:
            back = placed if restored_to is None else restored_to.exists()
            assert (item.state is ItemState.RESTORED) == back, "the manifest does not say where the file is"
        self._check_the_rest()

    def _check_vault(self) -> None:
        vault = self.app().vault
        report = vault.verify()
        assert report.problems == (), report.problems
        assert list((self.vault_directory / "incoming").iterdir()) == []
        needed = {i.sha256 for i in vault.items() if i.state is not ItemState.PURGED}
        for item in self._purged():
            assert item.sha256 in needed or not vault.object_path(item).exists(), "purged, and still there"

    def _check_case(self, case: Case, held: list[Item], placed: bool) -> None:
        mine = [i.id for i in held if i.case_id == case.id] + [i.id for i in self._purged()]
        if case.action is Action.QUARANTINED:
            assert case.quarantine_id in mine, "a case says quarantined, and the vault has nothing"
        else:
            assert mine == [], f"the vault has the file, but its case says {case.action}: {case.reason}"
            assert placed

    def _purged(self) -> list[Item]:
        return [i for i in self.app().vault.items() if i.state is ItemState.PURGED]

    def _check_the_rest(self) -> None:
        """The lists and the catalog open; nothing half made lies about."""
        for feed in self.lists().feeds:
            feed.snapshot.close()
        if self.state.catalog.exists():
            with closing(Catalog.open(self.state.catalog)) as catalog:
                assert catalog.note == ""
                catalog.stats()
        assert list(self.state.work.iterdir()) == []

    def _strangers_without(self, path: Path | None) -> dict[str, Any]:
        found = self._strangers()
        if path is not None and path.exists():
            assert self._is_whole(found.pop(str(path))[3]), "what was restored is not the whole file"
        return found
