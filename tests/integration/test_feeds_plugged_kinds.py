"""A licensed hash kind, brought by a package: lists' values of it are loaded where it is hashed.

The package here is made up: what it calls photodna has the length of the real one's values and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from scanner.app import App
from scanner.app.unhashed import of_feed
from scanner.hashing.kinds import build_hashers, plugged_kinds
from scanner.model.errors import ConfigError
from scanner.model.hashes import Digests, PerceptualHash

PLUGIN = """
import hashlib
from scanner.model.hashes import HashKind, MD5

class Licensed:
    kind = "photodna"
    hash_kind = HashKind("photodna", 144, exact=False)
    def __init__(self):
        self.key = "licence"
    def hashes(self, picture):
        return [("whole", hashlib.shake_256(picture.tobytes()).digest(144), 100)]

class Silent(Licensed):
    hash_kind = None
class TooLong(Licensed):
    hash_kind = HashKind("photodna", 145, exact=False)
class Exact(Licensed):
    hash_kind = MD5
class Other(Licensed):
    hash_kind = HashKind("pdq", 32, exact=False)
"""

Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    folder = tmp_path / "packages"

    def put(name: str) -> None:
        info = folder / "licensed_hasher-1.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (folder / "licensed_hasher.py").write_text(PLUGIN)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: licensed-hasher\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[hostsweep.hashers]\nphotodna = licensed_hasher:{name}\n")
        monkeypatch.syspath_prepend(str(folder))

    return put


def app_of(tmp_path: Path, perceptual: str) -> App:
    path = tmp_path / "config.yaml"
    path.write_text(
        f"hashing: {{perceptual: {perceptual}}}\n"
        f"feeds: [{{name: police, url: 'file://{tmp_path}/list.csv', format: csv}}]\n"
    )
    app = App.from_files(path, tmp_path / "state")
    app.state.prepare()
    return app


async def test_values_of_a_licensed_kind_are_matched_where_it_is_hashed_and_counted_else(
    tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = Image.linear_gradient("L")
    value = hashlib.shake_256(picture.tobytes()).digest(144)
    md5 = hashlib.md5(b"a").hexdigest()
    (tmp_path / "list.csv").write_text(f"type,hash,id\nPhotoDNA,{value.hex()},p1\nMD5,{md5},m1\n")

    install("Licensed")
    without = app_of(tmp_path, "[pdq]")
    await without.sync_feed("police")
    counts = without.keeper.store.state("police").counts or {}
    assert (counts["hashes"], counts["unsupported"]) == ({"md5": 1}, {"photodna": 1})

    having = app_of(tmp_path, "[pdq, photodna]")
    assert (await having.sync_feed("police")).result == "updated"  # what was left out is read now
    assert (await having.sync_feed("police")).result == "not_modified"
    counts = having.keeper.store.state("police").counts or {}
    assert (counts["hashes"], counts["unsupported"]) == ({"md5": 1, "photodna": 1}, {})
    (hasher,) = build_hashers(("photodna",))
    seen = tuple(PerceptualHash("photodna", *found) for found in hasher.hashes(picture))
    index = having.keeper.open().index
    match = index.match(Digests(1, "image/png", {}, seen))
    assert [(m.kind, m.entry, m.distance) for m in match] == [("photodna", "p1", 0)]
    other = PerceptualHash("photodna", "whole", value[:-1] + bytes([value[-1] ^ 1]), 100)
    assert (
        index.match(Digests(1, "image/png", {}, (other,))) == ()
    )  # it states no distance, so only equal ones

    monkeypatch.undo()  # the package is gone, the list is still there
    gone = app_of(tmp_path, "[pdq]")
    assert gone.keeper.open().feeds[0].snapshot.counts == {"md5": 1, "photodna": 1}
    assert of_feed(gone.config, gone.keeper.feed("police"), counts) == {"photodna": 1}
    with pytest.raises(ConfigError, match="PhotoDNA is licensed software"):
        app_of(tmp_path, "[pdq, photodna]")


@pytest.mark.parametrize("name", ["TooLong", "Exact", "Other", "Missing"])
def test_a_package_that_describes_its_kind_wrongly_is_an_error(install: Install, name: str) -> None:
    install(name)
    with pytest.raises(ConfigError, match="photodna"):
        plugged_kinds(("pdq", "photodna"))


def test_a_package_that_describes_nothing_hashes_and_no_list_has_its_kind(install: Install) -> None:
    install("Silent")
    assert plugged_kinds(("photodna",)) == {}
