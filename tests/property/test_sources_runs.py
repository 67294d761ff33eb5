"""Inodes come out sorted, each with its owner, however they were put in and whatever had to go to disk."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.sources.runs import InodeRuns
from scanner.system.inodes import inodes

NUMBERS = st.integers(0, 40) | st.integers(0, (1 << 64) - 1)
PARTS = st.lists(st.tuples(st.lists(NUMBERS, max_size=6), st.booleans()), max_size=12)


@given(parts=PARTS, at_once=st.sampled_from([2, 5, 1000]), samples=st.sampled_from([1, 64]))
def test_what_was_put_in_comes_out_in_order(
    parts: list[tuple[list[int], bool]], at_once: int, samples: int
) -> None:
    with (
        patch.multiple("scanner.sources.runs", _AT_ONCE=at_once, _SAMPLES=samples, _MOST_AT_ONCE=1000),
    ):
        runs, wanted = InodeRuns(Path("/tmp")), []
        for owner, (numbers, in_order) in enumerate(parts):
            numbers = sorted(numbers) if in_order else numbers
            some = inodes(numbers, [owner + 5] * len(numbers), [1] * len(numbers), [0o100644] * len(numbers))
            wanted += [(number, owner) for number in numbers]
            if in_order:
                runs.add_sorted(some, np.full(len(numbers), owner, dtype=np.uint32))
            elif numbers:
                runs.add(some.tobytes(), owner)
        records, owners = runs.merged()
    found = records["inode"].tolist()
    assert found == sorted(found)
    assert sorted(zip(found, owners.tolist(), strict=True)) == sorted(wanted)
    assert (records["ctime"] == owners + 5).all() and (records["size"] == 1).all()


def test_a_file_with_more_names_than_fit_into_memory_is_refused(tmp_path: Path) -> None:
    with patch("scanner.sources.runs._AT_ONCE", 4):
        runs = InodeRuns(tmp_path / "walks")
        for owner in range(40):
            runs.add(inodes([7], [1], [1], [0o100644]).tobytes(), owner)
        with pytest.raises(OSError, match="too many names"):
            runs.merged()
    assert not list((tmp_path / "walks").iterdir())
