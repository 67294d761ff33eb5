"""`hashing.perceptual: auto`: what lists bring is computed, files that lack it are read again, once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import imagehash
from PIL import Image

from scanner.app.app import App
from scanner.app.status import feed_status, status
from scanner.config import FeedConfig
from tests.scanning import app_of, scanned


def auto(tmp_path: Path, *feeds: FeedConfig) -> App:
    app = app_of(tmp_path, feeds, perceptual=("auto",))
    app.state.prepare()
    return app


def added(told: object) -> list[tuple[object, object]]:
    return [(f["kind"], f["feeds"]) for event, f in told.notes if event == "perceptual_kind_added"]  # type: ignore[attr-defined]


async def test_a_kind_that_a_list_brings_is_computed_and_known_files_are_read_again_once(
    tmp_path: Path,
) -> None:
    picture = Image.radial_gradient("L").resize((320, 240)).convert("RGB")
    near = imagehash.phash(picture, hash_size=16)
    near.hash[3] ^= True  # 16 bits away
    path = tmp_path / "list.csv"
    police = FeedConfig(name="police", url=f"file://{path}", format="csv")
    path.write_text(f"md5\n{'ab' * 16}\n")
    app = auto(tmp_path, police)
    picture.save(tmp_path / "www" / "a.png")
    await app.sync_feed("police")
    told, counts = await scanned(app)
    assert (counts.hashed, counts.matched, added(told)) == (1, 0, [])
    assert status(app)["hashing"]["perceptual"] == ["pdq"]

    path.write_text(f"md5,phash256\n{'ab' * 16},{near}\n")
    await app.sync_feed("police")
    assert feed_status(app, "police")["not_hashed"] == {}
    await asyncio.sleep(2.1)  # what is younger is read again anyway
    told, counts = await scanned(app)
    assert (counts.hashed, counts.matched) == (1, 1)
    assert [(c.match.kind, c.match.distance) for c in told.hits] == [("phash256", 16)]
    assert added(told) == [("phash256", "police")]
    assert status(app)["hashing"] == {
        "exact": ["md5", "sha1", "sha256"], "perceptual": ["pdq", "phash256"], "auto": True,
    }  # fmt: skip

    # Once brought it stays, whatever the next release has: nothing is read again for it, nor told again.
    path.write_text(f"md5\n{'ab' * 16}\n")
    await app.sync_feed("police")
    told, counts = await scanned(auto(tmp_path, police))
    assert (counts.hashed, added(told)) == (0, [])


async def test_a_benign_list_brings_no_kind_and_a_declared_one_is_computed_before_its_list_comes(
    tmp_path: Path,
) -> None:
    (tmp_path / "list.csv").write_text(f"dhash\n{'0f' * 8}\n")
    benign = FeedConfig(name="b", url=f"file://{tmp_path}/list.csv", format="csv", polarity="benign")
    declared = FeedConfig(name="d", url="file:///nowhere", hash="phash")
    app = auto(tmp_path, benign, declared)
    await app.sync_feed("b")
    await scanned(app)
    assert status(app)["hashing"]["perceptual"] == ["pdq", "phash"]


async def test_a_record_that_is_damaged_is_found_out_anew(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"dhash\n{'0f' * 8}\n")
    app = auto(tmp_path, FeedConfig(name="p", url=f"file://{tmp_path}/list.csv", format="csv"))
    await app.sync_feed("p")
    app.state.kinds.write_bytes(b'{"perceptual": "dhash, or 1')
    told, _ = await scanned(app)
    assert added(told) == [("dhash", "p")]
    assert status(app)["hashing"]["perceptual"] == ["pdq", "dhash"]
