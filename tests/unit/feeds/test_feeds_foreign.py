"""Lists of forensic tools, of NIST and of ClamAV, as they come and as somebody may forge them."""

from __future__ import annotations

import hashlib
import io
import struct
from pathlib import Path

import pytest
from fuzz_targets import _foreign as made

from scanner.feeds import FormatOptions, import_list
from scanner.feeds.formats import available_formats
from scanner.feeds.formats.batches import Batches
from scanner.feeds.formats.clamav import unusable
from scanner.feeds.formats.describing import describe
from scanner.model.errors import FeedFormatError, FeedRefusedError, StorageError
from scanner.model.feeds import LISTED, Entry, ImportCounts, Item, Packed
from scanner.model.hashes import KINDS


def digests(n: int) -> dict[str, str]:
    return {kind: hashlib.new(kind, b"file %d" % n).hexdigest() for kind in ("md5", "sha1", "sha256")}


def raw(n: int, kind: str) -> tuple[str, bytes]:
    return kind, bytes.fromhex(digests(n)[kind])


def row(n: int, **more: str) -> dict[str, str]:
    """Of NSRLFile.txt."""
    found = digests(n)
    return {"SHA-1": found["sha1"].upper(), "MD5": found["md5"].upper(), "CRC32": "0000ABCD", **more}


def flat(items: list[Item]) -> list[Entry]:
    entries = []
    for item in items:
        if isinstance(item, Packed):
            size = KINDS[item.kind].size
            values = [item.values[n : n + size] for n in range(0, len(item.values), size)]
            entries += [Entry(((item.kind, value),), "", item.category) for value in values]
        elif isinstance(item, Entry):
            entries.append(item)
    return entries


@pytest.fixture
def read_flat(read):
    def read_it(content, format="auto", **options):
        items, result = read(content, format, **options)
        entries = flat(items)
        assert result.counts.entries == len(entries)
        assert sum(result.counts.categories.values()) == len(entries)
        return entries, result

    return read_it


def only(*pairs: tuple[str, bytes]) -> list[Entry]:
    return [Entry((pair,), "", LISTED) for pair in pairs]


# ClamAV


def test_clamav_signatures_carry_the_digest_and_the_name_and_no_size(read_flat):
    a, b, c = digests(1), digests(2), digests(3)
    text = (
        f"# daily\n{a['md5']}:1024:Html.Some-1\n{b['sha1'].upper()}:*:Img.Any-2:73\r\n"
        f"{c['sha256']}:68:Pdf.With.Versions-3:50:120\n"
    )
    entries, result = read_flat(text.encode())
    assert result.format == "clamav"
    assert entries == [
        Entry((raw(1, "md5"),), "Html.Some-1"),
        Entry((raw(2, "sha1"),), "Img.Any-2"),
        Entry((raw(3, "sha256"),), "Pdf.With.Versions-3"),
    ]


@pytest.mark.parametrize(
    ("line", "error", "told"),
    [
        (f"45056:{'0a' * 16}:Win.Section-1\n", FeedRefusedError, r"line 2: .*\.mdb.*\.hdb"),
        ("ClamAV-VDB:15 Jan 2025:1:2:90:X:X:b:1\n", FeedRefusedError, "line 2: .*container.*sigtool"),
        (f"{'0a' * 16}:*:Any-1\n", FeedFormatError, "line 2: .*least engine version of 73"),
        (f"{'0a' * 16}:*:Any-1:72\n", FeedFormatError, "line 2: .*least engine version of 73"),
        (f"{'0a' * 16}:12", FeedFormatError, "line 2: expected hash:size:name"),
        ("z" * 70_000, FeedFormatError, "line 2: a line longer than"),
    ],
)
def test_what_is_no_clamav_digest_of_a_file_is_refused_with_the_reason(read, line, error, told):
    with pytest.raises(error, match=told):
        read(f"{digests(1)['md5']}:1:a\n{line}".encode(), "clamav")


def test_some_malformed_signatures_are_counted_but_never_a_cut_off_end(tmp_path: Path) -> None:
    lines = [f"{hashlib.md5(b'%d' % n).hexdigest()}:{n}:Name-{n}\n" for n in range(200)]
    lines[7] = "broken\n"
    (tmp_path / "list").write_text("".join(lines))

    def take(_: object) -> None: ...

    result = import_list(tmp_path / "list", "clamav", FormatOptions(), take, max_malformed=0.01)
    assert (result.counts.entries, result.counts.malformed) == (199, 1)
    assert result.counts.first_malformed == "line 8: expected hash:size:name"
    (tmp_path / "list").write_text("".join(lines)[:-20])
    with pytest.raises(FeedFormatError, match="line 200"):
        import_list(tmp_path / "list", "clamav", FormatOptions(), take, max_malformed=0.01)


def test_clamav_files_that_look_alike_are_told_by_their_names():
    for name in ("a.mdb", "b.MSB", "c.imp", "d.ign2", "main.cvd"):
        assert unusable(name)
    assert not any(map(unusable, ("a.hdb", "a.hsb", "a.fp", "a.sfp", "list.txt")))


# EnCase and C4All


def test_encase_sets_are_md5_and_a_set_cut_short_is_refused_whole(read_flat):
    values = [raw(n, "md5")[1] for n in range(3)] + [hashlib.md5(b"").digest()]
    content = made.encase(values)
    entries, result = read_flat(content)
    assert (result.format, result.counts.refused) == ("encase", {"empty_input": 1})
    assert entries == only(*(raw(n, "md5") for n in range(3)))
    for broken, where in ((content[:-1], "byte 1223"), (content[:100], "byte 1"), (b"HASH" * 300, "byte 1")):
        with pytest.raises(FeedFormatError, match=where):
            read_flat(broken, "encase")


def test_c4all_indices_give_hash_and_category_and_nothing_of_the_case(read_flat):
    content = made.c4all(
        [{"category": "1", "hash": digests(1)["md5"].upper()}, {"category": "0", "hash": digests(2)["md5"]}]
    )
    entries, result = read_flat(content)
    assert result.format == "c4all"
    assert entries == [Entry((raw(1, "md5"),), "1", "1"), Entry((raw(2, "md5"),), "2", "")]
    films = made.c4all([{"category": "2", "hash": digests(3)["md5"]}], item="Movie")
    assert read_flat(films)[0][0].category == "2"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (made.c4all([{"hash": "00"}]), "line 3: md5 has 32 hexadecimal digits"),
        (made.c4all([{"category": "1"}]), "line 3: an item without a hash"),
        (made.c4all([], before='<!DOCTYPE a [<!ENTITY b "c">]>'), "line 2: a document type"),
        (made.c4all([{"hash": digests(1)["md5"]}])[:-20], "cut short or broken"),
        (b"<ReportIndex>" + b"<a>" * 20, "more than 16 deep"),
        (b"<ReportIndex><Image><hash>" + b"0" * 2000, "more than 1024 characters"),
        (b"<ReportIndex><!--" + b"0" * (2 << 20), "a single tag or comment"),
        (b"<Other><ReportIndex/></Other>", "expected ReportIndex"),
    ],
    ids=["digits", "no-hash", "doctype", "cut", "deep", "long", "endless", "other"],
)
def test_a_c4all_index_that_is_not_one_is_refused(read, content, told):
    with pytest.raises(FeedFormatError, match=told):
        read(content, "c4all")


# What other formats read already, as the documentation says


@pytest.mark.parametrize(
    ("header", "line", "options"),
    [
        ("MD5", "{md5}", {}),  # X-Ways
        ("SHA-256", "{sha256}", {}),
        (
            '"file_id","hashset_id","file_name","directory","hash","file_size"',  # HashKeeper
            '1,2,"a, b.jpg","C:\\\\",{md5},12',
            {"format": "csv", "columns": {"hash": "md5"}},
        ),
    ],
    ids=["x-ways md5", "x-ways sha-256", "hashkeeper"],
)
def test_x_ways_text_and_hashkeeper_are_read_as_csv(read_flat, header, line, options):
    entries, result = read_flat(f"{header}\r\n{line.format(**digests(1))}\r\n".encode(), **options)
    assert result.format == "csv"
    assert [kind for e in entries for kind, _ in e.hashes] == ["md5" if "{md5}" in line else "sha256"]


# NSRL


@pytest.mark.parametrize("full", [False, True], ids=["minimal", "full"])
@pytest.mark.parametrize("kind", [None, "sha1", "md5"])
def test_nsrl_gives_one_hash_of_each_file_once(read_flat, full, kind):
    files = [tuple(digests(n // 3)[k] for k in ("sha256", "sha1", "md5")) for n in range(9)]
    entries, result = read_flat(made.rds3(files, full=full), hash=kind)
    assert result.format == "nsrl"
    assert sorted(e.hashes for e in entries) == sorted((raw(n, kind or "sha256"),) for n in range(3))


def test_nsrl_text_leaves_out_malicious_and_special_files_whatever_their_names_hold(read_flat):
    rows = [
        row(1, FileName='a","M".jpg', SpecialCode=""),
        row(2, FileName="ä.jpg", SpecialCode="M"),
        row(3, FileName="c,d", SpecialCode="S"),
        row(1, FileName="again"),
    ]
    for header in (made.RDS2, made.RDS1):
        entries, result = read_flat(made.rds2(rows, header), "nsrl-text")
        assert entries == only(raw(1, "sha1"))
        assert result.counts.refused == {"special_code": 2}
        assert read_flat(made.rds2(rows, header), "nsrl-text", hash="md5")[0] == only(raw(1, "md5"))


def test_nsrl_text_cut_short_is_refused(read):
    content = made.rds2([row(1), row(2)])
    for cut in (1, 2, 40):
        with pytest.raises(FeedFormatError, match=r"line 3: .*cut short"):
            read(content[:-cut], "nsrl-text")


def test_known_software_is_never_a_list_of_illegal_material(tmp_path: Path) -> None:
    path = tmp_path / "list"
    files = [tuple(digests(1)[k] for k in ("sha256", "sha1", "md5"))]
    for content, name in ((made.rds3(files), "auto"), (made.rds2([row(1)]), "nsrl-text")):
        path.write_bytes(content)
        with pytest.raises(FeedRefusedError, match=r"known software.*polarity: benign"):
            import_list(path, name, FormatOptions(), lambda _: None, polarity="illegal")
        assert import_list(path, name, FormatOptions(), lambda _: None, polarity="benign").counts.entries == 1


def test_a_delta_of_nsrl_is_recognised_and_refused_with_what_to_do(read):
    script = b"BEGIN TRANSACTION;\nINSERT INTO FILE (sha256, package_id) VALUES ('00', 1);\n"
    with pytest.raises(FeedFormatError, match=r"expected an SQLite database.*deltas are SQL scripts"):
        read(script)


# SQLite of strangers


def hostile(script: str) -> bytes:
    return made.database(script + made.RDS3_OTHERS)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (
            "CREATE TABLE x (package_id); CREATE VIEW FILE AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL"
            " SELECT n + 1 FROM r) SELECT hex(n) AS sha256, n AS package_id FROM r;",
            "expected a table",
        ),
        ("CREATE VIRTUAL TABLE FILE USING fts5(sha256, package_id);", "expected a table"),
        (
            "CREATE TABLE FILE (package_id, sha256 AS (hex(zeroblob(32))));"
            "INSERT INTO FILE (package_id) VALUES (1);",
            "expected a table",
        ),
        ("".join(f"CREATE TABLE t{n} (sha256, package_id);" for n in range(501)), "more than 500"),
    ],
    ids=["endless view", "virtual table", "generated column", "many tables"],
)
def test_nothing_of_a_strangers_schema_is_run(read, script, told):
    with pytest.raises((FeedFormatError, FeedRefusedError), match=told):
        read(hostile(script), "nsrl")


def test_values_as_large_as_the_file_and_of_other_types_are_no_hashes(tmp_path: Path) -> None:
    script = made.RDS3_FILE.replace("NOT NULL", "").replace("CONSTRAINT", "CHECK (1), CONSTRAINT")
    insert = "INSERT INTO FILE (sha256, package_id) VALUES (?, 1)"
    path, sink = tmp_path / "list", (lambda _: None)
    rows = [(digests(n)["sha256"],) for n in range(9)]
    path.write_bytes(made.database(script, (insert, [*rows, (7,), (None,), (b"\xff" * 64,), ("é" * 64,)])))
    result = import_list(path, "nsrl", FormatOptions(), sink, max_malformed=0.9)
    assert (result.counts.entries, result.counts.malformed) == (9, 4)
    assert result.counts.first_malformed.startswith("FILE, row ")
    path.write_bytes(made.database(script, (insert, [("0" * (3 << 20),)])))
    with pytest.raises(FeedFormatError, match="longer than its row, or than any"):
        import_list(path, "nsrl", FormatOptions(), sink, max_malformed=0.9)


def test_a_damaged_database_is_refused_whole(read):
    files = [tuple(digests(n)[k] for k in ("sha256", "sha1", "md5")) for n in range(200)]
    whole = made.rds3(files)
    for broken in (
        whole[:-4096],  # a page is missing
        whole[:-1],
        whole[:50],
        whole[:-8192] + b"\xff" * 8192,
        whole[:4096] + bytes(len(whole) - 4096),
    ):
        with pytest.raises(FeedFormatError):
            read(broken, "nsrl")


def test_a_tree_of_pages_that_names_one_page_again_and_again_is_refused(read):
    """A table whose root names one leaf 500 times, and a leaf whose every row is that small."""
    leaf_rows = 60
    content = bytearray(made.kdb([(hashlib.md5(b"%d" % n).digest(), None, None) for n in range(leaf_rows)]))
    pages = len(content) // 4096
    root = next(  # of `hashes`: the leaf page (type 0x0d) with so many cells
        n
        for n in range(1, pages)
        if content[n * 4096] == 0x0D and content[n * 4096 + 3 : n * 4096 + 5] == struct.pack(">H", leaf_rows)
    )
    leaf = bytes(content[root * 4096 : (root + 1) * 4096])
    content += leaf
    cells = 500
    place = 4096 - 5 * cells
    page = struct.pack(">BHHHBI", 5, 0, cells, place, 0, pages + 1)
    page += b"".join(struct.pack(">H", place + 5 * n) for n in range(cells))
    page = page.ljust(place, b"\0") + b"".join(struct.pack(">IB", pages + 1, 1) for _ in range(cells))
    content[root * 4096 : (root + 1) * 4096] = page
    content[28:32] = struct.pack(">I", pages + 1)
    with pytest.raises(FeedFormatError, match="leads in circles"):
        read(bytes(content), "kdb")


def test_a_database_for_which_there_is_no_room_is_a_fault_of_our_storage(tmp_path: Path) -> None:
    stream = io.BytesIO(made.kdb([(raw(1, "md5")[1], None, None)]))
    options = FormatOptions(scratch=tmp_path / "none")
    with pytest.raises(StorageError, match="room for itself once more"):
        next(iter(available_formats()["kdb"].parse(stream, options, ImportCounts())))


def test_kdb_gives_each_row_with_its_number(read_flat):
    rows = [(raw(1, "md5")[1], None, None), (raw(2, "md5")[1], raw(2, "sha1")[1], raw(2, "sha256")[1])]
    entries, result = read_flat(made.kdb(rows))
    assert result.format == "kdb"
    assert entries == [
        Entry((raw(1, "md5"),), "1"),
        Entry((raw(2, "md5"), raw(2, "sha1"), raw(2, "sha256")), "2"),
    ]


# All of them


def test_every_format_proposes_itself_alone_and_says_what_it_is():
    samples = {
        "clamav": f"{digests(1)['md5']}:1:a\n".encode(),
        "encase": made.encase([raw(1, "md5")[1]]),
        "kdb": made.kdb([(raw(1, "md5")[1], None, None)]),
        "nsrl": made.rds3([tuple(digests(1)[k] for k in ("sha256", "sha1", "md5"))]),
        "c4all": made.c4all([]).decode("utf-16").encode(),
    }
    for name, content in samples.items():
        proposed = {n for n, f in available_formats().items() if f.proposes(content[:65536]) is not None}
        assert proposed == {name}
    for form in available_formats().values():
        told = describe(form)
        assert told.summary
        assert set(told.kinds) <= set(KINDS)
    assert {n for n, f in available_formats().items() if describe(f).only_benign} == {"nsrl", "nsrl-text"}


def test_batches_drop_what_came_a_moment_ago_and_harmless_values():
    counts = ImportCounts()
    batches = Batches("md5", counts, distinct=True)
    a, b = raw(1, "md5")[1], raw(2, "md5")[1]
    assert batches.pack([a, a, hashlib.md5(b"").digest(), bytes(16)]) == Packed("md5", a)
    assert batches.pack([a]) is None
    assert batches.pack([b, a]) == Packed("md5", b)
    assert (counts.entries, counts.hashes, counts.categories) == (2, {"md5": 2}, {LISTED: 2})
    assert counts.refused == {"empty_input": 1, "all_zeros": 1}


def test_lists_are_read_from_a_stream_that_gives_little_at_a_time(monkeypatch):
    monkeypatch.setattr("scanner.feeds.formats.encase._AT_ONCE", 2)
    monkeypatch.setattr("scanner.feeds.formats.nsrl_text._AT_ONCE", 2)
    values = [raw(n, "md5")[1] for n in range(5)]
    packed = available_formats()["encase"].parse(
        io.BytesIO(made.encase(values)), FormatOptions(), ImportCounts()
    )
    assert b"".join(p.values for p in packed if isinstance(p, Packed)) == b"".join(values)
    text = made.rds2([row(n) for n in range(5)])
    found = available_formats()["nsrl-text"].parse(io.BytesIO(text), FormatOptions(), ImportCounts())
    assert len(flat(list(found))) == 5
