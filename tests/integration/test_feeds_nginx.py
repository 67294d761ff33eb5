"""A real web server: client certificates, ETag, and connections that are killed in the middle of a list."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from simulators.authority import Authority
from simulators.cutting import Line, line
from simulators.nginx import Nginx, needs_nginx, nginx
from simulators.publisher import QUICK, Waits

from scanner.app import App
from scanner.app.state import StateDirectory
from scanner.config import Config
from scanner.feeds import FetchRequest, fetch
from scanner.model.errors import FeedTransportError

pytestmark = needs_nginx

ENTRIES = 120_000  # 4 MB: more than what waits in buffers on the way
BODY = b"".join(b"%032x\n" % (n + 2) for n in range(ENTRIES))


@dataclass(frozen=True)
class Site:
    root: Path
    server: Nginx
    keys: dict[str, Any]


def put(root: Path, content: bytes, *, seconds_ago: float) -> None:
    """Publish a list as one should, by renaming."""
    (root / "new").write_bytes(content)
    then = time.time() - seconds_ago
    os.utime(root / "new", (then, then))
    (root / "new").rename(root / "list.txt")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    authority = Authority(tmp_path / "authority")
    certificate, key = authority.issue("hoster")
    root = tmp_path / "root"
    root.mkdir()
    put(root, BODY, seconds_ago=100)
    keys = {"ca_file": authority.ca, "certificate_file": certificate, "certificate_key_file": key}
    more = "location /packed/ { gzip on; gzip_types *; gzip_min_length 0; alias " + str(root) + "/; }"
    with nginx(tmp_path / "nginx", root, authority, client_certificates=True, more=more) as server:
        yield Site(root, server, keys)


async def fetched(
    site: Site, session: Any, staging: Path, port: int, path: str = "list.txt", **options: Any
) -> Any:
    request = FetchRequest("f", f"https://localhost:{port}/{path}", **{**site.keys, **options})
    return await fetch(request, session, staging, policy=replace(QUICK, attempts=4), sleep=Waits())


async def test_a_list_comes_to_who_shows_a_certificate_and_only_when_it_changed(site, session, staging):
    with pytest.raises(FeedTransportError, match=r"400.*certificate_file"):
        await fetched(
            site, session, staging, site.server.port, certificate_file=None, certificate_key_file=None
        )
    got = await fetched(site, session, staging, site.server.port)
    assert staging.read_bytes() == BODY
    again = await fetched(
        site, session, staging, site.server.port, etag=got.etag, last_modified=got.last_modified
    )
    assert again.not_modified and again.traffic.received == 0
    packed = await fetched(site, session, staging, site.server.port, "packed/list.txt", compressed=True)
    assert staging.read_bytes() == BODY
    assert packed.traffic.received < len(BODY) / 2
    told = [line.split()[2] for line in site.server.log()]
    assert told == ["400", "200", "304", "200"]
    assert all("CN=hoster" in line for line in site.server.log()[1:])


async def test_a_line_that_breaks_twice_costs_no_more_than_what_was_lost(site, session, staging):
    async with line(Line(site.server.port, breaks=[500_000, 1_500_000])) as broken:
        got = await fetched(site, session, staging, broken.port)
    assert staging.read_bytes() == BODY
    assert got.sha256 == hashlib.sha256(BODY).hexdigest()
    assert (got.traffic.requests, got.traffic.resumed) == (3, 2)
    assert got.traffic.received == len(BODY)  # no byte of the list twice
    assert sum(broken.passed) < len(BODY) * 1.2 + 600_000


async def test_a_list_that_changes_while_the_line_is_down_comes_whole(site, session, staging):
    newer = BODY.replace(b"0000", b"1111")

    def publish() -> None:
        put(site.root, newer, seconds_ago=10)

    async with line(Line(site.server.port, breaks=[500_000], before=publish)) as broken:
        got = await fetched(site, session, staging, broken.port)
    assert staging.read_bytes() == newer
    assert (got.traffic.requests, got.traffic.resumed) == (2, 0)
    ranges = [line.split('"')[1] for line in site.server.log()]
    assert ranges[-1].startswith("bytes=")  # it was asked for the rest, and knew better


async def test_two_lists_of_one_second_and_one_size_have_one_etag_and_are_told_apart(site, session, staging):
    """nginx makes its ETag of the size and the second of the last change; this one is just now."""
    newer = BODY.replace(b"0000", b"1111")
    put(site.root, BODY, seconds_ago=-30)
    first = (site.root / "list.txt").stat().st_mtime

    def publish() -> None:
        put(site.root, newer, seconds_ago=time.time() - first)

    async with line(Line(site.server.port, breaks=[500_000], before=publish)) as broken:
        got = await fetched(site, session, staging, broken.port)
    assert staging.read_bytes() == newer
    assert (got.etag, got.last_modified, got.traffic.resumed) == ("", "", 0)


async def test_a_sync_goes_on_after_the_servers_worker_was_killed(site: Site, tmp_path: Path) -> None:
    """Through the configuration, the confined process and the import, to the index in use."""
    async with line(
        Line(site.server.port, breaks=[2_000_000], before=site.server.kill_workers, cuts=False)
    ) as killing:
        feed = {
            "name": "f",
            "url": f"https://localhost:{killing.port}/list.txt",
            **{key: str(path) for key, path in site.keys.items()},
        }
        sync = {"sync": {"user": 65534}} if os.geteuid() == 0 else {}
        app = App(
            Config.model_validate({"feeds": (feed,), **sync}),
            StateDirectory(tmp_path / "state", tmp_path / "v"),
        )
        app.state.prepare()
        change = await app.sync_feed("f")
        assert (change.result, change.entries) == ("updated", ENTRIES)
        assert app.keeper.store.state("f").source_sha256 == hashlib.sha256(BODY).hexdigest()
    told = [(line.split()[2], line.split('"')[1]) for line in site.server.log()]
    # Who is killed writes no log: the first answer is missing.
    assert [status for status, _ in told] == ["206"]
    assert told[0][1].startswith("bytes=")
