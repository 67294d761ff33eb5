"""A scan secures all names and copies of what it finds, looks again at what changed, and retries later."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from racing import in_own_mounts, mount
from structlog.testing import capture_logs

import scanner.pipeline.opening as opening
import scanner.response.securing as securing
from scanner.app import App
from scanner.app.recovering import retry_steps
from scanner.app.reporters import LogReporter
from scanner.app.service import Service
from scanner.app.state import StateDirectory
from scanner.config import Config
from scanner.ledger import Ledger
from scanner.model.matches import Action, Case
from scanner.model.outcomes import ScanCounts
from scanner.model.steps import Step
from scanner.response import Item
from scanner.securer import OwnVault

LISTED = b"listed picture"


class Noted:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.hits: list[tuple[str, bytes]] = []
        self.notes: list[tuple[str, dict[str, object]]] = []

    def hit(self, case: Case, path: bytes) -> None:
        self.hits.append((str(case.action), path))

    def error(self, volume: str, path: bytes, kind: str) -> None:
        self.notes.append(("error", {"path": path, "kind": kind}))

    def skipped(self, volume: str, path: bytes, reason: str, files: int) -> None:
        """Not looked at here."""

    def progress(self, volume: str, counts: ScanCounts, queued: int, hashing: int) -> None:
        """Not looked at here."""

    def note(self, event: str, **fields: object) -> None:
        self.notes.append((event, fields))

    def of(self, event: str) -> list[dict[str, object]]:
        return [fields for name, fields in self.notes if name == event]


class Place:
    """A tree, a state directory and a list."""

    one_filesystem = True

    def __init__(self, base: Path, **quarantine: Any) -> None:
        self.base = base
        self.tree = base / "tree"
        self.tree.mkdir()
        self.list = base / "list.txt"
        self.name(LISTED)
        self.reporter = Noted()
        volume = {
            "name": "web",
            "path": str(self.tree),
            "exclude": ("left-out",),
            "one_filesystem": self.one_filesystem,
        }
        config = Config.model_validate(
            {
                "volumes": (volume,),
                "hashing": {"select": "all", "perceptual": (), "workers": 1},
                "brake": {"max_share": 1.0},
                "quarantine": {"reserve": 0, **quarantine},
            }
        )
        self.app = App(config, StateDirectory(base / "state", base / "state" / "quarantine"))
        self.service = Service(self.app)

    def name(self, *contents: bytes) -> None:
        self.list.write_text("".join(f"{hashlib.sha256(c).hexdigest()}  x\n" for c in contents))

    def put(self, path: str, content: bytes = LISTED) -> Path:
        full = self.tree / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(content)
        return full

    async def scan(self) -> ScanCounts:
        outcome = await self.app.scan_paths(
            [self.tree], [str(self.list)], self.reporter, threading.Event(), quarantine=True, full=False
        )
        assert outcome.counts.balanced
        return outcome.counts

    async def use_list(self) -> None:
        """Load the list as the daemon does after a sync."""
        self.service._use(await self.app.lists_for([str(self.list)], needed=True))

    def cases(self, **which: Any) -> dict[bytes, Case]:
        with self.app.ledger(read_only=True) as ledger:
            return {case.path: case for case in ledger.list(**which)}

    def left(self) -> list[str]:
        return sorted(str(p.relative_to(self.tree)) for p in self.tree.rglob("*") if p.is_file())

    def listed_left(self) -> list[str]:
        return [name for name in self.left() if (self.tree / name).read_bytes() == LISTED]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def link(path: Path, *others: Path) -> None:
    for other in others:
        other.parent.mkdir(parents=True, exist_ok=True)
        other.hardlink_to(path)


async def test_all_hard_links_in_the_volume_are_secured_by_one_scan(place: Place) -> None:
    first = place.put("a/one.jpg")
    link(first, *(place.tree / f"{d}/{n}.jpg" for d in "bcd" for n in "xyz"))
    place.put("a/innocent.jpg", b"innocent")
    counts = await place.scan()
    assert place.left() == ["a/innocent.jpg"]
    assert counts.secured == 10
    assert len(place.cases()) == 10
    assert all(c.action is Action.QUARANTINED for c in place.cases().values())
    assert place.reporter.of("names_left") == []


async def test_names_outside_the_volume_and_in_excluded_places_are_told(place: Place, tmp_path: Path) -> None:
    first = place.put("a/one.jpg")
    link(first, tmp_path / "outside.jpg", place.tree / "left-out/two.jpg", place.tree / "b/three.jpg")
    await place.scan()
    assert place.listed_left() == ["left-out/two.jpg"]
    (told,) = place.reporter.of("names_left")
    assert (told["volume"], told["names"]) == ("web", 2)
    case = next(c for c in place.cases().values() if c.id == told["case"])
    assert case.action is Action.QUARANTINED
    assert case.reason.endswith("2 other names not found in the volume")
    assert b'hostsweep_names_left_total{volume="web"} 2.0' in place.app.metrics.render()
    assert (tmp_path / "outside.jpg").read_bytes() == LISTED


async def test_a_new_list_secures_all_known_names_and_copies_without_a_walk(place: Place) -> None:
    first = place.put("a/one.jpg")
    link(first, place.tree / "b/two.jpg", place.tree / "c/three.jpg")
    place.put("d/copy.jpg")  # the same bytes, another inode
    place.name(b"something else")
    await place.scan()
    assert len(place.left()) == 4
    link(first, place.tree / "e/not-in-the-catalog.jpg")
    place.name(LISTED)
    await place.use_list()
    counts = await place.service.act_on_known("web", None, threading.Event())
    assert place.left() == []
    assert counts.secured == 5
    assert {c.action for c in place.cases().values()} == {Action.QUARANTINED}


class Meanwhile(OwnVault):
    """Lets somebody act once, after the manifest is written and before the original goes."""

    acts: list[Callable[[], object]]

    @classmethod
    def of(cls, app: App) -> Meanwhile:
        vault = app.vault
        made = cls(vault.directory, vault._limits, app.clock, app.ids, lambda: app.owners)
        app.vault = made
        return made

    def keep(self, item: Item) -> None:
        super().keep(item)
        if self.acts:
            self.acts.pop()()


async def test_a_file_that_changes_while_it_is_secured_is_scanned_again_at_once(place: Place) -> None:
    full = place.put("a/one.jpg")
    place.name(LISTED, b"LISTED picture")
    vault = Meanwhile.of(place.app)
    with open(full, "r+b", buffering=0) as writer:
        vault.acts = [lambda: writer.write(b"LISTED")]
        counts = await place.scan()
        after = writer.fileno()
        assert os.fstat(after).st_nlink == 0
    assert (counts.files, counts.matched, counts.secured, counts.unsecured) == (1, 1, 1, 0)
    (item,) = vault.items()
    assert vault.object_path(item).read_bytes() == b"LISTED picture", "the evidence is what is there now"
    assert place.left() == []


async def test_a_file_that_became_harmless_meanwhile_is_put_back_and_is_clean(place: Place) -> None:
    full = place.put("a/one.jpg")
    vault = Meanwhile.of(place.app)
    with open(full, "r+b", buffering=0) as writer:
        vault.acts = [lambda: writer.write(b"harmless")]
        counts = await place.scan()
    assert (counts.matched, counts.clean, counts.secured) == (0, 1, 0)
    assert full.read_bytes() == b"harmlesspicture"[:8] + LISTED[8:]
    assert vault.items() == ()


async def test_what_had_no_room_alerts_keeps_its_place_and_is_secured_once_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(tmp_path, max_size=1)
    full = place.put("a/one.jpg")
    place.put("a/innocent.jpg", b"innocent")
    counts = await place.scan()
    assert (counts.secured, counts.unsecured) == (0, 1)
    (alert,) = place.reporter.of("hit_not_secured")
    assert (alert["kind"], alert["volume"]) == ("vault_full", "web")
    assert full.exists()
    assert list(place.cases(unsecured=True)) == [b"a/one.jpg"]
    assert b"hostsweep_unsecured_cases 1.0" in place.app.metrics.render()

    await place.use_list()
    again = await place.service.retry_unsecured("web", threading.Event())
    assert (again.files, again.secured) == (1, 0), "only the unsecured case's file is looked at"

    roomy = Place.__new__(Place)
    roomy.__dict__.update(place.__dict__)
    config = place.app.config.model_copy(
        update={"quarantine": place.app.config.quarantine.model_copy(update={"max_size": None})}
    )
    roomy.app = App(config, place.app.state)
    roomy.service = Service(roomy.app)
    await roomy.use_list()
    again = await roomy.service.retry_unsecured("web", threading.Event())
    assert (again.files, again.hashed, again.secured) == (1, again.hashed, 1)
    assert place.left() == ["a/innocent.jpg"]
    assert place.cases(unsecured=True) == {}
    assert (await roomy.service.retry_unsecured("web", threading.Event())).files == 0


async def test_a_retry_hashes_what_changed_since_and_passes_over_what_is_gone(tmp_path: Path) -> None:
    place = Place(tmp_path, max_size=1)
    changed, gone, replaced = (place.put(f"{n}.jpg") for n in ("changed", "gone", "link"))
    await place.scan()
    assert len(place.cases(unsecured=True)) == 3
    changed.write_bytes(b"other content")
    gone.unlink()
    replaced.unlink()
    replaced.symlink_to(tmp_path / "list.txt")
    await place.use_list()
    counts = await place.service.retry_unsecured("web", threading.Event())
    assert (counts.files, counts.clean, counts.matched) == (1, 1, 0)


def test_an_unsecured_hit_is_logged_as_an_error() -> None:
    with capture_logs() as said:
        LogReporter().note("hit_not_secured", case="c", volume="web", kind="vault_full", reason="full")
    (event,) = said
    assert (event["event"], event["log_level"], event["kind"]) == ("hit_not_secured", "error", "vault_full")


async def test_the_access_time_on_record_is_from_before_the_scan_read_the_file(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = place.put("a/one.jpg")
    opened = opening.open_regular

    def without_the_right_to_hide_reading(directory_fd: int, name: bytes) -> tuple[int, os.stat_result]:
        fd, st = opened(directory_fd, name)
        os.close(fd)
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory_fd), st

    monkeypatch.setattr(opening, "open_regular", without_the_right_to_hide_reading)
    before = 1_500_000_000_000_000_003
    os.utime(full, ns=(before, 1_600_000_000_000_000_000))  # older than its mtime: relatime moves it
    moved: list[int] = []
    vault = Meanwhile.of(place.app)
    fd = os.open(full, os.O_RDONLY | os.O_NOATIME) if os.geteuid() == 0 else os.open(full, os.O_RDONLY)
    vault.acts = [lambda: moved.append(os.fstat(fd).st_atime_ns)]
    await place.scan()
    os.close(fd)
    if moved == [before]:
        pytest.skip("this file system moves no access times (noatime)")
    (item,) = vault.items()
    assert item.attributes.atime_ns == before


async def test_the_daemon_retries_by_itself_and_leaves_a_volume_in_scan_to_its_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scanner import daemon

    place = Place(tmp_path, max_size=1, retry_every="1s")
    retried, twice = [], asyncio.Event()

    async def retry(name: str, stop: threading.Event) -> ScanCounts:
        retried.append(name)
        if len(retried) == 2:
            twice.set()
        return ScanCounts()

    monkeypatch.setattr(daemon, "_SHORTEST_WAIT", 0.0)
    monkeypatch.setattr(place.service, "retry_unsecured", retry)
    object.__setattr__(place.app.config.quarantine, "retry_every", 0.001)
    await place.use_list()
    run = daemon._Run(place.service, daemon._Wakes(place.app))
    task = asyncio.create_task(daemon.Daemon(lambda: place.app)._retries(run))
    await asyncio.wait_for(twice.wait(), 10)
    async with run.scanning["web"]:
        before = len(retried)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(retried) <= before + 1, "one may have been under way"
    task.cancel()


def take_name_when_displaced(name: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An innocent file is swapped in before the move, and its name is taken while it is in staging."""
    begin, looked = Ledger.begin, securing.identity_at

    def swap(ledger: Ledger, step: Step) -> None:
        begin(ledger, step)
        if name.read_bytes() == LISTED:
            name.rename(name.with_name("evil"))
            innocent(name)

    def take(directory_fd: int, token: bytes) -> tuple[int, int] | None:
        if not name.exists():
            name.write_bytes(b"newcomer")
        return looked(directory_fd, token)

    monkeypatch.setattr(Ledger, "begin", swap)
    monkeypatch.setattr(securing, "identity_at", take)


def innocent(name: Path) -> None:
    name.write_bytes(b"innocent")
    name.chmod(0o640)
    os.setxattr(name, "user.note", b"kept")
    os.utime(name, ns=(1_600_000_000_000_000_000, 1_600_000_000_000_000_000))


def is_innocent(name: Path) -> bool:
    st = name.stat()
    kept = (st.st_mode & 0o777, st.st_mtime_ns, os.getxattr(name, "user.note"))
    return name.read_bytes() == b"innocent" and kept == (0o640, 1_600_000_000_000_000_000, b"kept")


@pytest.mark.parametrize("by", ["retry", "scan"])
async def test_a_displaced_file_whose_name_was_taken_is_back_without_a_restart(
    place: Place, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    name = place.put("a/one.jpg")
    with monkeypatch.context() as patch:
        take_name_when_displaced(name, patch)
        await place.scan()
    assert name.read_bytes() == b"newcomer"
    with place.app.ledger(read_only=True) as ledger:
        (step,) = ledger.open_steps()
    assert place.app.owners.ours(step.owner)
    await place.use_list()
    await place.service.retry_unsecured("web", threading.Event())
    assert name.read_bytes() == b"newcomer", "its name is still taken"

    name.unlink()
    with place.app.in_hand.hold(step.case_id):
        await place.service.retry_unsecured("web", threading.Event())
        assert not name.exists(), "a thread is still at work on it"
    if by == "retry":
        await place.service.retry_unsecured("web", threading.Event())
    else:
        place.app.recover = lambda reporter: None  # type: ignore[method-assign]
        await place.scan()
    assert is_innocent(name)
    with place.app.ledger(read_only=True) as ledger:
        assert ledger.open_steps() == []


async def test_a_retry_in_the_middle_of_a_securing_leaves_it_alone(place: Place) -> None:
    """Its step is open, its original in staging and its item whole: all that recovery needs."""
    place.put("a/one.jpg")
    await place.use_list()
    vault, seen = Meanwhile.of(place.app), []

    def retry() -> None:
        with place.app.ledger() as ledger:
            seen.extend(ledger.open_steps())
            retry_steps(ledger, vault, place.reporter, place.app.clock, place.app.in_hand, "web")
            seen.extend(ledger.open_steps())

    def in_another_thread() -> None:
        other = threading.Thread(target=retry)
        other.start()
        other.join()

    vault.acts = [in_another_thread]
    assert (await place.scan()).secured == 1
    assert len(seen) == 2 and seen[0] == seen[1]
    (case,) = place.cases().values()
    assert (case.action, place.left(), place.reporter.of("recovered")) == (Action.QUARANTINED, [], [])


async def test_the_steps_of_other_living_processes_are_never_tried_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = place.put("a/one.jpg")
    with monkeypatch.context() as patch:
        take_name_when_displaced(name, patch)
        await place.scan()
    name.unlink()
    other = Service(App(place.app.config, place.app.state))  # its own tokens, as another process has
    other._use(await other.app.lists_for([str(place.list)], needed=True))
    await other.retry_unsecured("web", threading.Event())
    assert not name.exists()
    place.app.owners.release()  # as when it dies
    await other.retry_unsecured("web", threading.Event())
    assert is_innocent(name)


async def test_a_start_removes_the_tokens_of_the_dead_that_no_open_step_names(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = place.put("a/one.jpg")
    with monkeypatch.context() as patch:
        take_name_when_displaced(name, patch)
        await place.scan()
    (named,) = place.app.state.owners.iterdir()
    content = named.read_text()
    place.app.owners.release()
    for token in (named, named.with_name("dead")):
        token.write_text(content)
    other = App(place.app.config, place.app.state)
    other.recover(place.reporter)
    assert list(other.state.owners.iterdir()) == [named], "its step can't be ended: the name is taken"
    name.unlink()
    other.recover(place.reporter)
    assert is_innocent(name) and list(other.state.owners.iterdir()) == []


async def test_a_file_that_is_put_back_by_a_retry_is_not_said_to_be_secured(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original could not be removed from staging, and was written to since by whoever had it open."""
    name = place.put("a/one.jpg")

    def refused(*of: object) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    with open(name, "r+b", buffering=0) as writer:
        with monkeypatch.context() as patch:
            patch.setattr(securing, "remove_staged", refused)
            patch.setattr("scanner.response.recovery.remove_staged", refused)
            await place.scan()
        (case,) = place.cases().values()
        assert case.action is Action.QUARANTINED and "could not be removed" in case.reason
        writer.write(b"harmless")
    with place.app.ledger() as ledger:
        retry_steps(ledger, place.app.vault, place.reporter, place.app.clock, place.app.in_hand, "web")
    assert name.read_bytes().startswith(b"harmless")
    (case,) = place.cases().values()
    assert (case.action, case.reason) == (Action.FAILED, "undone when it was tried again")


class AllMounts(Place):
    one_filesystem = False


@pytest.mark.root
@pytest.mark.parametrize("kind", [AllMounts, Place])
def test_files_on_other_mounts_are_secured_if_they_belong_to_the_volume(
    tmp_path: Path, kind: type[Place]
) -> None:
    def work() -> dict[str, object]:
        place = kind(tmp_path)
        (place.tree / "m").mkdir()
        mount("tmpfs", str(place.tree / "m"), "tmpfs")
        place.put("one.jpg")
        link(place.put("m/d/two.jpg"), place.tree / "m/e/three.jpg")
        place.name(b"something else")
        asyncio.run(place.scan())
        place.name(LISTED)
        asyncio.run(place.use_list())
        known = asyncio.run(place.service.act_on_known("web", None, threading.Event()))
        first = place.listed_left()
        link(place.put("m/d/four.jpg"), place.tree / "m/five.jpg")
        counts = asyncio.run(place.scan())
        again = asyncio.run(place.scan())
        return {
            "secured": (known.secured, counts.secured, again.secured),
            "left": (first, place.listed_left()),
            "own": again.skipped,
        }

    answer = in_own_mounts(work)
    assert "error" not in answer, answer["error"]
    if kind is AllMounts:
        assert answer == {"secured": [3, 2, 0], "left": [[], []], "own": {}}
    else:
        on_mount = ["m/d/four.jpg", "m/d/two.jpg", "m/e/three.jpg", "m/five.jpg"]
        assert answer == {"secured": [1, 0, 0], "left": [on_mount[1:3], on_mount], "own": {}}


@pytest.mark.parametrize("swaps", [1, 2, 99])
async def test_a_file_whose_name_was_swapped_is_secured_by_the_name_that_it_has_then(
    place: Place, monkeypatch: pytest.MonkeyPatch, swaps: int
) -> None:
    folder = place.put("a/0.jpg").parent
    begin, done = Ledger.begin, []

    def swap_then_begin(ledger: Ledger, step: Step) -> None:
        begin(ledger, step)
        if len(done) < swaps:  # between the intent and the move
            number = len(done)
            (folder / f"{number}.jpg").rename(folder / f"{number + 1}.jpg")
            (folder / f"{number}.jpg").write_bytes(b"innocent %d" % number)
            done.append(number)

    monkeypatch.setattr(Ledger, "begin", swap_then_begin)
    counts = await place.scan()
    assert (counts.matched, counts.secured) == (1, swaps < 3)
    assert (place.listed_left() == []) == (swaps < 3)
    for number in done:
        assert (folder / f"{number}.jpg").read_bytes() == b"innocent %d" % number
    if swaps == 99:
        assert len(done) == 3, "whoever swaps names must not hold up a scan"
        (alert,) = place.reporter.of("hit_not_secured")
        assert alert["kind"] == "raced"
        assert list(place.cases(unsecured=True)) == [b"a/0.jpg"]
