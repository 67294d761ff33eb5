"""The event loop only orchestrates: it is never held, and a task that dies takes the daemon with it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanner.app import App
from scanner.app.reporters import MetricsReporter
from scanner.app.scanning import Scanner, ScanResult
from scanner.app.service import Service
from scanner.app.state import StateDirectory
from scanner.app.surface import Surface
from scanner.config import Config, VolumeConfig
from scanner.daemon import Daemon
from scanner.model.errors import StorageError

_LONGEST = 0.5  # seconds; a scan on the loop would hold it for all of its seconds, a busy machine for less


def _app(tmp_path: Path, config: Config | None = None) -> App:
    return App(config or Config(), StateDirectory(tmp_path / "state", tmp_path / "state" / "quarantine"))


async def test_a_scan_never_holds_the_event_loop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(1)
    tree = tmp_path / "tree"
    tree.mkdir()
    for n in range(60):
        noise = rng.integers(0, 255, (600, 800, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tree / f"{n}.jpg")
    listed = hashlib.sha256((tree / "7.jpg").read_bytes()).hexdigest()
    many = "".join(hashlib.sha256(str(n).encode()).hexdigest() + "  x\n" for n in range(20_000))
    (tmp_path / "list.txt").write_text(many + listed + "  x\n")
    app = _app(tmp_path)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = _LONGEST
    caplog.set_level(logging.WARNING, logger="asyncio")
    outcome = await app.scan_paths(
        [tree], [str(tmp_path / "list.txt")], MetricsReporter(app.metrics, app.clock), threading.Event(),
        quarantine=True, full=False,
    )  # fmt: skip
    assert outcome.counts.secured == 1
    assert not [r.message for r in caplog.records if "Executing" in r.message]


async def test_a_held_event_loop_would_be_noticed(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    caplog.set_level(logging.WARNING, logger="asyncio")
    await asyncio.sleep(0)
    assert [r.message for r in caplog.records if "Executing" in r.message]


async def test_scans_that_hang_leave_threads_for_everything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More volumes than the loop's pool of threads can have: all of them scanning, for ever."""
    go, begun = threading.Event(), list[int]()

    def hang(*_: object) -> ScanResult:
        begun.append(1)
        go.wait()
        return ScanResult()

    monkeypatch.setattr(Scanner, "scan", hang)
    volumes = tuple(VolumeConfig(name=f"v{n}", path=tmp_path) for n in range(40))
    app = _app(tmp_path, Config(volumes=volumes))
    service = Service(app)
    await service.prepare()
    scans = [asyncio.create_task(service.scan_volume(v.name, threading.Event())) for v in app.volumes]
    try:
        async with asyncio.timeout(60):
            while len(begun) < len(scans):
                await asyncio.sleep(0)
            assert not (await Surface(service, "").readiness()).ready
    finally:
        go.set()
        await asyncio.gather(*scans)


async def test_a_side_task_that_fails_stops_the_daemon_loudly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config.model_validate({"http": {"listen": "127.0.0.1:0"}})
    app = _app(tmp_path, config)

    async def die(service: Service) -> None:
        raise StorageError("the disk is gone", where="here")

    monkeypatch.setattr(Service, "refresh_gauges", die)
    with pytest.raises(StorageError, match="the disk is gone"):
        await asyncio.wait_for(Daemon(lambda: app).run(), 10)


def test_trouble_with_the_tokens_of_processes_is_told_as_an_error_of_our_storage(tmp_path: Path) -> None:
    app = _app(tmp_path)
    app.state.prepare()
    app.state.owners.write_bytes(b"a file where the directory should be")
    with pytest.raises(StorageError, match="state directory"):
        app.owners.own("token")
