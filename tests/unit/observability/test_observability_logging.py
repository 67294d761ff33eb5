"""The log: one record a line whatever strangers chose for names, one handler, no hash."""

from __future__ import annotations

import io
import json
import logging
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from scanner.observability import configure_logging, harmless

HOSTILE = b"a\n2026-01-01 [info] all is well\x1b[2J\xff\xe2\x80\xae"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def records(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_hostile_name_stays_in_its_record_and_does_not_act_on_the_terminal(log_format: str) -> None:
    stream = io.StringIO()
    configure_logging(log_format, stream=stream)
    log = structlog.get_logger("hostsweep.test")
    text = HOSTILE.decode("utf-8", "surrogateescape")
    log.info(
        "file_met", path=HOSTILE, other=Path(text), error=OSError(2, text), nested=[{"p": HOSTILE}, text]
    )
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert "\x1b" not in written
    assert "\u202e" not in written
    written.encode("utf-8")


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_traceback_can_not_forge_a_record(log_format: str) -> None:
    stream = io.StringIO()
    configure_logging(log_format, stream=stream)
    try:
        raise ValueError("x\n2026-01-01T00:00:00Z [info     ] all is well\x1b[2J")
    except ValueError:
        structlog.get_logger("hostsweep.test").exception("it_failed")
    lines = stream.getvalue().splitlines()
    assert "ValueError" in stream.getvalue()
    assert not any(line.startswith("2026-01-01T") for line in lines)
    assert "\x1b" not in stream.getvalue()


def test_json_has_one_object_a_line_with_a_stable_event_name() -> None:
    stream = io.StringIO()
    configure_logging("json", stream=stream)
    structlog.get_logger("hostsweep.test").warning("feed_sync_failed", feed="police", tries=3, ok=False)
    (record,) = records(stream.getvalue())
    assert str(record.pop("timestamp")).endswith("Z")
    assert record == {
        "event": "feed_sync_failed",
        "level": "warning",
        "logger": "hostsweep.test",
        "feed": "police",
        "tries": 3,
        "ok": False,
    }


def test_setting_up_twice_writes_every_record_once_and_to_the_new_place() -> None:
    first, second = io.StringIO(), io.StringIO()
    log = structlog.get_logger("hostsweep.test")
    configure_logging("json", stream=first)
    log.info("one")
    configure_logging("json", stream=second)
    log.info("two")
    assert [r["event"] for r in records(first.getvalue())] == ["one"]
    assert [r["event"] for r in records(second.getvalue())] == ["two"]


def test_records_of_libraries_take_the_same_way_and_are_as_harmless() -> None:
    stream = io.StringIO()
    configure_logging("json", stream=stream)
    logging.getLogger("aiohttp.server").error("Error handling %s", "a\nb\x1b[2J")
    (record,) = records(stream.getvalue())
    assert record["event"] == "Error handling a\\nb\\x1b[2J".replace("\\n", "\\x0a")
    assert record["level"] == "error"


@pytest.mark.parametrize(
    ("verbosity", "told"),
    [(-1, ["error"]), (0, ["info", "error", "lib-warning"]), (1, ["debug", "info", "error", "lib-warning"]),
     (2, ["debug", "info", "error", "lib-debug", "lib-warning"])],
)  # fmt: skip
def test_verbosity_chooses_what_is_told(verbosity: int, told: list[str]) -> None:
    stream = io.StringIO()
    configure_logging("json", verbosity, stream=stream)
    log = structlog.get_logger("hostsweep.test")
    log.debug("debug")
    log.info("info")
    log.error("error")
    logging.getLogger("aiohttp.x").debug("lib-debug")
    logging.getLogger("aiohttp.x").warning("lib-warning")
    assert [r["event"] for r in records(stream.getvalue())] == told


def test_hashes_are_not_logged_even_when_somebody_tries() -> None:
    stream = io.StringIO()
    configure_logging("json", stream=stream)
    secret = "d41d8cd98f00b204e9800998ecf8427e"
    structlog.get_logger("hostsweep.test").info(
        "hit", md5=secret, digests={"md5": secret}, more={"sha1": secret}
    )
    assert secret not in stream.getvalue()


@given(st.recursive(st.binary() | st.text() | st.none() | st.integers(), st.lists, max_leaves=6))
def test_every_value_becomes_one_line_without_characters_that_act(value: object) -> None:
    told = harmless(None, "info", {"event": "e", "value": value})["value"]
    text = json.dumps(told, ensure_ascii=False)
    assert not {unicodedata.category(c) for c in text} & {"Cc", "Cf", "Zl", "Zp", "Cs"}
    text.encode("utf-8")
