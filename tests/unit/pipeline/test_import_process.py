"""What the import process makes of changes to a list, without the process."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from scanner.feeds import FormatOptions
from scanner.index import ListKey, Snapshot
from scanner.model.errors import FeedRefusedError, ListKeyError, SnapshotError
from scanner.model.feeds import Entry, ImportCounts, Item, Removal
from scanner.pipeline.feed_answers import imported
from scanner.pipeline.import_process import write_index

KEY = ListKey(b"k" * 32)


def sha1(text: str) -> bytes:
    return hashlib.sha1(text.encode()).digest()


class Changes:
    """Lines of `+key hash time` and `-key time`."""

    name = "changes"
    default_categories = None

    def proposes(self, head: bytes) -> bool:
        return False

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Item]:
        for line in stream:
            key, *rest = line.decode()[1:].split()
            if line.startswith(b"-"):
                counts.removals += 1
                yield Removal(key, int(rest[0]))
            else:
                counts.entries += 1
                yield Entry((("sha1", sha1(rest[0])),), key, "1", key, int(rest[1]))


@pytest.fixture(autouse=True)
def _format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scanner.feeds.importer.available_formats", lambda: {"changes": Changes()})


def run(tmp_path: Path, text: str, base: Path | None = None, **changed: Any) -> dict[str, Any]:
    (tmp_path / "list").write_text(text)
    descriptor = os.open(tmp_path / "list", os.O_RDONLY)  # closed by the import
    base_descriptor = os.open(base, os.O_RDONLY) if base else None
    order = {
        "feed": "f", "source": "feed f", "format": "changes", "options": asdict(FormatOptions()), "now_ns": 1,
        "max_bytes": 1 << 20, "max_malformed": 0.0, "memory": "m", "key": KEY.hex(), "identities": "",
        "kinds": [], "polarity": "illegal",
        "partial": base is not None, "descriptor": descriptor, "base": base_descriptor, **changed,
    }  # fmt: skip
    try:
        return write_index(order, tmp_path / "index")
    except SnapshotError:
        os.close(descriptor)  # it came before the list
        raise
    finally:
        if base_descriptor is not None:
            os.close(base_descriptor)


def test_changes_are_applied_to_the_list_in_use_and_counted(tmp_path: Path) -> None:
    first = run(tmp_path, "+a one 1\n+b two 1\n+c two 1\n")
    assert first["list"] == {
        "entries": 3, "hashes": {"sha1": 3}, "categories": {"1": 3},
        "added": 3, "replaced": 0, "removed": 0, "unknown": 0, "outdated": 0,
    }  # fmt: skip
    base = (tmp_path / "index").rename(tmp_path / "base")
    second = run(tmp_path, "-b 2\n+a three 2\n-x 1\n+d four 1\n+c two 0\n", base)
    answer = imported(json.dumps({"ok": second}).encode(), partial=True)
    figures = answer.list
    assert (figures.added, figures.replaced, figures.removed) == (1, 1, 1)
    assert (figures.unknown, figures.outdated) == (1, 1)
    assert (answer.counts.entries, answer.counts.removals) == (3, 2)
    assert answer.list_counts()["entries"] == figures.entries == 3
    snapshot = Snapshot.open(tmp_path / "index", key=KEY)
    found = {
        text: [e.id for e in snapshot.exact("sha1", sha1(text))] for text in ("one", "two", "three", "four")
    }
    assert found == {"one": [], "two": ["c"], "three": ["a"], "four": ["d"]}
    assert snapshot.meta.memory == "m"


def test_changes_that_leave_nothing_are_refused_like_an_empty_list(tmp_path: Path) -> None:
    run(tmp_path, "+a one 1\n")
    base = (tmp_path / "index").rename(tmp_path / "base")
    with pytest.raises(FeedRefusedError, match="empty"):
        run(tmp_path, "-a 2\n", base)
    assert not (tmp_path / "index").exists()


def test_a_damaged_or_foreign_list_is_not_changed(tmp_path: Path) -> None:
    run(tmp_path, "+a one 1\n")
    base = (tmp_path / "index").rename(tmp_path / "base")
    with pytest.raises(ListKeyError):
        run(tmp_path, "+b two 1\n", base, key=ListKey(bytes(32)).hex())
    data = bytearray(base.read_bytes())
    data[-1] ^= 1
    base.write_bytes(data)
    with pytest.raises(SnapshotError, match="checksum"):
        run(tmp_path, "+b two 1\n", base)
    assert not (tmp_path / "index").exists()
