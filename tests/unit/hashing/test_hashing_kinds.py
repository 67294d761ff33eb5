"""Hash kinds by name: built in, or brought by another package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scanner.hashing import frames, known_kinds
from scanner.hashing.frames import Done
from scanner.hashing.kinds import build_hashers
from scanner.model.errors import ConfigError
from scanner.model.hashes import PerceptualHash

PLUGIN = """
class Flat:
    kind = "flat"
    def hashes(self, picture):
        return [("whole", b"\\0" * 8, 100), ("left_half", b"\\1" * 8, 100)]
def broken():
    raise RuntimeError("no licence")
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "flat_hasher.py").write_text(PLUGIN)
    info = tmp_path / "flat_hasher-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: flat-hasher\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[hostsweep.hashers]\nflat = flat_hasher:Flat\nbroken = flat_hasher:broken\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def test_built_in_kinds_are_built_in_the_order_asked_for() -> None:
    assert [h.kind for h in build_hashers(("dhash", "pdq", "phash"))] == ["dhash", "pdq", "phash"]


@pytest.mark.usefixtures("plugin")
def test_kind_of_another_package_is_found_by_its_entry_point() -> None:
    assert "flat" in known_kinds()
    (hasher,) = build_hashers(("flat",))
    views = tuple(PerceptualHash(hasher.kind, *found) for found in hasher.hashes(None))
    assert [(h.view, h.value) for h in views] == [("whole", b"\0" * 8), ("left_half", b"\1" * 8)]
    # Views of its own naming come from the worker to the pool as they are.
    told = frames.parse_reply(frames.encode_done(Done(1, "", views), ("flat",)), ("flat",))
    assert told == Done(1, "", views)


@pytest.mark.usefixtures("plugin")
def test_kind_that_cannot_be_loaded_says_why() -> None:
    with pytest.raises(ConfigError, match="no licence"):
        build_hashers(("broken",))


def test_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="pdq"):
        build_hashers(("photodna",))


def test_importing_the_room_loads_no_decoder() -> None:
    import subprocess

    code = "import scanner.hashing, sys; sys.exit(any(m in sys.modules for m in ('PIL', 'numpy', 'scipy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
