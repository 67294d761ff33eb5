"""A drop folder: the newest whole list is taken, whatever else lies there, and nothing there is touched."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from scanner.app import App
from scanner.app.state import StateDirectory
from scanner.config import Config
from scanner.feeds import FetchPolicy, FetchRequest, fetch
from scanner.feeds.drop import open_companion, open_newest
from scanner.model.errors import FeedTransportError

S = 10**9  # nanoseconds
NOW = 1_790_000_000 * S
DAY = 24 * 3600


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "drop"
    made.mkdir()
    return made


def put(folder: Path, name: str, seconds_ago: float = 3600, content: str = "") -> Path:
    path = folder / name
    path.write_text(content or f"content of {name}")
    os.utime(path, ns=(NOW, NOW - int(seconds_ago * S)))
    return path


def newest(folder: Path, by: str = "time") -> str:
    dropped = open_newest(folder, by, NOW)
    try:
        assert os.read(dropped.descriptor, 1 << 20) == f"content of {dropped.name}".encode()
        return dropped.name
    finally:
        os.close(dropped.descriptor)


def test_the_newest_is_the_one_changed_last_or_the_last_by_name(folder: Path) -> None:
    put(folder, "2026-11-23.json", seconds_ago=100)  # brought again
    put(folder, "2026-11-24.json", seconds_ago=5000)
    put(folder, "2026-11-22.json", seconds_ago=100)
    assert newest(folder) == "2026-11-23.json"
    assert newest(folder, "name") == "2026-11-24.json"


@pytest.mark.parametrize(
    "name",
    ["a.json.part", "a.json.PART", "a.json.tmp", "a.json.filepart", "a.crdownload", ".a.json.Xy12", ".hidden",
     "a~", "~$a.csv", "known.csv.minisig", "known.csv.asc", "known.csv.sha256", "later.csv.sha256",
     "later.json.md5", "later.csv.sig"],
)  # fmt: skip
def test_what_is_unfinished_or_goes_with_a_list_is_none(folder: Path, name: str) -> None:
    put(folder, "known.csv", seconds_ago=1000)
    put(folder, name, seconds_ago=10)
    assert newest(folder) == "known.csv"
    assert newest(folder, "name") == "known.csv"


@pytest.mark.parametrize(
    "name", ["known.md5", "known.sha256", "KNOWN", "partial.csv", "template.tmp.csv", "é.csv"]
)
def test_a_list_may_have_any_other_name(folder: Path, name: str) -> None:
    put(folder, name)
    assert newest(folder) == name


def test_only_regular_files_are_looked_at(folder: Path, tmp_path: Path) -> None:
    put(folder, "a.csv", seconds_ago=1000)
    elsewhere = put(tmp_path, "shadow", seconds_ago=1)
    (folder / "z.csv").symlink_to(elsewhere)
    (folder / "y.csv").symlink_to("nowhere")
    (folder / "x.csv").mkdir()
    os.mkfifo(folder / "w.csv")
    assert newest(folder) == "a.csv"
    assert newest(folder, "name") == "a.csv"


def test_a_folder_without_a_list_is_an_error_that_says_what_is_there(folder: Path) -> None:
    put(folder, "a.part")
    put(folder, ".b")
    with pytest.raises(FeedTransportError, match="no list in the folder, and 2 other files"):
        open_newest(folder, "time", NOW)
    with pytest.raises(FeedTransportError, match="can't be read"):
        open_newest(folder / "absent", "time", NOW)
    with pytest.raises(FeedTransportError, match="can't be read"):
        open_newest(folder / "a.part", "time", NOW)


def test_a_folder_that_was_flooded_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scanner.feeds.drop._MOST", 5)
    for n in range(5):
        put(folder, f"{n}.csv")
    assert newest(folder) == "4.csv"
    put(folder, "5.csv")
    with pytest.raises(FeedTransportError, match="more than 5 entries"):
        open_newest(folder, "time", NOW)


def test_a_list_from_the_future_would_be_the_newest_for_ever(folder: Path) -> None:
    put(folder, "a.csv")
    put(folder, "fat.csv", seconds_ago=-14 * 3600)  # a stick's local time
    assert newest(folder) == "fat.csv"
    put(folder, "bad\x1bname.csv", seconds_ago=-2 * DAY)
    with pytest.raises(FeedTransportError, match="in the future") as caught:
        open_newest(folder, "time", NOW)
    assert "\x1b" not in str(caught.value)
    assert newest(folder, "name") == "fat.csv"


def test_what_lies_beside_a_list_is_opened_by_its_suffix(folder: Path, tmp_path: Path) -> None:
    put(folder, "a.csv")
    put(folder, "a.csv.minisig")
    (folder / "a.csv.asc").symlink_to(put(tmp_path, "shadow"))
    os.mkfifo(folder / "a.csv.sig")
    fd = open_companion(folder, "a.csv", ".minisig")
    assert fd is not None and os.read(fd, 100) == b"content of a.csv.minisig"
    os.close(fd)
    assert [open_companion(folder, "a.csv", suffix) for suffix in (".asc", ".sig", ".sha256")] == [None] * 3


async def fetched(folder: Path, target: Path, sleep=None, **options):
    async def never(seconds: float) -> None:
        raise AssertionError("nothing is waited for")

    request = FetchRequest("f", f"{folder.as_uri()}/", now_ns=NOW, **options)
    return await fetch(request, None, target, sleep=sleep or never)


async def test_a_list_is_taken_once_and_the_folder_stays_as_it_is(folder: Path, tmp_path: Path) -> None:
    put(folder, "a.csv")
    got = await fetched(folder, tmp_path / "staged")
    assert (tmp_path / "staged").read_text() == "content of a.csv"
    assert (await fetched(folder, tmp_path / "again", etag=got.etag)).not_modified
    put(folder, "b.csv", seconds_ago=60)
    newer = await fetched(folder, tmp_path / "staged", etag=got.etag)
    assert (tmp_path / "staged").read_text() == "content of b.csv"
    (folder / "b.csv").unlink()  # the operator takes it back
    back = await fetched(folder, tmp_path / "staged", etag=newer.etag)
    assert (tmp_path / "staged").read_text() == "content of a.csv"
    assert not back.not_modified
    assert sorted(p.name for p in folder.iterdir()) == ["a.csv"]


async def test_a_file_that_was_changed_just_now_is_waited_for(folder: Path, tmp_path: Path) -> None:
    path = put(folder, "a.csv", seconds_ago=3)
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    await fetched(folder, tmp_path / "staged", wait)
    assert waited == [pytest.approx(FetchPolicy().settle - 3)]

    async def grow(seconds: float) -> None:
        with path.open("a") as file:
            file.write("more")

    put(folder, "a.csv", seconds_ago=3)
    with pytest.raises(FeedTransportError, match=r"still being written.*rename"):
        await fetched(folder, tmp_path / "other", grow)
    assert not (tmp_path / "other").exists()
    put(folder, "a.csv", seconds_ago=-12 * 3600)  # from the future: no longer than any other
    waited.clear()
    await fetched(folder, tmp_path / "staged", wait)
    assert waited == [FetchPolicy().settle]


async def test_nobody_confirms_a_list_by_leaving_it_where_it_is(folder: Path, tmp_path: Path) -> None:
    put(folder, "a.csv", seconds_ago=3 * DAY)
    got = await fetched(folder, tmp_path / "staged", max_age=2 * DAY)  # an old one is better than none
    assert not got.not_modified
    with pytest.raises(FeedTransportError, match="no newer list"):
        await fetched(folder, tmp_path / "again", etag=got.etag, max_age=2 * DAY)
    assert (await fetched(folder, tmp_path / "again", etag=got.etag, max_age=4 * DAY)).not_modified


async def test_a_folder_without_its_slash_is_told_apart(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FeedTransportError, match="ends with /"):
        await fetch(FetchRequest("f", folder.as_uri()), None, tmp_path / "staged")


async def test_a_folder_can_be_named_on_the_command_line(folder: Path, tmp_path: Path) -> None:
    app = App(Config(), StateDirectory(tmp_path / "state", tmp_path / "vault"))
    app.state.prepare()
    for name, digits, ago in (("old.txt", "1", 200), ("new.txt", "23", 100)):  # by the real clock
        path = put(folder, name, content="".join(f"{digit * 32}\n" for digit in digits))
        os.utime(path, (time.time() - ago,) * 2)
    feed = await app.keeper.adhoc.open(f"{folder.as_uri()}/", ())
    assert feed.snapshot.meta.entries == 2
