"""Our reader of SQLite tables gives what SQLite itself gives, and refuses what it does not read."""

from __future__ import annotations

import functools
import io
import struct

import pytest
from fuzz_targets import _foreign as made
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.feeds.formats.sqlite import opened
from scanner.model.errors import FeedFormatError, FeedRefusedError

VALUES = st.one_of(
    st.none(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.sampled_from([0, 1, -1, 127, 128, 255, 32767, 32768, 1 << 23, 1 << 31, 1 << 47]),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
    st.binary(max_size=80),
    st.integers(60, 9000).map(lambda n: b"x" * n),  # longer than a page: the row goes on elsewhere
)


def stored(value: object) -> object:
    if isinstance(value, str):
        return value.encode()
    return value


@settings(max_examples=15, deadline=None)
@given(
    rows=st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=40),
    page_size=st.sampled_from([512, 1024, 4096, 65536]),
    repeat=st.sampled_from([1, 1, 30]),
)
def test_rows_are_those_that_sqlite_gives(
    rows: list[tuple[object, ...]], page_size: int, repeat: int
) -> None:
    schema = (
        'CREATE TABLE "t" (a, id INTEGER PRIMARY KEY, "b, (" DEFAULT (1), [c] CHECK (1 IN (1, 2)),'
        " CONSTRAINT u UNIQUE (id, a));"
    )
    insert = 'INSERT INTO t (a, "b, (", c) VALUES (?, ?, ?)'
    content = made.database(schema, (insert, rows * repeat), page_size=page_size)
    with opened(io.BytesIO(content), None) as database:
        assert database.tables == {"t": ("a", "id", "b, (", "c")}
        firsts = [row for batch in database.rows("t", ("a",)) for row in batch]
        numbered = [row for batch in database.rows("t", ("id", "a")) for row in batch]
        found = [row for batch in database.rows("t", ("c", "id", "a", "b, (")) for row in batch]
    expected = [(stored(c), n, stored(a), stored(b)) for n, (a, b, c) in enumerate(rows * repeat, 1)]
    assert [row[::-1] for row in numbered] == [row[2:0:-1] for row in found]
    assert firsts == [row[2:3] for row in found]
    assert [tuple(map(same, row)) for row in found] == [tuple(map(same, row)) for row in expected]


def same(value: object) -> object:
    """SQLite keeps a float that is a whole number as one where that is shorter."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 1 << 47 else struct.pack(">d", value)
    return value


@functools.cache
def kdb() -> bytes:
    return made.kdb([(bytes([n]) * 16, None, None) for n in range(1, 200)])


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_database_with_bytes_changed_is_rows_or_a_feed_error(data: st.DataObject) -> None:
    content = bytearray(kdb())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(16, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    try:
        with opened(io.BytesIO(bytes(content)), None) as database:
            for table, columns in database.tables.items():
                for _ in database.rows(table, columns):
                    pass
    except (FeedFormatError, FeedRefusedError) as e:
        assert e.where


def test_a_database_in_utf_16_is_refused() -> None:
    content = bytearray(kdb())
    content[56:60] = b"\0\0\0\2"
    with pytest.raises(FeedRefusedError, match=r"database: .*UTF-16"), opened(io.BytesIO(content), None):
        pass


def test_columns_that_came_later_are_none_in_older_rows() -> None:
    script = "CREATE TABLE t (a); INSERT INTO t VALUES (1); ALTER TABLE t ADD COLUMN b;"
    script += "INSERT INTO t VALUES (2, 3);"
    with opened(io.BytesIO(made.database(script)), None) as database:
        assert [row for batch in database.rows("t", ("b", "a")) for row in batch] == [(None, 1), (3, 2)]


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE t (a PRIMARY KEY, b) WITHOUT ROWID;",
        "CREATE TABLE t (a, b GENERATED ALWAYS AS (a || a) VIRTUAL);",
        "CREATE TABLE o (a); CREATE VIEW t AS SELECT a FROM o;",
        "CREATE VIRTUAL TABLE t USING fts5(a);",
    ],
)
def test_tables_that_are_stored_or_made_otherwise_are_left_out(script: str) -> None:
    with opened(io.BytesIO(made.database(script)), None) as database:
        assert "t" not in database.tables
