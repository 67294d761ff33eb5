"""What scans make of directories that were moved since the last one."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from PIL import Image

from scanner.app.app import App
from scanner.config import FeedConfig
from scanner.sources.moved import keeps_inodes
from tests.scanning import Told, app_of, scanned


class Site:
    def __init__(self, tmp_path: Path) -> None:
        self.list = tmp_path / "list.csv"
        self.app: App = app_of(
            tmp_path, (FeedConfig(name="police", url=f"file://{self.list}"),), perceptual=()
        )
        self.app.state.prepare()
        self.tree = tmp_path / "www"
        for n, name in enumerate(("old/a.png", "old/deep/b.png", "old/deep/er/c.png", "next/a.png")):
            path = self.tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), n).save(path)

    async def listed(self, *paths: str) -> None:
        rows = [hashlib.sha256((self.tree / path).read_bytes()).hexdigest() for path in paths]
        self.list.write_text("\n".join(["sha256", "ab" * 32, *rows, ""]))
        await self.app.sync_feed("police")

    async def scan(self) -> tuple[int, int, list[str]]:
        """Files read, files known by a former path, and where hits are."""
        told: Told
        told, counts = await scanned(self.app)
        assert counts.complete and counts.balanced and counts.files == 4
        return counts.hashed, counts.moved, sorted(os.fsdecode(case.path) for case in told.hits)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    fd = os.open(made.tree, os.O_RDONLY)
    kept = keeps_inodes(fd)
    os.close(fd)
    if not kept:
        pytest.skip("the file system does not keep inodes")
    return made


async def test_a_release_that_changes_places_with_another_hides_nothing(site: Site) -> None:
    await site.listed("next/a.png")
    time.sleep(2.1)  # what is younger is looked at again
    assert await site.scan() == (4, 0, ["next/a.png"])
    os.rename(site.tree / "old", site.tree / "aside")
    os.rename(site.tree / "next", site.tree / "old")
    os.rename(site.tree / "aside", site.tree / "next")
    # A listed picture is put into what was moved, with the time of the one in its place.
    victim = site.tree / "next/deep/b.png"
    before = victim.stat()
    victim.write_bytes((site.tree / "old/a.png").read_bytes())
    os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert await site.scan() == (1, 3, ["next/deep/b.png", "old/a.png"])

    # A new list meets what has moved by its digests, at its new path.
    await site.listed("next/deep/er/c.png")
    assert (await site.scan())[1:] == (0, ["next/deep/er/c.png"])
