"""Feeds with keys, all the way: what is verified is loaded, what is not is kept aside, the last good one
stays."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner
from structlog.testing import capture_logs

from scanner.app import App, importing
from scanner.app.health import readiness
from scanner.app.importing import opened_list
from scanner.app.state import StateDirectory
from scanner.app.status import feed_status
from scanner.cli.main import main
from scanner.config import Config, FeedConfig
from scanner.feeds import Fetched, FetchRequest, Opened, fetch
from scanner.feeds.trust.errors import (
    BadSignatureError,
    FrozenError,
    RollbackError,
    SignatureMissingError,
    SubstitutionError,
    WrongKeyError,
)
from scanner.feeds.trust.signing import KeyPair, comment, make_key_pair, sign_bytes
from scanner.model.errors import FeedTrustError, ScannerError
from scanner.pipeline import feed_answers
from scanner.pipeline.feed_answers import ImportAnswer
from scanner.pipeline.feed_processes import FeedProcesses, ImportOrder
from scanner.pipeline.import_process import write_index

SECOND, DAY = 10**9, 86_400 * 10**9
NOW = 1_790_000_000 * SECOND
KEY = make_key_pair(lambda n: bytes(range(n)))
OTHER = make_key_pair(lambda n: bytes(range(50, 50 + n)))


@dataclass
class Clock:
    now: int = NOW

    def now_ns(self) -> int:
        return self.now


def list_of(*names: str) -> bytes:
    return b"".join(hashlib.sha256(n.encode()).hexdigest().encode() + b"  x\n" for n in names)


class Host:
    """A provider with one signed feed, and what a publisher has put at its address."""

    def __init__(self, base: Path, url: str = "", **signature: Any) -> None:
        self.base, self.clock = base, Clock()
        self.list = base / "list.txt"
        wanted = {"kind": "minisign", "keys": (KEY.public.encoded(),), **signature}
        self.feed = FeedConfig(
            name="police",
            url=url or f"file://{self.list}",
            format="plain",
            signature=wanted,
            max_age="90d",
        )
        self.start()

    def start(self, **changed: Any) -> App:
        """A new process on the same directory, with another configuration perhaps."""
        if changed:
            wanted = self.feed.signature.model_copy(update=changed)
            self.feed = self.feed.model_copy(update={"signature": wanted})
        state = StateDirectory(self.base / "state", self.base / "state" / "quarantine")
        self.app = App(Config(feeds=(self.feed,)), state, clock=self.clock)
        self.app.state.prepare()
        return self.app

    def publish(
        self, data: bytes, serial: int = 1, *, at: int = 0, feed: str = "police", key: KeyPair = KEY
    ) -> None:
        self.list.write_bytes(data)
        signature = sign_bytes(key, data, comment(feed, serial, at or self.clock.now))
        Path(f"{self.list}.minisig").write_bytes(signature)

    async def sync(self) -> str:
        return (await self.app.sync_feed("police")).result

    async def refused(self, error: type[FeedTrustError]) -> None:
        """A sync that ends so, and leaves all as it was but for what it keeps aside."""
        before = self.loaded()
        with capture_logs() as logs, pytest.raises(error):
            await self.sync()
        assert self.loaded() == before
        [told] = [e for e in logs if e["event"] == "feed_refused"]
        assert told["reason"] == error.reason and told["log_level"] == "error"
        counted = f'hostsweep_feed_refused_total{{feed="police",reason="{error.reason}"}}'
        assert counted in self.app.metrics.render().decode()
        assert self.status()["refusals"][error.reason] >= 1
        assert not list(self.app.state.feeds_work.iterdir())

    def loaded(self) -> int:
        """Entries that are compared with."""
        return sum(sum(f.snapshot.counts.values()) for f in self.app.keeper.open().feeds)

    def status(self) -> Mapping[str, Any]:
        return feed_status(self.app, "police")

    @property
    def folder(self) -> Path:
        return self.app.state.feeds / "police"


class InProcess(FeedProcesses):
    """The same work without processes of its own: what is tested here is what is made of it."""

    async def fetch(self, request: FetchRequest, work: Path, target: Path) -> Fetched:
        opened = Opened.for_request(request)
        return replace(await fetch(request, None, target, opened=opened), signature=opened.signature)

    async def build(self, order: ImportOrder, descriptor: int, work: Path, target: Path) -> ImportAnswer:
        made = write_index({**asdict(order), "descriptor": os.dup(descriptor)}, target)
        return feed_answers.imported(json.dumps({"ok": made}).encode())


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(importing, "FeedProcesses", InProcess)
    return Host(tmp_path)


async def test_a_verified_list_is_loaded_and_what_is_not_is_kept_aside(host: Host) -> None:
    host.publish(list_of("a", "b"), serial=5)
    assert (await host.sync(), host.loaded()) == ("updated", 2)
    shown = host.status()
    assert (shown["signed"], shown["signed_by"], shown["serial"]) == (True, KEY.public.name, 5)
    assert shown["signed_at_ns"] == NOW and await host.sync() == "not_modified"

    host.list.write_bytes(list_of("a", "b", "planted"))  # the server was taken over, the key was not
    await host.refused(BadSignatureError)
    assert (host.folder / "refused-list").read_bytes() == list_of("a", "b", "planted")
    assert b"trusted comment" in (host.folder / "refused-signature").read_bytes()
    assert json.loads((host.folder / "refused.json").read_text())["reason"] == "bad_signature"
    assert {stat.S_IMODE(p.stat().st_mode) for p in host.folder.glob("refused*")} == {0o600}
    Path(f"{host.list}.minisig").unlink()
    host.list.write_bytes(list_of("z"))
    await host.refused(SignatureMissingError)
    assert (host.folder / "refused-list").read_bytes() == list_of("z")  # the last one, and no more
    host.start(keep_refused=False)
    await host.refused(SignatureMissingError)
    assert not list(host.folder.glob("refused*"))


async def test_neither_a_restart_nor_a_damaged_state_opens_the_way_back_to_an_old_list(host: Host) -> None:
    host.publish(list_of("old"), serial=4)
    host.publish(list_of("a", "b"), serial=5)
    await host.sync()
    host.clock.now += DAY
    host.start()
    host.publish(list_of("old"), serial=4)
    await host.refused(RollbackError)
    (host.folder / "state.json").write_text("{")
    host.start()
    await host.refused(RollbackError)
    assert host.status()["signed"] and "damaged" in host.status()["warning"]
    # Without one file the other stands in for it; without both that is said, and nothing unverified is
    # loaded.
    (host.folder / "trust.json").write_text("x")
    await host.refused(RollbackError)
    assert (host.folder / "trust.json.damaged").exists()
    (host.folder / "state.json").write_text("{")
    assert host.loaded() == 0 and not host.status()["signed"]
    assert not readiness(host.app.config, host.app.keeper, host.app.vault, None, host.clock).ready
    with capture_logs() as logs:
        await host.sync()
    assert "feed_trust_lost" in [e["event"] for e in logs] and host.loaded() == 1


async def test_an_old_list_is_taken_again_only_when_the_operator_says_so(host: Host) -> None:
    host.publish(list_of("a"), serial=900)  # a mistake of the publisher's
    await host.sync()
    host.publish(list_of("b", "c"), serial=6)
    await host.refused(RollbackError)
    with capture_logs() as logs:
        assert await host.app.syncing.reset_trust("police")
    assert [e["event"] for e in logs] == ["feed_trust_reset"]
    assert not await host.app.syncing.reset_trust("police")
    host.publish(list_of("b", "planted"), serial=6, key=OTHER)
    await host.refused(WrongKeyError)
    host.publish(list_of("b", "c"), serial=6)
    assert (await host.sync(), host.status()["serial"]) == ("updated", 6)


async def test_a_server_that_says_for_ever_that_nothing_has_changed_is_found_out(host: Host) -> None:
    host.publish(list_of("a"), serial=5)
    await host.sync()
    host.clock.now += 31 * DAY
    await host.refused(FrozenError)
    snapshot = host.app.keeper.current("police")
    host.publish(list_of("a"), serial=6)  # the same list, signed anew: nothing is imported for that
    assert await host.sync() == "not_modified" and host.app.keeper.current("police") == snapshot
    assert (host.status()["serial"], host.status()["signed_at_ns"]) == (6, host.clock.now)
    host.publish(list_of("a"), serial=5)
    await host.refused(RollbackError)


async def test_the_signed_list_of_an_other_feed_of_the_same_publisher_is_refused(host: Host) -> None:
    host.publish(list_of("benign"), feed="nsrl")
    await host.refused(SubstitutionError)
    host.start(feed="nsrl")
    assert await host.sync() == "updated"


async def test_a_key_is_replaced_by_pinning_both_and_revoked_by_taking_it_out(host: Host) -> None:
    both = (KEY.public.encoded(), OTHER.public.encoded())
    host.publish(list_of("a"), serial=1)
    await host.sync()
    host.start(keys=both)
    host.publish(list_of("b"), serial=2, key=OTHER)
    assert (await host.sync(), host.status()["signed_by"]) == ("updated", OTHER.public.name)
    host.start(keys=both[1:])
    host.publish(list_of("c"), serial=3, key=KEY)
    await host.refused(WrongKeyError)
    # A list that is in use stays when its key goes, but is not confirmed any more.
    host.publish(list_of("b"), serial=2, key=OTHER)
    assert await host.sync() == "not_modified"
    host.start(keys=both[:1])
    assert host.loaded() == 1
    await host.refused(WrongKeyError)


async def test_what_is_verified_is_what_is_read(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody changes the file once it was verified, and before it is read."""
    good, planted = list_of("a", "b"), list_of("a", "b", "planted")

    class Swapped(InProcess):
        async def build(self, order: ImportOrder, descriptor: int, work: Path, target: Path) -> ImportAnswer:
            host.list.write_bytes(planted)
            return await super().build(order, descriptor, work, target)

    monkeypatch.setattr(importing, "FeedProcesses", Swapped)
    host.publish(good)
    signature = Path(f"{host.list}.minisig").read_bytes()
    with opened_list(host.list) as descriptor:
        await host.app.syncing.by_hand.import_file(host.feed, host.list, descriptor, signature=signature)
    assert host.list.read_bytes() == planted and host.loaded() == 2
    host.publish(list_of("c"), serial=2)
    await host.sync()
    assert host.list.read_bytes() == planted and host.loaded() == 1


async def test_a_list_from_before_there_was_a_key_is_not_loaded_any_more(host: Host) -> None:
    host.start(kind=None)
    host.list.write_bytes(list_of("a", "planted"))
    await host.sync()
    assert host.loaded() == 2 and not host.status()["signed"]
    host.start(kind="minisign")
    assert host.loaded() == 0 and not host.status()["loaded"] and host.app.feed_due_in("police") <= 0
    await host.refused(SignatureMissingError)
    host.publish(list_of("a", "planted"))  # the same bytes, signed at last
    assert (await host.sync(), host.loaded()) == ("updated", 2)
    host.start(kind=None)
    assert not host.status()["signed"]


def test_a_list_is_imported_by_hand_with_its_signature(tmp_path: Path) -> None:
    secret, data = make_key_pair(), list_of("a", "b")
    (tmp_path / "key.pub").write_bytes(secret.public_file())
    (tmp_path / "config.yaml").write_text(
        "feeds:\n  - name: police\n    url: https://lists.example.invalid/list.txt\n    format: plain\n"
        f"    signature: {{kind: minisign, key_files: [{tmp_path}/key.pub], max_age: 520w}}\n"
    )
    file = tmp_path / "list.txt"
    file.write_bytes(data)

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(
            main, ["-c", f"{tmp_path}/config.yaml", "--state-dir", f"{tmp_path}/state", "feed", *arguments]
        )
        return (
            (2, str(done.exception))
            if isinstance(done.exception, ScannerError)
            else (done.exit_code, done.output)
        )

    code, said = run("import", str(file), "--name", "police")
    assert code == 2 and "there is no signature" in said
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(sign_bytes(secret, data, comment("police", 3, NOW)))
    assert run("import", str(file), "--name", "police", "--signature", str(elsewhere))[0] == 0
    file.write_bytes(list_of("a", "b", "c"))
    Path(f"{file}.minisig").write_bytes(sign_bytes(secret, file.read_bytes(), comment("police", 2, NOW)))
    code, said = run("import", str(file), "--name", "police")
    assert code == 2 and "serial is lower" in said
    code, said = run("show", "police", "--json")
    assert json.loads(said)["signed"] and json.loads(said)["serial"] == 3
    assert json.loads(said)["refusals"] == {"missing": 1, "rollback": 1}
    code, said = run("list")
    assert "signed" in said and "unsigned" not in said
    assert (
        "forgotten" in run("reset-trust", "police")[1]
        and "nothing to forget" in run("reset-trust", "police")[1]
    )
    assert run("import", str(file), "--name", "police")[0] == 0


@asynccontextmanager
async def served(answers: dict[str, bytes]) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        body = answers.get(request.path)
        tag = hashlib.sha256(body or b"").hexdigest()
        if request.headers.get("If-None-Match") == f'"{tag}"' and "minisig" not in request.path:
            return web.Response(status=304)
        return web.Response(body=body, headers={"ETag": f'"{tag}"'}, status=404 if body is None else 200)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_signature_is_fetched_beside_the_list(tmp_path: Path) -> None:
    data = list_of("a", "b")
    answers = {"/list.txt": data, "/list.txt.minisig": sign_bytes(KEY, data, comment("police", 1, NOW))}
    async with served(answers) as origin:
        host = Host(tmp_path, f"{origin}/list.txt")
        assert await host.sync() == "updated"
        host.clock.now += 31 * DAY
        await host.refused(FrozenError)  # by 304, and the signature is verified all the same
        answers["/list.txt.minisig"] = sign_bytes(KEY, data, comment("police", 2, host.clock.now))
        assert (await host.sync(), host.status()["serial"]) == ("not_modified", 2)
        assert host.loaded() == 2
