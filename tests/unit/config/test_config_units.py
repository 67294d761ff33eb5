"""Durations, sizes and addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.config.units import (
    Expected,
    Listen,
    format_duration,
    format_size,
    parse_duration,
    parse_listen,
    parse_size,
)


@given(st.integers(1, 3650 * 86400))
def test_a_duration_reads_back_as_written(seconds: int) -> None:
    assert parse_duration(format_duration(float(seconds))) == seconds


@given(st.integers(0, 1 << 62))
def test_a_size_reads_back_as_written(size: int) -> None:
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("24h", 86400), ("7d", 604800), ("1h30m", 5400)]
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "value", [60, 1.5, "60", "1x", "h", "", "0s", "-1h", "1 h", "9999d", None, True, "1h\n"]
)
def test_a_duration_without_a_unit_or_out_of_range_is_refused(value: object) -> None:
    with pytest.raises(Expected, match="expected a duration"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("value", "size"),
    [("16GiB", 16 << 30), ("500MB", 500_000_000), ("1.5kB", 1500), ("2 gib", 2 << 30), ("7B", 7), (42, 42)],
)
def test_sizes_are_read_in_powers_of_1000_and_1024(value: object, size: int) -> None:
    assert parse_size(value) == size


@pytest.mark.parametrize("value", ["16", "16G", "GiB", "-1MB", -1, True, 1.5, None, "999999999TiB"])
def test_a_size_that_could_mean_two_things_is_refused(value: object) -> None:
    with pytest.raises(Expected, match="expected a size"):
        parse_size(value)


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("127.0.0.1:9797", Listen("127.0.0.1", 9797)),
        ("[::1]:9797", Listen("::1", 9797)),
        ("localhost:0", Listen("localhost", 0)),
    ],
)
def test_an_address_reads_back_as_written(text: str, listen: Listen) -> None:
    assert parse_listen(text) == listen
    assert str(listen) == text
    assert listen.loopback


@pytest.mark.parametrize(
    "value", [9797, "9797", ":9797", "::1:9797", "[::1]", "[x]:1", "a:b", "a:65536", "a b:1"]
)
def test_an_address_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(Expected):
        parse_listen(value)
