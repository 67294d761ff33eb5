"""A published tree: what a follower has after any course of changes is what was published."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from urllib.parse import urljoin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.feeds.exchanges import Call, Outcome, Reply
from scanner.feeds.exchanges.tree import TreeExchange
from scanner.feeds.formats.base import FormatOptions
from scanner.feeds.formats.tree import TreeFormat
from scanner.feeds.tree import packing
from scanner.feeds.tree.lines import LineSum, entry_of, line_of
from scanner.feeds.tree.notification import parse_notification
from scanner.feeds.tree.sorting import LineSorter
from scanner.feeds.tree.writing import Published, TreeWriter
from scanner.model.errors import FeedError, FeedTransportError, StorageError
from scanner.model.feeds import About, Entry, ImportCounts, Packed, Removal

SESSION = "11111111-2222-4333-8444-555555555555"
URL = "https://tree.example/list/"


def entry(n: int, **more: object) -> Entry:
    return Entry((("md5", hashlib.md5(b"%d" % n).digest()),), id=f"n{n}", key=f"n{n}", **more)  # type: ignore[arg-type]


class Site:
    """The client of a tree that lies in a directory; `change` alters what is served."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[str] = []
        self.bytes = 0
        self.change: Callable[[str, bytes], bytes | None] = lambda _, data: data

    async def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = 1 << 30,
        accept: frozenset[int] = frozenset(),
    ) -> Reply:
        assert url.startswith(URL), url
        path = url.removeprefix(URL)
        self.asked.append(path)
        file = self.root / path
        data = self.change(path, file.read_bytes()) if file.is_file() else None
        if data is None:
            if 404 in accept:
                return Reply(404, {}, b"", url)
            raise FeedTransportError("the server answered 404")
        etag = hashlib.md5(data).hexdigest()
        if headers and headers.get("If-None-Match") == etag:
            return Reply(304, {}, b"", url)
        assert len(data) <= limit
        self.bytes += len(data)
        return Reply(200, {"etag": etag}, data, urljoin(URL, path))

    async def post(self, url: str, body: bytes, **_: object) -> Reply:
        raise AssertionError("nothing is sent to a tree")


class Follower:
    """What a host has of a tree."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.memory: Mapping[str, object] = {}
        self.entries: dict[str, Entry] = {}
        self.last = Outcome()

    def sync(self) -> Follower:
        pages = _Pages()
        call = Call(URL, {}, self.memory, 0)
        self.last = asyncio.run(TreeExchange().sync(call, self.site, pages))
        if not self.last.unchanged:
            items = TreeFormat().parse_pages(iter(pages.pages), FormatOptions(), ImportCounts())
            if not self.last.partial:
                self.entries = {}
            for item in list(items):
                if isinstance(item, Removal):
                    self.entries.pop(item.key, None)
                elif isinstance(item, Entry):
                    self.entries[item.key] = item
        self.memory = json.loads(json.dumps(self.last.memory))
        return self

    @property
    def ids(self) -> set[str]:
        return {e.id for e in self.entries.values()}


class _Pages:
    def __init__(self) -> None:
        self.pages: list[bytes] = []

    async def write(self, page: bytes) -> None:
        self.pages.append(page)


def publish(root: Path, entries: Iterable[Entry]) -> Published:
    lines = sorted(line_of(e) + b"\n" for e in entries)
    return TreeWriter(root).publish("police", "2026-01-02T03:04:05Z", SESSION, iter(lines))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "tree"


@pytest.fixture
def follower(root: Path) -> Follower:
    return Follower(Site(root))


def test_a_first_sync_takes_the_snapshot_and_later_ones_take_what_changed(
    root: Path, follower: Follower
) -> None:
    assert publish(root, [entry(n, category="1") for n in range(500)]).added == 500
    assert follower.sync().ids == {f"n{n}" for n in range(500)}
    assert not follower.last.partial
    done = publish(root, [entry(n, category="2" if n == 7 else "1") for n in range(5, 503)])
    assert (done.serial, done.entries) == (2, 498)
    follower.site.bytes = 0
    follower.sync()
    assert follower.last.partial
    assert follower.ids == {f"n{n}" for n in range(5, 503)}
    assert {e.category for e in follower.entries.values() if e.id == "n7"} == {"2"}


def test_several_serials_are_caught_up_with_in_one_sync(root: Path, follower: Follower) -> None:
    publish(root, map(entry, range(300)))
    follower.sync()
    for more in (301, 302, 303):
        publish(root, map(entry, range(more - 300, more)))
    assert follower.sync().last.partial
    assert follower.ids == {f"n{n}" for n in range(3, 303)}


def test_nothing_new_is_one_small_request(root: Path, follower: Follower) -> None:
    publish(root, map(entry, range(10)))
    follower.sync()
    assert not publish(root, map(entry, range(10))).changed
    follower.site.asked.clear()
    assert follower.sync().last.unchanged
    assert follower.site.asked == ["latest.json"]


def test_a_delta_costs_no_more_on_the_wire_than_what_changed(root: Path, follower: Follower) -> None:
    publish(root, map(entry, range(5000)))
    follower.sync()
    publish(root, map(entry, range(1000, 6000)))
    follower.site.bytes = 0
    follower.sync()
    changed = sum(len(line_of(entry(n))) + 2 for n in [*range(1000), *range(5000, 6000)])
    assert follower.site.bytes < 3 * changed


@pytest.mark.parametrize("harm", ["other bytes", "cut", "gone", "not gzip"])
def test_a_delta_that_is_not_as_told_makes_the_follower_take_the_snapshot(
    root: Path, follower: Follower, harm: str
) -> None:
    publish(root, map(entry, range(200)))
    follower.sync()
    publish(root, map(entry, range(1, 201)))

    def change(path: str, data: bytes) -> bytes | None:
        if "/delta-" not in path:
            return data
        other = gzip.compress(b"+" + line_of(entry(9999)) + b"\n", mtime=0)
        return {"other bytes": other, "cut": data[:-1], "gone": None, "not gzip": b"x" * len(data)}[harm]

    follower.site.change = change
    assert not follower.sync().last.partial
    assert follower.ids == {f"n{n}" for n in range(1, 201)}


def test_a_follower_whose_list_is_not_what_it_thinks_takes_the_snapshot(
    root: Path, follower: Follower
) -> None:
    publish(root, map(entry, range(200)))
    follower.sync()
    lost = LineSum(str(follower.memory["sum"]))
    lost.remove(line_of(entry(3)))
    follower.memory = {**follower.memory, "sum": lost.carry}
    publish(root, map(entry, range(201)))
    assert not follower.sync().last.partial


def test_another_session_and_a_gap_take_the_snapshot(root: Path, follower: Follower, tmp_path: Path) -> None:
    publish(root, map(entry, range(200)))
    follower.sync()
    follower.memory = {**follower.memory, "session": "other"}
    publish(root, map(entry, range(201)))
    assert not follower.sync().last.partial
    assert not Follower(follower.site).sync().last.partial


def test_an_older_state_of_the_tree_is_refused(root: Path, follower: Follower, tmp_path: Path) -> None:
    publish(root, map(entry, range(3)))
    old = (root / "latest.json").read_bytes()
    publish(root, map(entry, range(4)))
    follower.sync()
    (root / "latest.json").write_bytes(old)
    with pytest.raises(FeedTransportError, match="serial 1, and 2"):
        follower.sync()


def test_a_snapshot_that_is_not_as_told_is_an_error(root: Path, follower: Follower) -> None:
    publish(root, map(entry, range(3)))
    follower.site.change = lambda path, data: data[:-1] + b"x" if "snapshot-" in path else data
    with pytest.raises(FeedTransportError, match="not the one its notification names"):
        follower.sync()


def test_a_notification_that_tells_of_another_list_is_an_error(root: Path, follower: Follower) -> None:
    publish(root, map(entry, range(3)))

    def change(path: str, data: bytes) -> bytes:
        told = parse_notification(data) if path.endswith("notification.json") else None
        return data.replace(told.checksum.encode(), b"0" * 64) if told else data

    follower.site.change = change
    with pytest.raises(FeedTransportError, match="not the list that the notification tells of"):
        follower.sync()


@pytest.mark.parametrize("drop", [-1, 2], ids=["last", "first"])
def test_the_import_refuses_a_tree_of_which_a_file_is_missing(
    root: Path, follower: Follower, drop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scanner.feeds.tree.writing._PART", 2000)
    publish(root, map(entry, range(100)))
    pages = _Pages()
    asyncio.run(TreeExchange().sync(Call(URL, {}, {}, 0), follower.site, pages))
    assert len(pages.pages) > 5
    del pages.pages[drop]
    with pytest.raises(FeedError):
        list(TreeFormat().parse_pages(iter(pages.pages), FormatOptions(), ImportCounts()))


def test_a_file_that_unpacks_to_too_much_ends_at_a_limit() -> None:
    bomb = gzip.compress(b"+" * (packing.MAX_UNPACKED + 10))
    with pytest.raises(FeedError, match="when unpacked"):
        packing.unpack(bomb)


def test_files_never_change_and_old_ones_go(root: Path) -> None:
    contents: dict[Path, bytes] = {}
    for end in range(300, 310):
        publish(root, map(entry, range(end)))
        for path in root.rglob("*"):
            if path.is_file() and path.name != "latest.json":
                assert contents.setdefault(path, path.read_bytes()) == path.read_bytes()
    serials = sorted(int(p.name) for p in (root / SESSION).iterdir())
    whole = [s for s in serials if (root / SESSION / str(s) / "notification.json").exists()]
    assert whole == [8, 9, 10]
    told = parse_notification((root / SESSION / "10/notification.json").read_bytes())
    assert all((root / file.path).exists() for file in (*told.snapshot, *told.deltas))
    assert sum(d.bytes for d in told.deltas) <= sum(p.bytes for p in told.snapshot)


def test_a_publication_that_was_cut_short_is_made_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(root, map(entry, range(10)))
    before = (root / "latest.json").read_bytes()
    monkeypatch.setattr(TreeWriter, "_finish", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(StorageError):
        publish(root, map(entry, range(11)))
    assert (root / "latest.json").read_bytes() == before
    monkeypatch.undo()
    assert publish(root, map(entry, range(12))).serial == 2


def test_a_damaged_tree_is_told_and_left_alone(root: Path) -> None:
    publish(root, map(entry, range(10)))
    part = next(root.rglob("snapshot-*"))
    part.write_bytes(b"x")
    with pytest.raises(StorageError, match="published tree is damaged"):
        publish(root, map(entry, range(11)))


def test_a_line_says_all_of_an_entry() -> None:
    about = About("A", ("x", "y"), 5, 7, "hotline é")
    whole = Entry((("md5", b"m" * 16), ("pdq", b"p" * 32)), "id\n1", "2", "k", 9, about)
    read = entry_of(line_of(whole), 3, ImportCounts())
    assert read is not None
    assert (read.hashes, read.id, read.category, read.about) == (whole.hashes, "id\n1", "2", about)
    assert read.changed_ns == 3


@pytest.mark.parametrize(
    "line",
    [
        b"", b"x", b"0" * 32 + b" {", b"0" * 32 + b" {}", b"0" * 32 + b' {"hashes":{}}',
        b"0" * 32 + b' {"hashes":{"md5":"00"}}', b"0" * 32 + b' {"hashes":{"md5":1}}',
        b"0" * 32 + b' {"hashes":{"md5":"' + b"1" * 32 + b'"},"more":1}',
        b"0" * 32 + b' {"hashes":{"md5":"' + b"1" * 32 + b'"},"added":-1}',
        b"0" * 32 + b" " + b'{"a":' * 20000 + b"}" * 20000,
    ],
)  # fmt: skip
def test_a_line_that_is_none_is_a_format_error_that_quotes_no_hash(line: bytes) -> None:
    with pytest.raises(FeedError) as error:
        entry_of(line, 1, ImportCounts())
    assert "1111" not in str(error.value)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sets(st.integers(0, 30), min_size=1), min_size=1, max_size=6), st.data())
def test_any_course_of_lists_ends_with_the_last_one_whenever_one_looks(
    tmp_path_factory: pytest.TempPathFactory, lists: list[set[int]], data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("tree")
    follower = Follower(Site(root))
    for numbers in lists:
        publish(root, map(entry, numbers))
        if data.draw(st.booleans()):
            assert follower.sync().ids == {f"n{n}" for n in numbers}
    assert follower.sync().ids == {f"n{n}" for n in lists[-1]}


def test_sorting_keeps_the_newest_of_a_record_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scanner.feeds.tree.sorting._RUN", 500)
    sorter = LineSorter(tmp_path)
    for n in range(50):
        sorter.add(entry(n, changed_ns=5, category="old"))
    sorter.add(entry(3, changed_ns=4, category="older"))
    sorter.add(entry(4, changed_ns=6, category="new"))
    sorter.add(Removal("n5", 5))
    sorter.add(Removal("n6", 4))
    sorter.add(Packed("md5", b"a" * 16 + b"b" * 16))
    got = [line.rstrip(b"\n") for line in sorter.lines()]
    assert len(list(tmp_path.iterdir())) > 5
    assert got == sorted(got)
    found = {e.id: e.category for e in (entry_of(line, 0, ImportCounts()) for line in got) if e}
    assert (found["n3"], found["n4"], "n5" in found, found["n6"]) == ("old", "new", False, "old")
    assert len(got) == 51
