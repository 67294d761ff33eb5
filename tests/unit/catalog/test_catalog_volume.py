"""What the catalog answers about one volume."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scanner.catalog import Catalog, DirectoryRecord, RowKey, VolumeCatalog
from scanner.catalog.digest_arrays import DigestArrays
from scanner.model.files import FileStat, FileState, KnownDirectory, KnownFile
from scanner.model.hashes import Digests, PerceptualHash
from scanner.model.profiles import profile_of

PICTURE = Digests(
    100,
    "image/jpeg",
    {"md5": b"m" * 16, "sha256": b"s" * 32},
    (PerceptualHash("pdq", "full", b"p" * 32, 88), PerceptualHash("pdq", "grid512", b"q" * 32, 90)),
)
NOT_HASHED = Digests(0, "")


def known(
    name: bytes,
    state: FileState = FileState.CLEAN,
    digests: Digests = PICTURE,
    *,
    size: int = 100,
    ctime: int = 5,
) -> KnownFile:
    return KnownFile(FileStat(name, 0, 7, size, 4, ctime, 1, 8), state, digests)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = Catalog.open(tmp_path / "catalog.sqlite")
    yield catalog
    catalog.close()


@pytest.fixture
def web(catalog: Catalog) -> VolumeCatalog:
    return catalog.volume("web", b"/srv/www", b"profile")


def write(volume: VolumeCatalog, path: bytes, *rows: KnownFile, fingerprint: bytes = b"f") -> int:
    volume.record(DirectoryRecord(path, fingerprint, rows))
    volume.commit()
    directory = volume.directory(path)
    assert directory is not None
    return directory.id


def keys(volume: VolumeCatalog) -> list[bytes]:
    return [key.name for batch in volume.iterate() for key, _ in batch]


def test_a_directory_is_unknown_until_its_record_is_committed(web: VolumeCatalog) -> None:
    web.record(DirectoryRecord(b"a", b"f", [known(b"x")]))
    assert web.directory(b"a") is None
    web.commit()
    assert web.directory(b"a") == KnownDirectory(1, b"f", 1, 0, 100, False)


def test_counts_tell_clean_from_not_media_and_leave_other_states_out(web: VolumeCatalog) -> None:
    directory_id = write(
        web,
        b"",
        known(b"clean", size=100),
        known(b"too", size=23),
        known(b"text", FileState.NOT_MEDIA, NOT_HASHED, size=1000),
        known(b"broken", FileState.UNDECODABLE, size=7),
    )
    assert web.directory(b"") == KnownDirectory(directory_id, b"f", 2, 1, 123, True)


def test_an_incomplete_record_leaves_no_fingerprint_to_rely_on(web: VolumeCatalog) -> None:
    write(web, b"a", known(b"x"))
    web.record(DirectoryRecord(b"a", b"newer", [known(b"y")], complete=False))
    web.commit()
    directory = web.directory(b"a")
    assert directory is not None
    assert (directory.fingerprint, directory.clean) == (b"", 2)


def test_a_name_both_recorded_and_removed_is_removed(web: VolumeCatalog) -> None:
    web.record(DirectoryRecord(b"a", b"f", [known(b"x"), known(b"y")], removed=[b"x"]))
    web.commit()
    assert keys(web) == [b"y"]


def test_a_later_record_wins_in_the_same_commit(web: VolumeCatalog) -> None:
    web.record(DirectoryRecord(b"a", b"1", [], removed=[b"x"]))
    web.record(DirectoryRecord(b"a", b"2", [known(b"x", ctime=1)]))
    web.record(DirectoryRecord(b"a", b"3", [known(b"x", ctime=2)]))
    web.commit()
    directory = web.directory(b"a")
    assert directory is not None
    assert directory.fingerprint == b"3"
    assert web.files(directory.id) == {b"x": known(b"x", ctime=2)}


def test_a_row_without_a_ctime_to_trust_comes_back_as_such(web: VolumeCatalog) -> None:
    directory_id = write(web, b"a", known(b"young", ctime=0))
    assert web.files(directory_id)[b"young"].stat.ctime_ns == 0


def test_the_device_is_that_of_today(catalog: Catalog, web: VolumeCatalog) -> None:
    directory_id = write(web, b"a", known(b"x"))
    remounted = catalog.volume("web", b"/srv/www", b"profile", device=66)
    assert remounted.files(directory_id)[b"x"].stat.device == 66


def test_some_files_gives_the_rows_that_are_there(web: VolumeCatalog) -> None:
    directory_id = write(web, b"a", known(b"x"), known(b"y"), known(b"z"))
    assert web.some_files(directory_id, [b"z", b"none", b"x"]) == {b"x": known(b"x"), b"z": known(b"z")}


def test_another_profile_makes_all_directories_unknown_and_keeps_their_digests(
    catalog: Catalog, web: VolumeCatalog
) -> None:
    write(web, b"a", known(b"x"))
    other = catalog.volume("web", b"/srv/www", b"other profile")
    assert other.directory(b"a") is None
    assert keys(other) == [b"x"]


def test_a_directory_recorded_with_another_profile_begins_anew(catalog: Catalog, web: VolumeCatalog) -> None:
    write(web, b"a", known(b"old"), known(b"both"))
    other = catalog.volume("web", b"/srv/www", b"other profile")
    write(other, b"a", known(b"both"), known(b"new"))
    assert keys(other) == [b"both", b"new"]
    assert web.directory(b"a") is None


def with_kinds(catalog: Catalog, *kinds: str) -> VolumeCatalog:
    return catalog.volume("web", b"/srv/www", profile_of("ground", kinds))


def lacking(volume: VolumeCatalog) -> list[tuple[bytes, list[bytes]]]:
    return [(found.path, [file.stat.name for file in found.files]) for found in volume.lacking()]


SOUND = Digests(100, "audio/ogg", {"md5": b"m" * 16, "sha256": b"s" * 32})


def test_files_that_lack_a_new_kind_are_told_newest_first_and_directories_stay_known(
    catalog: Catalog,
) -> None:
    before = with_kinds(catalog, "md5", "sha256", "pdq")
    write(before, b"old", known(b"1", ctime=5), known(b"text", FileState.NOT_MEDIA, NOT_HASHED))
    write(
        before,
        b"newer",
        known(b"2", ctime=9),
        known(b"3", FileState.UNDECODABLE, SOUND),
        known(b"4", FileState.LISTED),
    )
    write(before, b"sound", known(b"5", digests=SOUND, ctime=7))
    assert lacking(before) == []
    exact, near = with_kinds(catalog, "md5", "sha1"), with_kinds(catalog, "md5", "phash", "sha256")
    assert lacking(exact) == [(b"newer", [b"2", b"3"]), (b"sound", [b"5"]), (b"old", [b"1"])]
    assert lacking(near) == [(b"newer", [b"2"]), (b"old", [b"1"])]
    assert lacking(with_kinds(catalog, "md5")) == []
    assert [near.lacks(path) for path in (b"old/1", b"old/text", b"sound/5", b"none/1")] == [
        True,
        *[False] * 3,
    ]
    for now in (before, exact, near):
        assert now.directory(b"old") == KnownDirectory(1, b"f", 1, 1, 100, False)


def test_a_file_that_was_read_again_lacks_nothing_even_if_it_can_not_have_the_kind(catalog: Catalog) -> None:
    before = with_kinds(catalog, "md5", "pdq")
    write(before, b"a", known(b"1"), known(b"2"), known(b"3"))
    now = with_kinds(catalog, "md5", "phash")
    write(now, b"a", known(b"1"))  # PHash of this picture can't be computed
    assert lacking(now) == [(b"a", [b"1", b"2", b"3"])]  # not known of which
    write(now, b"a", known(b"1"), known(b"2"), known(b"3"))
    assert lacking(now) == []
    assert lacking(with_kinds(catalog, "md5", "phash", "pdq")) == []


def test_rows_that_lack_a_kind_that_comes_back_are_found_among_those_that_have_it(catalog: Catalog) -> None:
    before, now = with_kinds(catalog, "md5", "sha256"), with_kinds(catalog, "md5")
    only = Digests(100, "image/png", {"md5": b"m" * 16})
    write(before, b"a", known(b"1"), known(b"2"))
    write(now, b"a", known(b"2", digests=only))
    write(now, b"b", known(b"3", digests=only))
    assert lacking(now) == []
    assert lacking(before) == [(b"b", [b"3"]), (b"a", [b"2"])]


def test_volumes_keep_apart(catalog: Catalog, web: VolumeCatalog) -> None:
    write(web, b"a", known(b"x"))
    for other in (
        catalog.volume("mail", b"/srv/www", b"profile"),
        catalog.volume("web", b"/mnt", b"profile"),
    ):
        assert other.directory(b"a") is None
        assert keys(other) == []
        assert other.find([RowKey(1, b"x")]) == []
        assert other.forget_directories_not_seen([]) == 0
    assert keys(web) == [b"x"]


def test_vanished_directories_are_forgotten_and_the_others_kept(web: VolumeCatalog) -> None:
    for path in (b"", b"a", b"a/b", b"a/b/c"):
        write(web, path, known(b"in " + path))
    assert web.forget_directories_not_seen([b"a", b""]) == 2
    assert web.directory(b"a/b") is None
    assert keys(web) == [b"in ", b"in a"]


def test_what_was_just_recorded_and_not_met_is_forgotten_too(web: VolumeCatalog) -> None:
    web.record(DirectoryRecord(b"gone", b"f", [known(b"x")]))
    assert web.forget_directories_not_seen([b"there"]) == 1
    web.commit()
    assert keys(web) == []


def test_iterate_gives_each_file_with_digests_once_whatever_the_batch(web: VolumeCatalog) -> None:
    names = [b"%02d" % n for n in range(10)]
    write(web, b"big", *map(known, names), known(b"text", FileState.NOT_MEDIA, NOT_HASHED))
    write(web, b"text only", known(b"text", FileState.NOT_MEDIA, NOT_HASHED))
    write(web, b"small", known(b"last"))
    for batch in (1, 3, 5, 100):
        found = [(key.name, digests) for part in web.iterate(batch) for key, digests in part]
        assert found == [(name, PICTURE) for name in [*names, b"last"]]


def test_arrays_are_the_digests_of_the_files_they_name(web: VolumeCatalog) -> None:
    bare = Digests(1, "", {"sha512": b"z" * 64})
    views = tuple(PerceptualHash(*view) for view in (
        ("phash", "", b"1" * 8, 100), ("pdq", "full", b"1" * 32, 49), ("phash", "turn90", b"2" * 8, 100),
        ("pdq", "box", b"2" * 32, 50),
    ))  # fmt: skip
    other = Digests(1, "image/png", {"md5": b"n" * 16}, views)
    text = known(b"3", FileState.NOT_MEDIA, NOT_HASHED)
    write(web, b"a", known(b"1"), known(b"2", digests=bare), text, known(b"4", digests=other))
    write(web, b"b", known(b"5"), known(b"6", digests=other))
    write(web, b"text", text)
    whole = {key: digests for part in web.iterate() for key, digests in part}
    for batch in (1, 5, 100):
        exact: set[tuple[str, bytes, RowKey]] = set()
        near: set[tuple[str, bytes, RowKey]] = set()
        for files in web.arrays(batch):
            for kind in ("md5", "sha1", "sha256", "sha512", "other"):
                values = files.exact(kind)
                for row in range(0 if values is None else len(values)):
                    assert values is not None
                    (key,) = files.exact_keys(kind, np.array([row]))
                    exact.add((kind, values[row].tobytes(), key))
            for kind in ("pdq", "phash", "other"):
                found = files.perceptual(kind, 50)
                for value, picture in zip(*found, strict=True) if found else ():
                    (key,) = files.picture_keys(np.array([picture]))
                    near.add((kind, value.tobytes(), key))
        assert exact == {(kind, value, key) for key, d in whole.items() for kind, value in d.exact.items()}
        assert near == {
            (p.kind, p.value, key) for key, d in whole.items() for p in d.perceptual if p.quality >= 50
        }


def test_rows_may_be_marked_while_they_are_gone_through(web: VolumeCatalog) -> None:
    write(web, b"a", *(known(b"%d" % n) for n in range(6)))
    for batch in web.iterate(2):
        web.mark_listed([key for key, _ in batch])
    assert web.stats().states[FileState.LISTED] == 6


def test_a_listed_file_makes_its_directory_hot_and_nothing_else_is_changed(web: VolumeCatalog) -> None:
    directory_id = write(web, b"a", known(b"x"), known(b"y"))
    write(web, b"b", known(b"x"))
    web.mark_listed([RowKey(directory_id, b"x")])
    assert web.directory(b"a") == KnownDirectory(directory_id, b"f", 1, 0, 100, True)
    assert web.files(directory_id)[b"x"] == known(b"x", FileState.LISTED)
    other = web.directory(b"b")
    assert other is not None
    assert not other.hot


def test_a_state_set_back_lets_the_directory_cool(web: VolumeCatalog) -> None:
    directory_id = write(web, b"a", known(b"x", FileState.LISTED))
    web.set_state(RowKey(directory_id, b"x"), FileState.CLEAN)
    assert web.directory(b"a") == KnownDirectory(directory_id, b"f", 1, 0, 100, False)


def test_a_removed_row_is_not_hidden_by_the_fingerprint(web: VolumeCatalog) -> None:
    directory_id = write(web, b"a", known(b"x"), known(b"y"))
    web.remove(RowKey(directory_id, b"x"))
    assert web.directory(b"a") == KnownDirectory(directory_id, b"", 1, 0, 100, False)


def test_find_gives_paths_to_act_on_and_leaves_out_what_is_gone(web: VolumeCatalog) -> None:
    directory_id = write(web, b"a/b", known(b"x"))
    root_id = write(web, b"", known(b"y"))
    gone = [RowKey(directory_id, b"gone"), RowKey(999, b"x")]
    found = web.find([RowKey(root_id, b"y"), *gone, RowKey(directory_id, b"x")])
    assert [(ref.volume, ref.path, row) for ref, row in found] == [
        ("web", b"y", known(b"y")),
        ("web", b"a/b/x", known(b"x")),
    ]


def test_lookup_finds_a_file_by_its_path(web: VolumeCatalog) -> None:
    directory_id = write(web, b"a/b", known(b"x"))
    write(web, b"", known(b"y"))
    assert web.lookup(b"a/b/x") == (RowKey(directory_id, b"x"), known(b"x"))
    found = web.lookup(b"y")
    assert found is not None
    assert found[1] == known(b"y")
    assert web.lookup(b"a/b") is None
    assert web.lookup(b"none/x") is None


def test_the_index_that_rows_were_matched_with_is_remembered_for_each_volume(
    catalog: Catalog, web: VolumeCatalog
) -> None:
    assert web.matched_with == ""
    web.begin_matching("index-7")
    assert web.matched_with == "" == catalog.stats()[0].matched_with
    web.end_matching("index-7")
    assert catalog.volume("web", b"/srv/www", b"profile").matched_with == "index-7"
    assert catalog.volume("other", b"/", b"profile").matched_with == ""


@pytest.mark.parametrize("when", ["after", "meanwhile"])
def test_rows_of_a_scan_with_former_lists_are_not_taken_for_matched_with_the_new_ones(
    catalog: Catalog, when: str
) -> None:
    new = catalog.volume("web", b"/srv/www", b"profile", compared_with="new")
    scan = catalog.volume("web", b"/srv/www", b"profile", compared_with="former")
    new.begin_matching("new")
    if when == "after":
        new.end_matching("new")
        assert new.matched_with == "new"
    write(scan, b"a", known(b"1"))
    if when == "meanwhile":
        new.end_matching("new")
    assert new.matched_with == ""
    new.begin_matching("new")
    write(new, b"a", known(b"2"))  # compared with these lists: changes nothing
    new.end_matching("new")
    assert new.matched_with == "new"
    write(new, b"a", known(b"3"))
    assert new.matched_with == "new"


def names_in(files: DigestArrays) -> list[bytes]:
    return [key.name for key, _ in files.digests()]


def test_a_matching_is_gone_on_with_where_it_was_left(web: VolumeCatalog) -> None:
    write(web, b"a", known(b"1"))
    write(web, b"b", known(b"2"))
    write(web, b"c", known(b"3"))
    web.begin_matching("first")
    web.end_matching("first")
    web.begin_matching("second")
    for files in web.unmatched("second", 1):
        key = files.digests()[0][0]
        web.matched("second", files, [key])
        if key.name == b"2":
            break
    web.begin_matching("second")
    left = list(web.unmatched("second", 1))
    # The last directory might have gone on, so it comes again.
    assert [(names_in(files), files.since) for files in left] == [([b"2"], "first"), ([b"3"], "first")]
    web.end_matching("second")
    assert (web.matched_with, web.stats().states[FileState.LISTED]) == ("second", 2)


def test_only_what_a_scan_compared_with_other_lists_is_matched_again(
    catalog: Catalog, web: VolumeCatalog
) -> None:
    scan = catalog.volume("web", b"/srv/www", b"profile", compared_with="former")
    write(scan, b"a", known(b"1"))
    write(scan, b"b", known(b"2"))
    web.begin_matching("new")
    web.end_matching("new")
    write(scan, b"b", known(b"3"))
    web.begin_matching("new")
    assert [(names_in(files), files.since) for files in web.unmatched("new")] == [
        ([b"2", b"3"], ""),
    ]
    write(scan, b"a", known(b"1", ctime=9))
    web.end_matching("new")
    assert web.matched_with == ""
    web.begin_matching("newer")
    assert [(names_in(files), files.since) for files in web.unmatched("newer")] == [
        ([b"2", b"3"], "new"),
        ([b"1"], ""),
    ]


def test_who_joins_a_matching_takes_nothing_that_the_others_are_past(catalog: Catalog) -> None:
    scan, one, two = (
        catalog.volume("web", b"/srv/www", b"profile", compared_with=index) for index in ("old", "new", "new")
    )
    write(scan, b"d", known(b"1"))
    one.begin_matching("new")
    for files in one.unmatched("new"):
        one.matched("new", files, [])
    write(scan, b"d2", known(b"2"))  # after the one has read all that was apart
    two.begin_matching("new")
    one.end_matching("new")
    two.end_matching("new")
    assert one.matched_with == ""
    one.begin_matching("new")
    assert [names_in(files) for files in one.unmatched("new")] == [[b"2"]]


def test_what_was_being_matched_with_an_index_that_is_gone_is_matched_as_a_whole(web: VolumeCatalog) -> None:
    write(web, b"a", known(b"1"))
    web.begin_matching("first")
    web.end_matching("first")
    web.begin_matching("second")
    web.begin_matching("third")
    assert [files.since for files in web.unmatched("third")] == [""]
    web.end_matching("second")
    assert web.matched_with == ""
    assert list(web.unmatched("second")) == []


def test_stats_add_up(catalog: Catalog, web: VolumeCatalog) -> None:
    write(web, b"a", known(b"1"), known(b"2", FileState.NOT_MEDIA, NOT_HASHED))
    write(web, b"b", known(b"3", FileState.UNDECODABLE), known(b"4", FileState.LISTED))
    web.begin_matching("i")
    web.end_matching("i")
    stats = web.stats()
    assert (stats.directories, stats.files, stats.bytes, stats.with_digests) == (2, 4, 100, 3)
    assert stats.states == dict.fromkeys(FileState, 1)
    assert catalog.stats() == [stats]


def test_a_forgotten_volume_leaves_nothing(catalog: Catalog, web: VolumeCatalog) -> None:
    write(web, b"a", known(b"x"))
    catalog.forget_volume("web", b"/srv/www")
    assert catalog.stats() == []
    assert keys(catalog.volume("web", b"/srv/www", b"profile")) == []


def test_an_id_is_never_given_to_another_directory(web: VolumeCatalog) -> None:
    old = write(web, b"a", known(b"x"))
    web.forget_directories_not_seen([])
    assert write(web, b"b", known(b"x")) != old
    assert web.files(old) == {}


def test_an_exact_kind_without_a_column_is_refused_instead_of_lost(web: VolumeCatalog) -> None:
    with pytest.raises(RuntimeError, match="no column"):
        web.record(DirectoryRecord(b"a", b"f", [known(b"x", digests=Digests(1, "", {"sha384": b"x" * 48}))]))


def test_all_names_of_an_inode_are_told_in_this_volume_only(catalog: Catalog, web: VolumeCatalog) -> None:
    write(web, b"", known(b"one"))
    write(web, b"a/b", known(b"two"), known(b"three"))
    other = catalog.volume("other", b"/srv/other", b"profile")
    write(other, b"", known(b"elsewhere"))
    assert sorted(web.names_of({7})) == [(b"", b"one"), (b"a/b", b"three"), (b"a/b", b"two")]
    assert web.names_of({8, 1 << 63}) == []


def test_a_directory_of_any_size_is_kept_in_parts_and_read_in_order(web: VolumeCatalog) -> None:
    rng = random.Random(7)
    names = [b"%06d" % n for n in range(9000)]
    late = names[1000:1010] + [name + b"+%d" % n for name in names[5000:5003] for n in range(2000)]
    rng.shuffle(names)
    for start in range(0, len(names), 3000):
        directory_id = write(web, b"big", *map(known, names[start : start + 3000]))
    write(web, b"next", known(b"0"))
    seen: list[bytes] = []
    for batch in web.iterate(700):
        seen += [key.name for key, _ in batch]
        if len(seen) == 2800:  # parts are split before, at and behind the place that was come to
            write(web, b"big", *map(known, late))
    assert len(seen) == len(set(seen)), "each once"
    assert set(names) | {b"0"} <= set(seen), "all that were there throughout"
    assert seen == [*sorted(seen[:-1]), b"0"]
    web.record(DirectoryRecord(b"big", b"g", [], removed=[*names[:4000], *late]))
    web.set_state(RowKey(directory_id, names[-1]), FileState.LISTED)
    left = [name for name in names[4000:] if name not in set(late)]
    assert sorted(web.files(directory_id)) == sorted(left)
    assert web.some_files(directory_id, [*names[3998:4002], b"none"]).keys() == set(names[4000:4002]) & set(
        left
    )
    assert web.directory(b"big") == KnownDirectory(
        directory_id, b"g", len(left) - 1, 0, 100 * len(left) - 100, True
    )


def test_room_between_parts_of_a_directory_is_made_when_there_is_none(web: VolumeCatalog) -> None:
    directory_id = write(web, b"big", *(known(b"%d" % n) for n in range(3000)))
    names = {b"%d" % n for n in range(3000)}
    for n in range(12):  # always at the same place, so that the parts there are split again and again
        more = [b"1500" + b"%02d%04d" % (n, i) for i in range(2500)]
        names.update(more)
        write(web, b"big", *map(known, more))
    assert set(web.files(directory_id)) == names
    assert sorted(names) == [key.name for batch in web.iterate() for key, _ in batch]
    directory = web.directory(b"big")
    assert directory is not None
    assert directory.clean == len(names)
