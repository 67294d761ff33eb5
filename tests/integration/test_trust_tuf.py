"""The Update Framework: what an attacker on the server or on the way can do, one test for each threat."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

pytest.importorskip("tuf", reason="needs tuf, of the extra hostsweep[tuf]")

from scanner.app import App
from scanner.app.state import StateDirectory
from scanner.app.status import feed_status
from scanner.config import Config, FeedConfig
from scanner.feeds.exchanges import MAX_MEMORY, Call, Outcome, available_exchanges
from scanner.feeds.exchanges.tuf import TufExchange, trust_alone
from scanner.feeds.trust.errors import (
    BadSignatureError,
    FrozenError,
    RollbackError,
    SignatureFormError,
    WrongKeyError,
)
from scanner.model.errors import FeedError, FeedRefusedError, FeedTransportError
from tests.simulators.tuf_repository import HOUR, Repository, RepositoryClient

TARGET = "lists/police.txt"
BASE = "https://tuf.example.invalid/metadata"


@dataclass
class Pages:
    data: bytearray = field(default_factory=bytearray)

    async def write(self, page: bytes) -> None:
        raise AssertionError("a target is no page")

    async def take(self, piece: bytes) -> None:
        self.data += piece


class Provider:
    """Syncs, and remembers what the last sync that succeeded told it to."""

    def __init__(self, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)  # where a fetch process may write
        self.repository, self.root = repository, repository.root
        self.memory: Mapping[str, Any] = {}
        self.client = RepositoryClient(repository.files)

    async def sync(self, piece: int = 1 << 20, target: str = TARGET) -> tuple[Outcome, bytes]:
        pages, options = Pages(), {"target": target, "root_file": "/root.json"}
        call = Call(BASE, options, self.memory, 0, files={"root_file": self.root})
        outcome = await TufExchange(piece).sync(call, self.client, pages)
        self.memory = json.loads(json.dumps(outcome.memory))
        assert len(json.dumps(outcome.memory)) < MAX_MEMORY and not list(Path().iterdir())
        return outcome, bytes(pages.data)

    async def refused(self, error: type[FeedError]) -> None:
        before = dict(self.memory)
        with pytest.raises(error):
            await self.sync()
        assert self.memory == before


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Provider:
    return Provider(Repository(), tmp_path, monkeypatch)


@pytest.mark.parametrize("consistent", [True, False])
async def test_a_target_is_taken_when_it_is_new_and_only_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, consistent: bool
) -> None:
    provider = Provider(Repository(consistent=consistent), tmp_path, monkeypatch)
    first = b"first\n" * 1000
    provider.repository.publish(first)
    outcome, data = await provider.sync()
    assert data == first and not outcome.partial and not outcome.unchanged
    provider.client.asked.clear()
    outcome, data = await provider.sync()
    assert outcome.unchanged and not data and not any(p.startswith("targets/") for p in provider.client.asked)
    provider.repository.publish(b"second")
    assert (await provider.sync())[1] == b"second"


async def test_a_large_target_comes_in_pieces(provider: Provider) -> None:
    data = bytes(range(256)) * 100
    provider.repository.publish(data)
    assert (await provider.sync(piece=1000))[1] == data
    assert sum(p.startswith("targets/") for p in provider.client.asked) == 26


async def test_older_metadata_is_a_rollback_also_after_a_restart(provider: Provider) -> None:
    provider.repository.publish(b"old")
    old = dict(provider.repository.files)
    provider.repository.publish(b"new")
    await provider.sync()
    provider.client.files = old
    await provider.refused(RollbackError)
    # The list is not in use any more, for whatever reason: what was believed counts on.
    provider.memory = json.loads(trust_alone(json.dumps(provider.memory)))
    await provider.refused(RollbackError)
    provider.client.files = provider.repository.files
    outcome, data = await provider.sync()
    assert data == b"new" and not outcome.unchanged
    assert trust_alone('{"cursor": 1}') == trust_alone("") == trust_alone("{") == ""


async def test_metadata_that_has_expired_is_a_freeze(provider: Provider) -> None:
    provider.repository.publish(b"list")
    await provider.sync()
    provider.repository.expires -= 48 * HOUR
    provider.repository.publish(b"list")
    await provider.refused(FrozenError)


async def test_parts_that_don_t_belong_together_are_refused(provider: Provider) -> None:
    provider.repository.publish(b"one")
    old = dict(provider.repository.files)
    provider.repository.publish(b"two")
    files = provider.repository.files
    files["metadata/2.targets.json"] = old["metadata/1.targets.json"]
    await provider.refused(BadSignatureError)
    files["metadata/2.snapshot.json"] = old["metadata/1.snapshot.json"]
    await provider.refused(BadSignatureError)


async def test_a_root_of_somebody_else_and_keys_that_were_replaced_sign_nothing(provider: Provider) -> None:
    provider.repository.publish(b"list")
    await provider.sync()
    right, provider.root = provider.root, Repository().root
    await provider.refused(WrongKeyError)
    provider.root = right
    stolen = provider.repository.rotate("timestamp")
    provider.repository.publish(b"list")
    await provider.sync()
    # The thief hides the root that took the key away from him: it is remembered.
    del provider.repository.files["metadata/2.root.json"]
    provider.repository.signers["timestamp"] = stolen
    provider.repository.publish(b"planted")
    await provider.refused(WrongKeyError)
    provider.root = b"{}"
    await provider.refused(SignatureFormError)


async def test_a_target_of_other_bytes_or_another_length_is_refused(provider: Provider) -> None:
    data = b"x" * 5000
    provider.repository.publish(data)
    [place] = [path for path in provider.repository.files if path.startswith("targets/")]
    for changed in (data[:-1] + b"y", data[:-1], data + b"x", b""):
        provider.repository.files[place] = changed
        await provider.refused(BadSignatureError)
    provider.repository.files[place] = data
    provider.client.ranges = False
    with pytest.raises(BadSignatureError, match="ranges"):
        await provider.sync(piece=1000)


async def test_endless_data_and_missing_parts_end_at_a_limit(provider: Provider) -> None:
    provider.repository.publish(b"list")
    whole = dict(provider.repository.files)
    for name in ("timestamp.json", "2.root.json", "1.snapshot.json", "1.targets.json"):
        provider.client.files = {**whole, f"metadata/{name}": b"{" * (6 << 20)}
        await provider.refused(FeedRefusedError)
    del whole["metadata/timestamp.json"]
    provider.client.files = whole
    await provider.refused(FeedTransportError)
    provider.client.files = {**provider.repository.files, "metadata/timestamp.json": b"[" * 10_000}
    await provider.refused(SignatureFormError)
    with pytest.raises(FeedTransportError, match="no such target"):
        provider.client.files = provider.repository.files
        await provider.sync(target="lists/other.txt")


@pytest.mark.parametrize("damage", [{}, {"tuf": 2}, {"files": []}, {"files": {"timestamp": "!", "root": 1}}])
async def test_what_is_remembered_and_damaged_starts_from_the_pinned_root(
    provider: Provider, damage: dict[str, Any]
) -> None:
    provider.repository.publish(b"list")
    await provider.sync()
    provider.memory = {**provider.memory, **damage} if damage else {}
    provider.repository.publish(b"next")
    assert (await provider.sync())[1] == b"next"


@pytest.mark.parametrize(
    "options,wrong",
    [
        ({}, "target: this is required"),
        ({"target": "a"}, "root_file: this is required"),
        ({"target": "../a", "root_file": "/r"}, "target: expected a path"),
        ({"target": "/a", "root_file": "/r"}, "target: expected a path"),
        ({"target": "a", "root_file": "/r", "more": "x"}, "more: unknown"),
        ({"target": "a/b", "root_file": "/r", "targets": "https://x.invalid/"}, None),
    ],
)
def test_options_are_checked(options: dict[str, str], wrong: str | None) -> None:
    said = available_exchanges()["tuf"].check(options)
    assert said is None if wrong is None else said is not None and said.startswith(wrong)


async def test_a_list_comes_all_the_way_by_the_real_process(tmp_path: Path) -> None:
    repository = Repository()
    repository.publish(
        b"".join(hashlib.sha256(b"%d" % n).hexdigest().encode() + b"  x\n" for n in range(50)), TARGET
    )

    async def answer(request: web.Request) -> web.Response:
        body = repository.files.get(request.path.lstrip("/"))
        return web.Response(status=404) if body is None else web.Response(body=body)

    server = web.Application()
    server.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(server)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        (tmp_path / "root.json").write_bytes(repository.root)
        feed = FeedConfig(
            name="police",
            url=f"http://127.0.0.1:{runner.addresses[0][1]}/metadata/",
            exchange="tuf",
            options={"target": TARGET, "root_file": f"{tmp_path}/root.json"},
        )
        app = App(
            Config(feeds=(feed,)), StateDirectory(tmp_path / "state", tmp_path / "state" / "quarantine")
        )
        app.state.prepare()
        assert (await app.sync_feed("police")).entries == 50
        assert feed_status(app, "police")["signed"] and feed_status(app, "police")["signature_kind"] == "tuf"
        assert (await app.sync_feed("police")).result == "not_modified"
        repository.expires -= 48 * HOUR
        repository.publish(b"planted", TARGET)
        with pytest.raises(FrozenError):
            await app.sync_feed("police")
        assert app.keeper.store.state("police").refusals == {"frozen": 1}
    finally:
        await runner.cleanup()
