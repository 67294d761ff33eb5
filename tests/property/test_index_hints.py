"""Hints of listed digests: nothing is lost by them, and nothing wrong is believed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.index import Delta, ListKey, OpenFeed, Snapshot, SnapshotBuilder, added, hints
from scanner.index.layout import DamagedLayout
from scanner.model.feeds import Entry, FeedTerms

KEY = ListKey(bytes(range(32)))
NUMBERS = st.integers(0, (1 << 24) - 1)


def opened(section: bytes, key: ListKey = KEY, kind: str = "md5") -> list[int]:
    step = 3 * hints.BLOCK
    blocks = (section[at : at + step] for at in range(16, len(section), step))
    columns = (np.frombuffer(block, np.uint8).reshape(-1, 3) for block in blocks)
    return [int(n) for some in hints.opened(key, kind, section[:16], columns) for n in some]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(NUMBERS, max_size=7), max_size=4), st.data())
def test_hints_are_read_under_their_key_alone_and_only_as_they_were(
    parts: list[list[int]], data: st.DataObject
) -> None:
    given_hints = [n for part in parts for n in part]
    with mock.patch("scanner.index.hints.BLOCK", 4):
        arrays = [np.array(part, dtype="<u4") for part in parts]
        section = b"".join(hints.sealed(KEY, "md5", lambda: arrays))
        assert len(section) == hints.length_of(len(given_hints))
        assert opened(section) == given_hints
        place = data.draw(st.integers(0, len(section) - 1))
        wrong = bytearray(section)
        wrong[place] ^= 1 << data.draw(st.integers(0, 7))
        for broken in (
            lambda: opened(bytes(wrong)),
            lambda: opened(section, ListKey(bytes(32))),
            lambda: opened(section, kind="sha1"),
        ):
            with pytest.raises(DamagedLayout):
                broken()


@settings(max_examples=40, deadline=None)
@given(st.lists(NUMBERS, max_size=30), st.lists(NUMBERS, max_size=30), st.binary(min_size=13, max_size=13))
def test_likely_are_those_that_begin_alike(listed: list[int], others: list[int], rest: bytes) -> None:
    asked = [n.to_bytes(3, "big") + rest for n in (*listed, *others)]
    values = np.frombuffer(b"".join(asked), np.uint8).reshape(-1, 16)
    assert hints.hints_of(values).tolist() == [*listed, *others]
    likely = hints.Likely(np.array(listed, dtype="<u4")).among(values)
    assert likely.tolist() == [n in listed for n in (*listed, *others)]


def delta_of(folder: Path, digests: list[bytes], known: list[bytes]) -> Delta:
    base = None
    for number, some in enumerate((known, digests)):
        builder = SnapshotBuilder(key=KEY, base=base)
        for digest in some:
            builder.add(Entry((("sha256", digest),)))
        builder.finish(folder / f"{number}", meta={"feed": "f", "format": "f", "built_ns": 1})
        base, old = Snapshot.open(folder / f"{number}", key=KEY), base
    assert base is not None and old is not None
    return added([OpenFeed(FeedTerms("f"), base)], [OpenFeed(FeedTerms("f"), old)], {})


DIGESTS = st.lists(st.binary(min_size=1, max_size=2).map(lambda b: (b * 32)[:32]), min_size=1, max_size=20)


@settings(max_examples=15, deadline=None)
@given(new=DIGESTS, known=DIGESTS, asked=DIGESTS)
def test_new_entries_meet_digests_with_hints_as_without(
    new: list[bytes], known: list[bytes], asked: list[bytes]
) -> None:
    values = np.frombuffer(b"".join([*asked, *new]), np.uint8).reshape(-1, 32)
    expected = [digest in set(new) - set(known) for digest in (*asked, *new)]
    with tempfile.TemporaryDirectory() as folder:
        delta = delta_of(Path(folder), new, known)
        assert delta.concerned("sha256", values).tolist() == expected
        for fresh in delta.exact.get("sha256", ()):
            assert fresh.likely is not None
        with mock.patch.object(Snapshot, "hints", side_effect=DamagedLayout("damaged")):
            plain = added([OpenFeed(FeedTerms("f"), Snapshot.open(Path(folder) / "1", key=KEY))], None, {})
        assert plain.concerned("sha256", values).tolist() == [d in {*new, *known} for d in (*asked, *new)]
