"""Values by their first bits: all that act, none that a benign feed has, and nothing beyond the bits."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.index import OpenFeed, Snapshot, SnapshotBuilder
from scanner.index.prefixes import PrefixTable
from scanner.model.feeds import Entry, FeedTerms, Polarity


def feed(path: Path, name: str, values: dict[bytes, str], **terms: object) -> OpenFeed:
    builder = SnapshotBuilder()
    for value, category in values.items():
        builder.add(Entry((("md5", value),), category=category))
    builder.finish(path / name, meta={"feed": name, "format": "plain", "built_ns": 1})
    return OpenFeed(FeedTerms(name, **terms), Snapshot.open(path / name))  # type: ignore[arg-type]


def test_only_what_acts_and_no_benign_feed_has_is_told(tmp_path: Path) -> None:
    a, b, c, d = (b"\x12\x34" + bytes([n]) + bytes(13) for n in range(4))
    feeds = [
        feed(tmp_path, "one", {a: "1", b: "", c: "1"}),
        feed(tmp_path, "two", {a: "1", d: "9"}, categories=frozenset({"9"})),
        feed(tmp_path, "good", {c: "listed"}, polarity=Polarity.BENIGN),
    ]
    table = PrefixTable(feeds, "md5")
    assert table.beginning(0x1234, 16) == [a, d]
    assert table.beginning(0x12340, 20) == [a, d]
    assert table.beginning(0x123403, 24) == [d]
    assert table.beginning(0x1235, 16) == []


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.binary(min_size=2, max_size=2), min_size=1, max_size=40),
    st.integers(0, 255),
    st.sampled_from([4, 8]),
)
@pytest.mark.parametrize("fill", [b"\x00", b"\xff"])
def test_all_values_that_begin_so_are_found_and_no_other(
    fill: bytes, tmp_path_factory: pytest.TempPathFactory, heads: set[bytes], value: int, bits: int
) -> None:
    values = {head + fill * 13 + b"\x01": "1" for head in heads}
    table = PrefixTable([feed(tmp_path_factory.mktemp("p"), "f", values)], "md5")
    value >>= 8 - bits
    assert table.beginning(value, bits) == sorted(v for v in values if v[0] >> (8 - bits) == value)
