"""A damaged snapshot is refused, or at worst answers wrongly: it is never read outside of itself."""

from __future__ import annotations

import hashlib
import random
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanner.index import Snapshot, SnapshotBuilder
from scanner.index.shapes import SMALL, Shape
from scanner.model.errors import SnapshotError
from scanner.model.feeds import About, Entry

KINDS = (("md5", 16), ("sha1", 20), ("pdq", 32), ("phash", 8))
VALUES = {name: [random.Random(n).randbytes(size) for n in range(40)] for name, size in KINDS}
# With mmap and a file of our own, hypothesis' complaint about a shared fixture does not apply.
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


ELEVEN = Shape((24,) * 3 + (23,) * 8, 16, spread=True)
NO_SHAPES = [b"", bytes(12), b"\x10" + b"\xff" * 11, bytes([25] + [24] * 11), bytes([4] + [64] * 4)]


@pytest.fixture(scope="module", params=[SMALL, ELEVEN], ids=["16 slots", "11 slots"])
def intact(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> bytes:
    """A file with everything in it, its search tables of either shape."""
    path = tmp_path_factory.mktemp("intact") / "s"
    builder = SnapshotBuilder(tables_from=1, shape=request.param)
    for n in range(40):
        hashes = tuple((name, VALUES[name][n]) for name, _ in KINDS)
        about = About("A", ("x",) * (n % 3), n, n, "source") if n % 4 else None
        builder.add(Entry(hashes, f"id-{n}" if n % 3 else "", str(n % 4), f"k{n}", n, about))
    builder.finish(path, meta={"feed": "f", "format": "test", "built_ns": 7})
    return path.read_bytes()


def sections(data: bytes) -> list[tuple[int, int]]:
    """(offset, length) of the header, the section table and every section."""
    (count,) = struct.unpack_from("<Q", data, 64)
    table = [struct.unpack_from("<32xQQ", data, 72 + 48 * i) for i in range(count)]
    return [(0, 64), (64, 8 + 48 * count), *table]


def damaged(data: bytes, where: tuple[int, int], what: str) -> bytes:
    """Damage in the n-th section, by fractions, so that small sections are met as often as large ones."""
    part, at = where
    offset, length = sections(data)[part % len(sections(data))]
    position = offset + at % length
    if what == "cut":
        return data[:position]
    changed = bytearray(data)
    if what == "flip":
        changed[position] ^= 1 << at % 8
    else:
        fill = b"\xff" if what == "ones" else b"\x00"
        stop = min(position + 8, offset + length)
        changed[position:stop] = fill * (stop - position)
    return bytes(changed)


def ask_everything(snapshot: Snapshot) -> None:
    for name, size in KINDS:
        for value in [*VALUES[name][:12], bytes(size), b"\xff" * size]:
            if name in ("md5", "sha1"):
                snapshot.exact(name, value)
                snapshot.contains_exact(name, value)
            else:
                snapshot.near(name, value, 31)
                snapshot.near(name, value, 31, strategy="scan")
        snapshot.in_categories(name, {"1"})
    for n in range(0, 40, 9):
        snapshot.record(f"k{n}")


WHERE = st.tuples(st.integers(0, 100), st.integers(0, 2**31))


@FUZZ
@given(where=WHERE, what=st.sampled_from(["flip", "ones", "zeros", "cut"]))
def test_any_damage_is_refused_when_verified(
    tmp_path: Path, intact: bytes, where: tuple[int, int], what: str
) -> None:
    data = damaged(intact, where, what)
    (tmp_path / "s").write_bytes(data)
    if data == intact:
        ask_everything(Snapshot.open(tmp_path / "s"))
        return
    with pytest.raises(SnapshotError):
        Snapshot.open(tmp_path / "s")


@settings(FUZZ, max_examples=200)
@given(where=WHERE, what=st.sampled_from(["flip", "ones", "zeros"]))
def test_any_damage_that_was_not_verified_ends_in_an_answer_or_our_error(
    tmp_path: Path, intact: bytes, where: tuple[int, int], what: str
) -> None:
    (tmp_path / "s").write_bytes(damaged(intact, where, what))
    try:
        ask_everything(Snapshot.open(tmp_path / "s", verify=False))
    except SnapshotError:
        pass


@pytest.mark.parametrize("length", [0, 1, 63, 64, 71, 72, 200, 4096])
@pytest.mark.parametrize("verify", [True, False])
def test_a_file_cut_short_is_refused_even_unverified(
    tmp_path: Path, intact: bytes, length: int, verify: bool
) -> None:
    (tmp_path / "s").write_bytes(intact[:length])
    with pytest.raises(SnapshotError):
        Snapshot.open(tmp_path / "s", verify=verify)


@pytest.mark.parametrize("verify", [True, False])
def test_a_file_of_another_length_than_it_says_is_refused_even_unverified(
    tmp_path: Path, intact: bytes, verify: bool
) -> None:
    for data in (intact + bytes(8), intact[:-1]):
        (tmp_path / "s").write_bytes(data)
        with pytest.raises(SnapshotError, match="should be"):
            Snapshot.open(tmp_path / "s", verify=verify)


def section_record(data: bytes, kind: bytes, name: bytes) -> tuple[int, int, int]:
    """Position of a section's record, its offset and its length."""
    (count,) = struct.unpack_from("<Q", data, 64)
    for i in range(count):
        at = 72 + 48 * i
        k, n, offset, length = struct.unpack_from("<16s16sQQ", data, at)
        if (k.rstrip(b"\0"), n.rstrip(b"\0")) == (kind, name):
            return at, offset, length
    raise AssertionError("no such section")


@pytest.mark.parametrize("offset", [2**64 - 8, 2**63, 2**40, 4])
def test_a_section_that_lies_outside_the_file_is_refused(tmp_path: Path, intact: bytes, offset: int) -> None:
    data = bytearray(intact)
    record, _, _ = section_record(intact, b"sha1", b"keys")
    struct.pack_into("<Q", data, record + 32, offset)
    (tmp_path / "s").write_bytes(data)
    with pytest.raises(SnapshotError, match="outside"):
        Snapshot.open(tmp_path / "s", verify=False)


def test_a_bucket_table_that_leads_out_of_its_section_is_refused(tmp_path: Path, intact: bytes) -> None:
    for kind, name in ((b"sha1", b"starts"), (b"pdq", b"slot-starts"), (b"", b"record-starts")):
        data = bytearray(intact)
        _, offset, length = section_record(intact, kind, name)
        data[offset : offset + length] = b"\xff" * length
        (tmp_path / "s").write_bytes(data)
        with pytest.raises(SnapshotError, match="bucket"):
            Snapshot.open(tmp_path / "s", verify=False)


@pytest.mark.parametrize("intact", [ELEVEN], indirect=True)
@pytest.mark.parametrize("shape", NO_SHAPES)
def test_a_shape_of_slots_that_can_not_be_is_refused(tmp_path: Path, intact: bytes, shape: bytes) -> None:
    data = bytearray(intact)
    record, offset, _ = section_record(intact, b"pdq", b"slot-shape")
    data[offset : offset + len(shape)] = shape
    struct.pack_into("<Q", data, record + 40, len(shape))
    (tmp_path / "s").write_bytes(data)
    with pytest.raises(SnapshotError, match="slot table"):
        Snapshot.open(tmp_path / "s", verify=False)


def test_an_entry_number_or_row_that_leads_nowhere_is_an_error_not_an_answer(
    tmp_path: Path, intact: bytes
) -> None:
    for kind, name in (
        (b"sha1", b"entries"),
        (b"pdq", b"entries"),
        (b"pdq", b"slot-order"),
        (b"", b"id-ends"),
        (b"", b"about-text"),
        (b"", b"about-ends"),
    ):
        data = bytearray(intact)
        _, offset, length = section_record(intact, kind, name)
        data[offset : offset + length] = b"\xff" * length
        (tmp_path / "s").write_bytes(data)
        snapshot = Snapshot.open(tmp_path / "s", verify=False)
        with pytest.raises(SnapshotError):
            snapshot.exact("sha1", VALUES["sha1"][1])
            snapshot.near("pdq", VALUES["pdq"][1], 31, strategy="tables")


def test_a_section_count_made_huge_does_not_keep_us_reading(tmp_path: Path, intact: bytes) -> None:
    data = bytearray(intact)
    struct.pack_into("<Q", data, 64, 2**60)
    (tmp_path / "s").write_bytes(data)
    with pytest.raises(SnapshotError, match="section table"):
        Snapshot.open(tmp_path / "s", verify=False)


@pytest.mark.parametrize(
    "name", [b"record-entries", b"record-changed", b"about-added", b"about-ends", b"about-texts", b"ids"]
)
def test_a_section_of_another_length_than_its_neighbours_is_refused_or_never_left(
    tmp_path: Path, intact: bytes, name: bytes
) -> None:
    data = bytearray(intact)
    record, _, length = section_record(intact, b"", name)
    struct.pack_into("<Q", data, record + 40, length // 2)
    (tmp_path / "s").write_bytes(data)
    with pytest.raises(SnapshotError):
        ask_everything(Snapshot.open(tmp_path / "s", verify=False))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (b"", b"categories"), (b"", b"id-ends"), (b"sha1", b"entries"), (b"pdq", b"entries"),
        (b"pdq", b"slot-order"), (b"", b"about-entries"), (b"", b"about-text"), (b"", b"about-ends"),
        (b"", b"about-texts"), (b"", b"record-entries"),
    ],
)  # fmt: skip
def test_a_list_that_a_taken_over_process_wrote_is_checked_to_its_last_number(
    tmp_path: Path, intact: bytes, kind: bytes, name: bytes
) -> None:
    """Its checksum is right, and it opens: whoever puts it into use must look further."""
    data = bytearray(intact)
    _, offset, length = section_record(intact, kind, name)
    data[offset + length // 2 : offset + length // 2 + 4] = b"\xfe\xff\xff\xff"
    data[32:64] = hashlib.sha256(data[64:]).digest()
    (tmp_path / "s").write_bytes(data)
    snapshot = Snapshot.open(tmp_path / "s")
    with pytest.raises(SnapshotError):
        snapshot.check()


def test_an_intact_list_passes_the_check(tmp_path: Path, intact: bytes) -> None:
    (tmp_path / "s").write_bytes(intact)
    Snapshot.open(tmp_path / "s").check()
