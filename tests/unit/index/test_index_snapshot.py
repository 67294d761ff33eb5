"""The snapshot file: its bytes, its refusals, its life beside readers."""

from __future__ import annotations

import hashlib
import hmac
import json
import stat
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scanner.index import ListKey, OpenFeed, Origin, Snapshot, SnapshotBuilder, SnapshotInfo, added
from scanner.index.shapes import layout_of
from scanner.model.errors import FeedRefusedError, ListKeyError, SnapshotError, StorageError
from scanner.model.feeds import LISTED, About, Entry, FeedTerms, Item, Removal

GOLDEN_V1 = Path(__file__).with_name("golden-snapshot-v1.hex")
GOLDEN_V2_OLD = Path(__file__).with_name("golden-snapshot-v2-without-hints.hex")
GOLDEN = Path(__file__).with_name("golden-snapshot-v2.hex")
KEY = ListKey(bytes(range(32)))

HIDDEN = ("md5", "sha1", "sha256")


def digest(kind: str, n: int) -> bytes:
    return hashlib.new(kind, b"entry %d" % n).digest()


FIXED = [
    Entry((("md5", digest("md5", 1)), ("sha1", digest("sha1", 1))), "case-1", "1"),
    Entry((("pdq", bytes(range(32))), ("sha1", digest("sha1", 2))), "", "2"),
    Entry((("sha1", digest("sha1", 1)),), "naïve", "1"),
    Entry((("phash", bytes(8)), ("phash", b"\xff\x00" * 4)), "", ""),
]


# What version 2 has besides: records by key, one of them taken back, and details.
CHANGED: list[Item] = [
    Entry((("md5", digest("md5", 5)),), "case-5", "1", "m-5", 7, About("A", ("x", "é"), 3, 9, "a source")),
    Removal("m-6", 8),
    Entry((("sha256", digest("sha256", 7)),), "", "1", "m-7", 9, About("A", ("x", "é"), 4, 0, "a source")),
]

ORIGIN: Origin = {"feed": "police", "format": "vics", "built_ns": 1_700_000_000_000_000_000}


def write(path: Path, entries: Sequence[Item], meta: Origin = ORIGIN, **options: Any) -> SnapshotInfo:
    builder = SnapshotBuilder(**options)
    for entry in entries:
        builder.add(entry)
    return builder.finish(path, meta=meta)


def parse(data: bytes) -> dict[str, Any]:
    """docs/index-format.md, read with nothing but struct, json, hmac and hashlib."""
    magic, version, header, total, zero, checksum = struct.unpack_from("<8sIIQQ32s", data)
    assert (magic, version, header, total, zero) == (b"HSINDEX\n", 2, 64, len(data), 0)
    assert hashlib.sha256(data[64:]).digest() == checksum
    (count,) = struct.unpack_from("<Q", data, 64)
    sections = {}
    for i in range(count):
        kind, name, offset, length = struct.unpack_from("<16s16sQQ", data, 72 + 48 * i)
        assert offset % 8 == 0
        sections[kind.rstrip(b"\0").decode(), name.rstrip(b"\0").decode()] = data[offset : offset + length]
    meta = json.loads(sections.pop(("", "meta")))
    n = meta["entries"]
    codes = struct.unpack(f"<{n}H", sections.pop(("", "categories")))
    ends = struct.unpack(f"<{n}Q", sections.pop(("", "id-ends"), bytes(8 * n)))
    ids = sections.pop(("", "ids"), b"")
    starts = (0, *ends)
    records = parse_records(sections)
    abouts = parse_abouts(sections)
    entries = [
        (ids[starts[i] : ends[i]].decode() or f"#{i + 1}", meta["categories"][codes[i]][0]) for i in range(n)
    ]
    kinds, hints = {}, {}
    for kind, says in meta["kinds"].items():
        size, count = says["size"], says["hashes"]
        keys = sections.pop((kind, "keys"))
        values = [keys[i * size : i * size + size] for i in range(count)]
        numbers = struct.unpack(f"<{count}I", sections.pop((kind, "entries")))
        assert values == sorted(values)
        kinds[kind] = [(value, entries[number]) for value, number in zip(values, numbers, strict=True)]
        if says["exact"]:
            buckets = struct.unpack("<65537I", sections.pop((kind, "starts")))
            for i, value in enumerate(values):
                bucket = value[0] * 256 + value[1]
                assert buckets[bucket] <= i < buckets[bucket + 1]
            if "key" in meta:
                hints[kind] = parse_hints(kind, sections.pop((kind, "hints")), count)
        elif (kind, "slot-order") in sections:
            check_slots(
                values,
                sections.pop((kind, "slot-shape"), bytes([16] * 17)),
                sections.pop((kind, "slot-order")),
                sections.pop((kind, "slot-starts")),
            )
    assert not sections
    found = {"meta": meta, "kinds": kinds, "entries": entries, "records": records, "abouts": abouts}
    return {**found, "hints": hints}


def parse_hints(kind: str, section: bytes, count: int) -> list[bytes]:
    """Of a list of less than 65,536 values, made with the key of bytes 0 to 31."""

    def keyed(message: bytes) -> bytes:
        return hmac.digest(bytes(range(32)), b"hints\0" + message, "sha256")

    nonce, sealed = section[:16], section[16:]
    block = hashlib.shake_256(keyed(b"stream\0" + kind.encode()) + nonce + bytes(8))
    hints = bytes(a ^ b for a, b in zip(sealed, block.digest(3 * count), strict=True))
    assert keyed(b"nonce\0" + kind.encode() + b"\0" + hashlib.sha256(hints).digest())[:16] == nonce
    return [hints[i : i + 3] for i in range(0, len(hints), 3)]


def parse_records(sections: dict[tuple[str, str], bytes]) -> dict[bytes, tuple[int, int]]:
    keys = sections.pop(("", "record-keys"), b"")
    n = len(keys) // 16
    values = [keys[i * 16 : i * 16 + 16] for i in range(n)]
    assert values == sorted(set(values))
    entries = struct.unpack(f"<{n}I", sections.pop(("", "record-entries"), b""))
    changed = struct.unpack(f"<{n}q", sections.pop(("", "record-changed"), b""))
    if n:
        buckets = struct.unpack("<65537I", sections.pop(("", "record-starts")))
        for i, value in enumerate(values):
            assert buckets[value[0] * 256 + value[1]] <= i < buckets[value[0] * 256 + value[1] + 1]
    return {v: (e, c) for v, e, c in zip(values, entries, changed, strict=True)}


def parse_abouts(sections: dict[tuple[str, str], bytes]) -> dict[int, tuple[int, int, Any]]:
    n = len(sections.get(("", "about-entries"), b"")) // 4
    columns = [
        struct.unpack(f"<{n}{code}", sections.pop(("", f"about-{name}"), b""))
        for name, code in (("entries", "I"), ("added", "q"), ("removed", "q"), ("text", "I"))
    ]
    t = len(sections.get(("", "about-ends"), b"")) // 8
    ends = (0, *struct.unpack(f"<{t}Q", sections.pop(("", "about-ends"), b"")))
    texts = sections.pop(("", "about-texts"), b"")
    told = [json.loads(texts[ends[i] : ends[i + 1]]) for i in range(t)]
    return {e: (a, r, told[x]) for e, a, r, x in zip(*columns, strict=True)}


def check_slots(values: list[bytes], shape: bytes, order: bytes, starts: bytes) -> None:
    n, bits, widths = len(values), shape[0], shape[1:]
    check, buckets = max(widths) - bits, 1 << bits
    words = struct.unpack(f"<{len(widths) * n}I", order)
    begins = struct.unpack(f"<{len(widths) * (buckets + 1)}I", starts)
    at = 0
    for slot, width in enumerate(widths):
        expected = []
        for row, value in enumerate(values):
            if check:
                digits = f"{int.from_bytes(value, 'big'):0256b}"
                number = int("".join(digits[93 * p % 256] for p in range(at, at + width)), 2)
            else:
                (number,) = struct.unpack_from("<H", value, 2 * slot)
            own = width - bits
            expected.append((number >> own, row << check | number % (1 << own)))
        at += width
        expected.sort()
        first = slot * (buckets + 1)
        assert [word for _, word in expected] == list(words[slot * n : slot * n + n])
        for bucket in {bucket for bucket, _ in expected}:
            there = [i for i, (b, _) in enumerate(expected) if b == bucket]
            low, high = begins[first + bucket : first + bucket + 2]
            assert [low, high] == [there[0], there[-1] + 1]


def compact(data: bytes) -> str:
    """Hex, 32 bytes a line, a run of equal lines as `*N`: bucket tables are long and dull."""
    lines: list[str] = []
    runs: list[int] = []
    for i in range(0, len(data), 32):
        line = data[i : i + 32].hex()
        if lines and lines[-1] == line:
            runs[-1] += 1
        else:
            lines.append(line)
            runs.append(1)
    return "".join(
        f"{line} *{run}\n" if run > 1 else f"{line}\n" for line, run in zip(lines, runs, strict=True)
    )


def expand(text: str) -> bytes:
    lines = (line.split(" *") for line in text.splitlines())
    return b"".join(bytes.fromhex(line[0]) * int(line[1] if line[1:] else 1) for line in lines)


def test_bytes_of_a_snapshot_stay_what_earlier_versions_wrote(tmp_path: Path) -> None:
    whole: Origin = {
        **ORIGIN,
        "source_sha256": "00",
        "default_categories": ["2", "1"],
        "counts": {"entries": 4},
    }
    write(tmp_path / "s", [*FIXED, *CHANGED], whole, key=KEY)
    assert compact((tmp_path / "s").read_bytes()) == GOLDEN.read_text()


def test_a_snapshot_of_version_1_is_read_until_the_next_list_comes(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(expand(GOLDEN_V1.read_text()))
    snapshot = Snapshot.open(tmp_path / "s", key=KEY)
    assert snapshot.meta.key == "" and snapshot.key is None
    assert [e.id for e in snapshot.exact("sha1", digest("sha1", 1))] == ["case-1", "naïve"]
    assert Snapshot.peek(tmp_path / "s") == snapshot.meta


def test_a_list_without_hints_is_changed_and_compared_as_one_that_has_them(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(expand(GOLDEN_V2_OLD.read_text()))
    old = Snapshot.open(tmp_path / "old", key=KEY)
    write(tmp_path / "s", [Entry((("md5", digest("md5", 50)), ("sha512", digest("sha512", 50))))], key=KEY,
          base=old)  # fmt: skip
    new = Snapshot.open(tmp_path / "s", key=KEY)
    # Of a kind that it did not have there are hints.
    assert [kind for kind in ("md5", "sha1", "sha256", "sha512") if new.hinted(kind)] == ["sha512"]
    delta = added([OpenFeed(FeedTerms("f"), new)], [OpenFeed(FeedTerms("f"), old)], {})
    for kind in ("md5", "sha512"):
        asked = np.frombuffer(digest(kind, 5) + digest(kind, 50) + digest(kind, 51), np.uint8).reshape(3, -1)
        assert delta.concerned(kind, asked).tolist() == [False, True, False]


def test_a_reader_made_from_the_documentation_alone_finds_records_and_details(tmp_path: Path) -> None:
    write(tmp_path / "s", CHANGED, key=KEY)
    parsed = parse((tmp_path / "s").read_bytes())
    key = bytes(range(32))

    def keyed(message: bytes) -> bytes:
        return hmac.digest(key, message, "sha256")

    assert parsed["meta"]["key"] == keyed(b"hostsweep list key")[:8].hex()
    assert parsed["kinds"]["md5"] == [(keyed(b"md5" + digest("md5", 5))[:16], ("case-5", "1"))]
    assert parsed["kinds"]["sha256"] == [(keyed(b"sha256" + digest("sha256", 7)), ("#2", "1"))]
    assert parsed["hints"] == {"md5": [digest("md5", 5)[:3]], "sha256": [digest("sha256", 7)[:3]]}
    assert parsed["records"] == {
        keyed(b"record\0" + name)[:16]: said
        for name, said in ((b"m-5", (0, 7)), (b"m-6", (2**32 - 1, 8)), (b"m-7", (1, 9)))
    }
    told = ["A", ["x", "é"], "a source"]
    assert parsed["abouts"] == {0: (3, 9, told), 1: (4, 0, told)}


def test_a_list_is_of_no_use_without_its_key(tmp_path: Path) -> None:
    write(tmp_path / "s", [*FIXED, *CHANGED], key=KEY)
    data = (tmp_path / "s").read_bytes()
    assert not any(
        v in data for e in [*FIXED, *CHANGED] if isinstance(e, Entry) for k, v in e.hashes if k in HIDDEN
    )
    hints = parse(data)["hints"]["sha1"]
    assert b"".join(hints) not in data and all(data.count(hint) < 3 for hint in hints)
    with pytest.raises(ListKeyError, match="that key is not here"):
        Snapshot.open(tmp_path / "s")
    with pytest.raises(ListKeyError, match="another one"):
        Snapshot.open(tmp_path / "s", key=ListKey(bytes(32)))
    assert Snapshot.peek(tmp_path / "s").key == KEY.id
    snapshot = Snapshot.open(tmp_path / "s", key=KEY)
    (found,) = snapshot.exact("md5", digest("md5", 5))
    assert (found.id, found.about) == ("case-5", About("A", ("x", "é"), 3, 9, "a source"))
    assert snapshot.record("m-5") == found
    assert snapshot.record("m-6") is None and snapshot.record("m-8") is None


@pytest.mark.parametrize(
    "options", [{"tables_from": 1000}, {"tables_from": 1}, {"tables_from": 1, "shape": layout_of(1_000_000)}]
)
def test_a_reader_made_from_the_documentation_alone_finds_every_entry(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    write(tmp_path / "s", FIXED, **options)
    parsed = parse((tmp_path / "s").read_bytes())
    assert parsed["kinds"]["sha1"] == sorted(
        [
            (digest("sha1", 1), ("case-1", "1")),
            (digest("sha1", 2), ("#2", "2")),
            (digest("sha1", 1), ("naïve", "1")),
        ],
        key=lambda pair: pair[0],
    )
    assert parsed["kinds"]["pdq"] == [(bytes(range(32)), ("#2", "2"))]
    assert {i for _, i in parsed["kinds"]["phash"]} == {("#4", "")}
    assert parsed["meta"]["categories"] == [["1", 2], ["2", 1], ["", 1]]
    assert parsed["meta"]["kinds"]["sha1"]["categories"] == [2, 1, 0]


def test_entries_of_one_digest_are_all_found_in_the_order_of_the_list(tmp_path: Path) -> None:
    info = write(tmp_path / "s", FIXED)
    snapshot = Snapshot.open(tmp_path / "s")
    assert [(e.id, e.category) for e in snapshot.exact("sha1", digest("sha1", 1))] == [
        ("case-1", "1"),
        ("naïve", "1"),
    ]
    assert snapshot.exact("sha1", digest("sha1", 3)) == ()
    assert snapshot.exact("sha256", digest("sha256", 1)) == ()
    assert snapshot.contains_exact("md5", digest("md5", 1)) and not snapshot.contains_exact("md5", bytes(16))
    assert (info.id, info.hashes) == (snapshot.id, snapshot.counts)
    assert info.hashes == {"md5": 1, "sha1": 3, "pdq": 1, "phash": 2}
    assert info.categories == {"1": 2, "2": 1, "": 1}


def test_an_id_that_is_no_valid_text_is_kept_readable(tmp_path: Path) -> None:
    write(tmp_path / "s", [Entry((("md5", digest("md5", 1)),), "a\ud800b", "\udfff")])
    (entry,) = Snapshot.open(tmp_path / "s").exact("md5", digest("md5", 1))
    assert entry.id == "a\\ud800b"


@pytest.mark.parametrize("entries", [[], [Entry((), "an entry without any usable hash")]])
def test_an_empty_list_is_refused_and_the_old_snapshot_stays(tmp_path: Path, entries: list[Entry]) -> None:
    write(tmp_path / "s", FIXED)
    with pytest.raises(FeedRefusedError, match="empty"):
        write(tmp_path / "s", entries)
    assert Snapshot.open(tmp_path / "s").counts["sha1"] == 3


def test_a_list_whose_category_column_is_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeedRefusedError, match="categories"):
        write(tmp_path / "s", [Entry((("md5", digest("md5", 1)),), "", "x" * 300)])
    with pytest.raises(FeedRefusedError, match="categories"):
        write(tmp_path / "s", [Entry((), "", str(n)) for n in range(65536)])


def test_a_value_of_the_wrong_length_is_never_stored_or_looked_up(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        write(tmp_path / "s", [Entry((("sha1", bytes(16)),))])
    write(tmp_path / "s", FIXED)
    with pytest.raises(RuntimeError):
        Snapshot.open(tmp_path / "s").exact("sha1", bytes(16))


def test_only_the_owner_may_read_a_snapshot_and_nothing_else_is_left(tmp_path: Path) -> None:
    write(tmp_path / "s", FIXED)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_a_snapshot_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "in-the-way").touch()
    with pytest.raises(StorageError, match="can't be written"):
        write(tmp_path / "s", FIXED)
    with pytest.raises(StorageError, match="can't be written"):
        write(tmp_path / "absent" / "s", FIXED)
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_a_reader_goes_on_with_the_generation_it_opened(tmp_path: Path) -> None:
    path = tmp_path / "s"
    write(path, FIXED)
    old = Snapshot.open(path)
    write(path, [Entry((("sha1", digest("sha1", 9)),))])
    new = Snapshot.open(path)
    path.unlink()
    assert old.contains_exact("sha1", digest("sha1", 1)) and not old.contains_exact("sha1", digest("sha1", 9))
    assert new.contains_exact("sha1", digest("sha1", 9)) and not new.contains_exact("sha1", digest("sha1", 1))
    assert old.id != new.id


def test_a_closed_snapshot_does_not_pass_for_an_empty_one(tmp_path: Path) -> None:
    write(tmp_path / "s", FIXED)
    snapshot = Snapshot.open(tmp_path / "s")
    keys = snapshot.keys("sha1")  # a view in somebody's hands must not break closing, nor closing the view
    snapshot.close()
    snapshot.close()
    assert digest("sha1", 1) in keys.tolist()
    for question in (
        lambda: snapshot.exact("sha1", digest("sha1", 1)),
        lambda: snapshot.near("pdq", bytes(32), 31),
        lambda: snapshot.keys("sha1"),
    ):
        with pytest.raises(RuntimeError, match="closed"):
            question()


def test_a_missing_or_foreign_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="absent"):
        Snapshot.open(tmp_path / "absent")
    (tmp_path / "text").write_text("no snapshot at all, but more than sixty-four bytes of text in one file")
    with pytest.raises(SnapshotError, match=r"text: .*does not begin"):
        Snapshot.open(tmp_path / "text")


def test_many_rows_with_the_same_beginning_are_told_apart(tmp_path: Path) -> None:
    """A list made to tie in the first eight bytes is sorted by the rest, and looked up right."""
    values = [b"same 8 b" + digest("md5", n)[:8] for n in range(300)] * 2
    write(tmp_path / "s", [Entry((("md5", v),), category=LISTED) for v in values])
    snapshot = Snapshot.open(tmp_path / "s")
    for n, value in enumerate(values[:300]):
        assert [e.number for e in snapshot.exact("md5", value)] == [n, n + 300]


def test_keys_that_end_in_zeros_are_told_apart(tmp_path: Path) -> None:
    values = [b"\x00" * 15 + b"\x01", b"\x01" + b"\x00" * 15, b"\x00\x01" + b"\x00" * 14]
    write(tmp_path / "s", [Entry((("md5", v),)) for v in values])
    snapshot = Snapshot.open(tmp_path / "s")
    assert [e.number for v in values for e in snapshot.exact("md5", v)] == [0, 1, 2]
    assert not snapshot.contains_exact("md5", bytes(16))
