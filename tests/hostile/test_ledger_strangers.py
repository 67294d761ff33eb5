"""What strangers choose and the ledger keeps: names, times, ids on a command line, files in its place."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.ledger import Ledger
from scanner.model.errors import LedgerError, NotFoundError
from scanner.model.hashes import Digests
from scanner.model.matches import Action, Case, CaseState, Match


def case_of(path: bytes, *, mtime_ns: int = 0, volume: str = "web", case_id: str = "case-1") -> Case:
    return Case(
        id=case_id,
        opened_ns=1,
        updated_ns=1,
        volume=volume,
        root=b"/srv",
        path=path,
        shown_as="/srv",
        customer="",
        size=1,
        mtime_ns=mtime_ns,
        digests=Digests(1, "", {"sha256": b"\1" * 32}),
        match=Match("sha256", "f", "#1", "1"),
        others=(),
        action=Action.REPORTED,
        reason="",
        state=CaseState.OPEN,
    )


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite") as opened:
        yield opened


@pytest.mark.parametrize(
    "name",
    [
        b"\xff\xfe.jpg",
        b"a\nb\x1b[2J.jpg",
        b"'; DROP TABLE events; --",
        b'"},{"',
        "\u202egpj.exe".encode(),
        b"x" * 70_000,
    ],
)
def test_any_name_a_file_can_have_is_kept_byte_for_byte(ledger: Ledger, name: bytes) -> None:
    ledger.open_case(case_of(name))
    assert ledger.get("case-1").path == name
    assert not ledger.open_case(case_of(name, case_id="case-2"))[1]
    assert ledger.verify().ok


def test_a_modification_time_beyond_64_bits_of_nanoseconds_does_not_stop_the_record(ledger: Ledger) -> None:
    """tmpfs and btrfs keep any 64-bit second a customer sets: `touch -d @9223372036854775807`."""
    far = (2**63 - 1) * 10**9
    ledger.open_case(case_of(b"far", mtime_ns=far))
    assert ledger.get("case-1").mtime_ns == far


def test_volumes_whose_names_are_no_utf8_are_told_apart(ledger: Ledger) -> None:
    ledger.open_case(case_of(b"a", volume="/srv/\udcff"))
    assert ledger.open_case(case_of(b"a", volume="/srv/\udcfe", case_id="case-2"))[1]


@pytest.mark.parametrize(
    "text", ["%%%%%%", "______", "case-_", "case-?", "' OR 1=1 --", "\udcff" * 6, "case-1\0"]
)
def test_an_id_on_the_command_line_is_no_pattern(ledger: Ledger, text: str) -> None:
    ledger.open_case(case_of(b"a"))
    with pytest.raises(NotFoundError, match="no such case"):
        ledger.get(text)


def test_an_actor_that_would_act_on_a_terminal_is_made_harmless(ledger: Ledger) -> None:
    ledger.note("text", "evil\x1b[2J\udcff", 1)
    (event,) = ledger.events()
    assert event.actor.isprintable() and event.actor.startswith("evil\\x1b")


def test_a_link_in_place_of_the_ledger_is_refused_and_its_target_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "target"
    Ledger.open(target).close()
    before = target.read_bytes()
    for name, to in (("link", target), ("dangling", tmp_path / "nowhere")):
        link = tmp_path / name
        link.symlink_to(to)
        with pytest.raises(LedgerError, match="regular file"):
            Ledger.open(link)
    assert target.read_bytes() == before
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_ledger_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger.open(path).close()
    path.chmod(mode)
    with pytest.raises(LedgerError, match="expected mode 0600"):
        Ledger.open(path)


def test_a_record_that_somebody_edited_is_an_error_and_no_case(ledger: Ledger, tmp_path: Path) -> None:
    ledger.open_case(case_of(b"a"))
    for body in ("{}", "[]", "not json", '{"id":' * 5000):
        connection = sqlite3.connect(tmp_path / "ledger.sqlite")
        connection.execute("UPDATE cases SET body = ?", (body,))
        connection.commit()
        connection.close()
        with pytest.raises(LedgerError, match="can't be read"):
            ledger.list()
