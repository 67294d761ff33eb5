"""`hostsweep feed benign`: a list of what comes with content systems, and that it vetoes a police list."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fuzz_targets import _foreign as made
from PIL import Image

from scanner.app.benign import list_trees
from scanner.cli.main import main
from scanner.config import FeedConfig
from scanner.model.errors import ConfigError
from scanner.model.hashes import Digests
from tests.scanning import app_of, scanned


def picture(shade: int) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").point(lambda v: (v + shade) % 256).save(out, "PNG")
    return out.getvalue()


def file_of(content: bytes) -> Digests:
    exact = {kind: hashlib.new(kind, content).digest() for kind in ("md5", "sha1", "sha256")}
    return Digests(len(content), "image/png", exact)


def benign(state: Path, *trees: Path) -> Result:
    command = ["--state-dir", str(state), "feed", "benign", *map(str, trees)]
    return CliRunner().invoke(main, command, standalone_mode=False)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A content system as it is unpacked."""
    theme = tmp_path / "wordpress" / "wp-content" / "themes" / "plain\nback\\slash"
    theme.mkdir(parents=True)
    (theme / " header.png").write_bytes(picture(1))
    (theme / "same.png").write_bytes(picture(1))
    (theme / "style.css").write_text("body { color: red }")
    (theme / "empty.png").touch()
    return tmp_path / "wordpress"


async def test_pictures_of_a_content_system_veto_a_police_list_that_has_them(
    tmp_path: Path, package: Path
) -> None:
    done = benign(tmp_path / "state", package)
    assert done.return_value == 0
    (tmp_path / "known.txt").write_bytes(done.stdout_bytes)
    known, other = picture(1), picture(2)
    (tmp_path / "police.txt").write_text("".join(f"{hashlib.md5(p).hexdigest()}\n" for p in (known, other)))
    app = app_of(
        tmp_path,
        (
            FeedConfig(name="police", url=f"file://{tmp_path}/police.txt"),
            FeedConfig(name="packages", url=f"file://{tmp_path}/known.txt", polarity="benign"),
        ),
    )
    app.state.prepare()
    (tmp_path / "www" / "stock.png").write_bytes(known)
    (tmp_path / "www" / "listed.png").write_bytes(other)
    await app.sync_feed("police")
    assert len(app.keeper.open().index.match(file_of(known))) == 1  # the mistake of the list
    assert (await app.sync_feed("packages")).entries == 1
    told, counts = await scanned(app)
    assert [case.path for case in told.hits] == [b"listed.png"]
    assert counts.matched == 1


def test_the_list_names_no_place_follows_no_link_and_leaves_out_what_is_no_picture(
    tmp_path: Path, package: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret.png").write_bytes(picture(3))
    (package / "link").symlink_to(tmp_path / "elsewhere")
    (package / "link.png").symlink_to(tmp_path / "elsewhere" / "secret.png")
    os.mkfifo(package / "pipe.png")
    done = benign(tmp_path / "state", package)
    assert done.return_value == 2  # the pipe can't be read, and that is said
    assert "pipe.png" in done.stderr
    digest = hashlib.sha256(picture(1)).hexdigest()
    name = r"./wp-content/themes/plain\nback\\slash/ header.png"
    assert done.stdout.splitlines()[1:] == [f"\\{digest}  {name}"]
    assert str(tmp_path) not in done.stdout


def test_what_customers_can_write_to_is_never_taken_for_harmless(tmp_path: Path, package: Path) -> None:
    (tmp_path / "way").symlink_to(package)
    for tree, volume in (
        (package, package),
        (package / "wp-content", package),
        (package, package / "wp-content"),
        (package, tmp_path / "way"),
    ):
        with pytest.raises(ConfigError, match="customers"):
            list_trees([tree], [volume])
    with pytest.raises(ConfigError, match="no link"):
        list_trees([tmp_path / "way"], [])
    assert benign(tmp_path / "state", tmp_path / "none").exception is not None


async def test_nists_lists_veto_as_benign_feeds_that_of_caid_too(tmp_path: Path) -> None:
    """The envelope of CAID is that of illegal sets, down to the model: only the polarity tells."""
    in_caid, in_rds, in_none = picture(1), picture(2), picture(3)
    md5, sha1 = (hashlib.new(kind, in_caid).hexdigest().upper() for kind in ("md5", "sha1"))
    media = {"MediaID": 1, "MD5": md5, "SHA1": sha1, "MediaSize": "7", "MediaFiles": [{"MD5": md5}]}
    model = "http://github.com/ICMEC/ProjectVic/DataModels/1.2.xml#Media"
    (tmp_path / "caid").write_text(json.dumps({"odata.metadata": model, "value": [media]}))
    rds = [tuple(hashlib.new(k, in_rds).hexdigest() for k in ("sha256", "sha1", "md5"))]
    (tmp_path / "rds").write_bytes(made.rds3(rds))
    pictures = (in_caid, in_rds, in_none)
    (tmp_path / "police").write_text("".join(f"{hashlib.md5(p).hexdigest()}\n" for p in pictures))
    polarities = {"police": "illegal", "caid": "benign", "rds": "benign"}
    feeds = (
        FeedConfig(name=name, url=f"file://{tmp_path}/{name}", polarity=polarity)
        for name, polarity in polarities.items()
    )
    app = app_of(tmp_path, tuple(feeds))
    app.state.prepare()
    for name in app.feed_names:
        await app.sync_feed(name)
    index = app.keeper.open().index
    assert [len(index.match(file_of(content))) for content in pictures] == [0, 0, 1]
