"""The feeds' directory: the last good list survives everything."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from scanner.feeds import FeedState, FeedStore
from scanner.model.errors import BusyError, ConfigError, StorageError


@pytest.fixture
def store(tmp_path: Path) -> FeedStore:
    return FeedStore(tmp_path / "feeds")


def snapshot(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "new.index"
    path.write_text(content)
    return path


def succeed(store: FeedStore, now_ns: int = 1) -> FeedState:
    return store.record_success(
        "police",
        now_ns,
        etag='"1"',
        last_modified="yesterday",
        source_sha256="ab" * 32,
        format="csv",
        counts={"entries": 2},
        origin="https://x",
    )


def test_a_feed_never_tried_has_an_empty_state_and_makes_no_directory(store, tmp_path):
    assert store.state("police") == FeedState("police")
    assert store.current("police") is None
    assert store.list() == []
    assert not (tmp_path / "feeds").exists()


def test_promoting_keeps_exactly_the_current_and_the_previous_list(store, tmp_path):
    for content in "abc":
        store.promote("police", snapshot(tmp_path, content))
    assert store.current("police").read_text() == "c"
    assert store.previous("police").read_text() == "b"
    assert sorted(p.name[:8] for p in (tmp_path / "feeds/police").iterdir()) == [
        "snapshot",
        "snapshot",
        "state.js",
    ]


def test_a_snapshot_may_be_a_directory(store, tmp_path):
    for n in range(3):
        (tmp_path / "new").mkdir()
        (tmp_path / "new/part").write_text(str(n))
        store.promote("police", tmp_path / "new")
    assert (store.current("police") / "part").read_text() == "2"


def test_results_are_recorded_and_read_back_by_another_process(store, tmp_path):
    succeed(store, 5)
    store.record_not_modified("police", 6, etag='"2"')
    store.record_failure("police", "no answer", 7)
    state = FeedStore(tmp_path / "feeds").state("police")
    assert (state.etag, state.last_modified) == ('"2"', "yesterday")
    assert (state.last_success_ns, state.last_attempt_ns, state.last_error) == (6, 7, "no answer")
    assert state.results == {"updated": 1, "not_modified": 1, "failed": 1}
    assert (state.counts, state.format, state.origin) == ({"entries": 2}, "csv", "https://x")


def test_a_failure_leaves_the_list_in_use(store, tmp_path):
    store.promote("police", snapshot(tmp_path, "good"))
    store.record_failure("police", "x" * 5000, 2)
    assert store.current("police").read_text() == "good"
    assert len(store.state("police").last_error) < 1100


def test_files_are_for_their_owner_only(store, tmp_path):
    succeed(store)
    store.lock("police").release()
    root = tmp_path / "feeds"
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (root, *root.rglob("*"))}
    assert modes == {"feeds": 0o700, "police": 0o700, "state.json": 0o600, "lock": 0o600}


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"version": 2}',
        b'{"version": 1, "name": "other"}',
        b'{"version": 1, "name": "police", "etag": 5}',
        b'{"version": 1, "name": "police", "current": "../../etc/passwd"}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_state_is_set_aside_and_the_last_list_stays_in_use(store, tmp_path, damage):
    store.promote("police", snapshot(tmp_path, "old"))
    store.promote("police", snapshot(tmp_path, "good"))
    store.promote("other", snapshot(tmp_path, "other"))
    path = tmp_path / "feeds/police/state.json"
    path.write_bytes(damage)
    state = store.state("police")
    assert "state.json was damaged" in state.warning
    assert (state.etag, state.source_sha256) == ("", "")  # so that the list is fetched again
    assert store.current("police").read_text() == "good"
    assert store.previous("police").read_text() == "old"
    assert path.with_name("state.json.damaged").read_bytes() == damage
    assert [(s.name, bool(s.warning)) for s in store.list()] == [("other", False), ("police", True)]
    assert succeed(store).warning == ""


def test_a_crash_between_moving_and_recording_leaves_the_old_list_and_no_litter(store, tmp_path):
    store.promote("police", snapshot(tmp_path, "good"))
    (tmp_path / "feeds/police/snapshot-00000002").write_text("moved, never recorded")
    (tmp_path / "feeds/police/state.json.new").write_text("half")
    assert store.current("police").read_text() == "good"
    store.promote("police", snapshot(tmp_path, "next"))
    assert store.previous("police").read_text() == "good"
    assert len(list((tmp_path / "feeds/police").glob("snapshot-*"))) == 2


def test_a_snapshot_that_somebody_removed_is_no_current_list(store, tmp_path):
    store.promote("police", snapshot(tmp_path, "gone")).unlink()
    assert store.current("police") is None
    store.promote("police", snapshot(tmp_path, "new"))
    assert store.previous("police") is None


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-x", "a\n", "a" * 65, "ä", "a\0"])
def test_a_name_that_could_leave_the_directory_is_refused(store, name):
    for use in (store.state, store.current, store.lock, lambda n: store.record_failure(n, "x", 1)):
        with pytest.raises(ConfigError):
            use(name)


def test_one_process_at_a_time_syncs_a_feed(store):
    with store.lock("police"), pytest.raises(BusyError, match="feed police"):
        store.lock("police")
    store.lock("police").release()


def test_a_directory_that_cannot_be_used_is_our_own_failure(tmp_path):
    (tmp_path / "feeds").write_text("a file")
    with pytest.raises(StorageError, match="feeds"):
        FeedStore(tmp_path / "feeds").record_failure("police", "x", 1)


def test_the_state_on_disk_is_json_with_a_version(store, tmp_path):
    succeed(store)
    assert json.loads((tmp_path / "feeds/police/state.json").read_bytes())["version"] == 1


def test_a_list_just_promoted_is_not_asked_for_with_the_tags_of_the_one_before(store, tmp_path):
    """A crash between promoting and recording would else make "not modified" of another list."""
    store.promote("police", snapshot(tmp_path, "a"))
    assert succeed(store).etag == '"1"'
    store.promote("police", snapshot(tmp_path, "b"))
    state = store.state("police")
    assert (state.etag, state.last_modified, state.source_sha256) == ("", "", "")
    assert state.origin == "https://x"


@pytest.mark.parametrize(
    "record",
    [
        5,
        {},
        {"at_ns": 1, "who": "uid 0"},
        {"at_ns": -1, "who": "uid 0", "findings": []},
        {"at_ns": 1 << 70, "who": "uid 0", "findings": []},
        {"at_ns": 1, "who": 0, "findings": []},
        {"at_ns": 1, "who": "uid 0", "findings": [3]},
    ],
)
def test_a_state_whose_record_of_accepted_lists_is_damaged_is_set_aside(
    store: FeedStore, tmp_path: Path, record: object
) -> None:
    good = {"at_ns": 1, "who": "uid 0", "findings": ["shrink: it lost most"]}
    store.record_success(
        "police", 1, etag="", last_modified="", source_sha256="", format="csv", counts={}, accepted=good
    )
    assert store.state("police").accepted == [good]
    path = tmp_path / "feeds" / "police" / "state.json"
    said = json.loads(path.read_bytes())
    path.write_text(json.dumps({**said, "accepted": [record]}))
    assert "damaged" in store.state("police").warning
