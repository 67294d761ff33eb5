"""Kinds of hashes that a list carries, and that files are or are not compared by."""

from __future__ import annotations

import hashlib
import io
import os
import time
from pathlib import Path
from typing import Any

import imagehash
import pytest
from PIL import Image
from structlog.testing import capture_logs

from scanner.app.diagnosis import _feeds
from scanner.app.status import feed_status
from scanner.config import FeedConfig
from tests.scanning import app_of, scanned


def picture() -> Image.Image:
    return Image.radial_gradient("L").resize((320, 240)).convert("RGB")


async def test_a_kind_that_is_not_hashed_is_said_everywhere_and_files_are_read_again_once_it_is_named(
    tmp_path: Path,
) -> None:
    out = io.BytesIO()
    picture().save(out, "PNG")
    listed = hashlib.sha512(out.getvalue()).hexdigest()
    near = imagehash.phash(picture(), hash_size=16)
    near.hash[3] ^= True  # 16 bits away
    (tmp_path / "list.csv").write_text(f"sha512,phash256\n{listed},{near}\n")
    feeds = (FeedConfig(name="police", url=f"file://{tmp_path}/list.csv", format="csv"),)
    before = app_of(tmp_path, feeds)
    before.state.prepare()
    (tmp_path / "www" / "a.png").write_bytes(out.getvalue())
    picture().save(tmp_path / "www" / "b.bmp")
    with capture_logs() as logs:
        await before.sync_feed("police")
    said = [e for e in logs if e["event"] == "feed_kind_not_hashed"]
    assert [(e["feed"], e["kind"], e["values"], e["all_of_it"]) for e in said] == [
        ("police", "phash256", 1, True),
        ("police", "sha512", 1, True),
    ]
    told, counts = await scanned(before)
    assert not told.hits
    assert counts.clean == 2
    assert [fields["kind"] for event, fields in told.notes if event == "feed_kind_not_hashed"] == [
        "phash256",
        "sha512",
    ]
    assert any("1 phash256, 1 sha512 values are compared with no file" in w for w in before.check())
    assert "finds nothing at all" in _feeds(before).text
    assert feed_status(before, "police")["not_hashed"] == {"sha512": 1, "phash256": 1}

    after = app_of(tmp_path, feeds, exact=("md5", "sha512"), perceptual=("phash256",))
    told, counts = await scanned(after)  # what the catalog knew has no SHA-512: it is read again
    assert (counts.hashed, counts.unchanged, counts.matched) == (2, 0, 2)
    assert {(c.match.kind, c.match.distance) for c in told.hits} == {("sha512", 0), ("phash256", 16)}
    assert not [event for event, _ in told.notes if event == "feed_kind_not_hashed"]
    assert feed_status(after, "police")["not_hashed"] == {}


@pytest.mark.parametrize(
    ("feed", "told"),
    [
        ({"hash": "phash"}, "declared to have phash"),
        ({"columns": {"H": "sha512", "Id": "id"}}, "declared to have sha512"),
        ({"hash": "pdq", "polarity": "benign"}, "declared to have pdq"),
        ({"hash": "sha256", "polarity": "benign"}, ""),
    ],
)
def test_a_declared_kind_that_is_not_hashed_is_a_warning_of_the_configuration_check(
    tmp_path: Path, feed: dict[str, Any], told: str
) -> None:
    app = app_of(tmp_path, (FeedConfig(name="police", url="https://h.example/l", **feed),))
    warnings = [w for w in app.check() if "police" in w]
    assert bool(warnings) == bool(told)
    assert all(told in w for w in warnings)


async def test_once_a_kind_is_named_only_files_that_lack_it_are_read_again(tmp_path: Path) -> None:
    pictures = [Image.effect_noise((64, 64), 60) for _ in range(3)]
    listed = imagehash.phash(pictures[1])
    (tmp_path / "list.csv").write_text(f"phash\n{listed}\n")
    feeds = (FeedConfig(name="police", url=f"file://{tmp_path}/list.csv", format="csv"),)
    before = app_of(tmp_path, feeds, perceptual=("pdq",))
    before.state.prepare()
    await before.sync_feed("police")
    www = tmp_path / "www"
    for number, picture_of in enumerate(pictures):
        (www / f"{number}").mkdir()
        picture_of.save(www / f"{number}" / "a.png")
        (www / f"{number}" / "text.txt").write_text("text")
    (www / "0" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    os.truncate(www / "2" / "text.txt", 0)
    time.sleep(2.1)  # what is younger is read again anyway
    _, counts = await scanned(before)
    assert (counts.clean, counts.hashed, counts.matched) == (3, 4, 0)

    after = app_of(tmp_path, feeds, perceptual=("pdq", "phash"))
    told, counts = await scanned(after)
    assert counts.balanced
    assert (counts.files, counts.hashed, counts.unchanged) == (7, 3, 0)
    assert (counts.clean, counts.matched, counts.errors) == (2, 1, 1)
    assert [c.path for c in told.hits] == [b"1/a.png"]
    _, counts = await scanned(after)
    assert (counts.hashed, counts.matched, counts.unchanged, counts.errors) == (0, 1, 2, 1)
