"""The chain: every way to tamper with it, and what is said then."""

from __future__ import annotations

import gc
import hashlib
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from scanner.ledger import Head, Ledger
from scanner.model.errors import ConfigError, LedgerError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of 10 notes."""
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        for n in range(10):
            ledger.note(f"note {n}", "daemon", n)
    return path


def tamper(path: Path, script: str) -> None:
    """As somebody with the sqlite3 shell and the rights of the owner would."""
    connection = sqlite3.connect(path)
    for name in ("are_not_changed", "are_not_deleted", "have_no_gaps"):
        connection.execute(f"DROP TRIGGER events_{name}")
    connection.executescript(script)
    connection.close()


def first_wrong(path: Path, kept: Head | None = None) -> tuple[int | None, str]:
    with Ledger.open(path, read_only=True) as ledger:
        found = ledger.verify(kept)
        assert found.ok == (found.wrong is None)
        return found.wrong, found.problem


def head_of(path: Path) -> Head:
    with Ledger.open(path, read_only=True) as ledger:
        return ledger.head()


def test_an_untouched_chain_is_right_up_to_its_head(path: Path) -> None:
    with Ledger.open(path, read_only=True) as ledger:
        found = ledger.verify(ledger.head())
        assert found.ok and found.head == ledger.head() and found.head.seq == 10


@pytest.mark.parametrize(
    "change",
    [
        'payload = \'{"text":"other"}\'',
        "payload = replace(payload, ':', ': ')",
        "payload = CAST(payload AS BLOB)",
        "payload = CAST(x'ff' AS TEXT)",
        "at_ns = at_ns + 1",
        "at_ns = at_ns + 0.5",
        "actor = 'someone else'",
        "type = 'case_opened'",
        "case_id = 'c1'",
        "hash = zeroblob(32)",
        "prev_hash = zeroblob(32)",
    ],
)
def test_an_edited_event_is_named(path: Path, change: str) -> None:
    tamper(path, f"UPDATE events SET {change} WHERE seq = 4")
    assert first_wrong(path)[0] == 4


def test_text_moved_from_one_column_to_the_next_is_named(path: Path) -> None:
    tamper(path, "UPDATE events SET type = 'not', case_id = 'e' WHERE seq = 4")
    assert first_wrong(path)[0] == 4


@pytest.mark.parametrize("gone", [1, 5])
def test_a_deleted_event_is_named(path: Path, gone: int) -> None:
    tamper(path, f"DELETE FROM events WHERE seq = {gone}")
    assert first_wrong(path) == (gone, f"expected event {gone}, got event {gone + 1}")


def test_a_deleted_event_whose_number_was_given_to_the_next_is_named(path: Path) -> None:
    tamper(path, "DELETE FROM events WHERE seq = 9; UPDATE events SET seq = 9 WHERE seq = 10;")
    assert first_wrong(path) == (9, "it does not follow the event before it")


def test_reordered_events_are_named(path: Path) -> None:
    tamper(
        path,
        "UPDATE events SET seq = 99 WHERE seq = 6; UPDATE events SET seq = 6 WHERE seq = 7;"
        "UPDATE events SET seq = 7 WHERE seq = 99;",
    )
    assert first_wrong(path)[0] == 6


def test_a_cut_off_tail_is_seen_only_with_a_head_kept_elsewhere(path: Path) -> None:
    kept = head_of(path)
    tamper(path, "DELETE FROM events WHERE seq > 7")
    assert first_wrong(path) == (None, "")
    assert first_wrong(path, kept) == (8, "events up to 10 were there, and are missing")


def test_a_chain_made_anew_is_seen_only_with_a_head_kept_elsewhere(path: Path, tmp_path: Path) -> None:
    kept = head_of(path)
    forged = tmp_path / "forged.sqlite"
    with Ledger.open(forged) as ledger:
        for n in range(12):
            ledger.note(f"note {n}" if n != 3 else "a lie", "daemon", n)
    assert first_wrong(forged) == (None, "")
    assert first_wrong(forged, kept)[0] == 10


def test_an_older_head_still_fits_after_more_events(path: Path) -> None:
    kept = head_of(path)
    with Ledger.open(path) as ledger:
        ledger.note("later", "daemon", 11)
    assert first_wrong(path, kept) == (None, "")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET actor = 'x' WHERE seq = 3",
        "DELETE FROM events WHERE seq = 10",
        "INSERT OR REPLACE INTO events SELECT seq, at_ns, type, case_id, 'x', payload, prev_hash, hash"
        " FROM events WHERE seq = 3",
        "INSERT INTO events SELECT 12, at_ns, type, case_id, actor, payload, prev_hash, hash"
        " FROM events WHERE seq = 3",
    ],
)
def test_events_are_not_changed_deleted_or_replaced_by_mistake(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="events are"):
        connection.execute(statement)
    connection.close()
    assert first_wrong(path) == (None, "")


def test_a_changed_projection_is_found_by_replaying_the_events(path: Path) -> None:
    with Ledger.open(path) as ledger:
        ledger.engage_brake("900 hits", 20)
        assert ledger.changed_tables() == ()
        connection = sqlite3.connect(path)
        connection.execute("DELETE FROM meta")
        connection.commit()
        connection.close()
        assert ledger.verify().ok
        assert ledger.changed_tables() == ("meta",)


def test_an_event_that_can_not_be_read_is_an_error_of_the_ledger(path: Path) -> None:
    tamper(path, "UPDATE events SET payload = '[1' WHERE seq = 4")
    with Ledger.open(path, read_only=True) as ledger:
        for read in (ledger.events, ledger.changed_tables):
            with pytest.raises(LedgerError, match="can't be read"):
                read()


def test_a_walk_broken_off_by_an_error_ends_before_the_ledger_is_closed(path: Path) -> None:
    """Else its cursor is closed after its connection, whenever the error's traceback is forgotten."""
    tamper(path, "UPDATE events SET payload = '[1' WHERE seq = 4")
    with pytest.raises(LedgerError) as caught, Ledger.open(path, read_only=True) as ledger:
        ledger.changed_tables()
    assert "can't be read" in str(caught.value)
    del caught
    gc.collect()  # an error in here is raised by pytest's filter of unraisable exceptions


def test_the_serialisation_is_the_documented_one_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        ledger.note("é", "uid 0 (root)", -1, "c1")
        expected = hashlib.sha256(
            b"hostsweep ledger event 1\n"
            + bytes(32)
            + b"\x00\x00\x00\x00\x00\x00\x00\x01"
            + b"\xff\xff\xff\xff\xff\xff\xff\xff"
            + b"\x00\x00\x00\x04note"
            + b"\x00\x00\x00\x02c1"
            + b"\x00\x00\x00\x0cuid 0 (root)"
            + b'\x00\x00\x00\x11{"text":"\\u00e9"}'
        )
        assert ledger.head() == Head(1, expected.digest())


def test_the_verifier_in_the_documentation_agrees(path: Path) -> None:
    page = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, path], capture_output=True, text=True, check=False
        )

    assert run().stdout.strip() == str(head_of(path))
    tamper(path, "UPDATE events SET actor = 'x' WHERE seq = 4")
    assert run().stderr.strip() == "event 4 is wrong"


def test_a_head_is_read_back_from_its_text(path: Path) -> None:
    head = head_of(path)
    assert Head.parse(f" {head}\n") == head
    for wrong in ("", "10", "10:abc", f"-1:{'0' * 64}"):
        with pytest.raises(ConfigError, match="expected the head"):
            Head.parse(wrong)
