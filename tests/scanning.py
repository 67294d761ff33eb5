"""An app with one volume, and a scan of it without a command."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from scanner.app import App
from scanner.app.state import StateDirectory
from scanner.config import Config, FeedConfig, VolumeConfig
from scanner.config.models import Hashing
from scanner.model.matches import Case
from scanner.model.outcomes import ScanCounts


class Told:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.hits: list[Case] = []
        self.notes: list[tuple[str, dict[str, object]]] = []

    def hit(self, case: Case, path: bytes) -> None:
        self.hits.append(case)

    def note(self, event: str, **fields: object) -> None:
        self.notes.append((event, fields))

    def error(self, volume: str, path: bytes, kind: str) -> None: ...

    def skipped(self, volume: str, path: bytes, reason: str, files: int) -> None: ...

    def progress(self, volume: str, counts: ScanCounts, queued: int, hashing: int) -> None: ...


def app_of(tmp_path: Path, feeds: tuple[FeedConfig, ...], **hashing: Any) -> App:
    (tmp_path / "www").mkdir(exist_ok=True)
    config = Config(
        volumes=(VolumeConfig(name="web", path=tmp_path / "www"),),
        feeds=feeds,
        hashing=Hashing(workers=1, **hashing),
    )
    return App(config, StateDirectory(tmp_path / "state", tmp_path / "state" / "quarantine"))


async def scanned(app: App) -> tuple[Told, ScanCounts]:
    told = Told()
    outcome = await app.scan_paths(
        [Path(str(v.path)) for v in app.config.volumes],
        [],
        told,
        threading.Event(),
        quarantine=False,
        full=False,
    )
    return told, outcome.counts
