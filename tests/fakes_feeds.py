"""Fetching and importing in this process: what the confined processes do, without starting them. The tests
of the processes themselves use the real ones."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from scanner.app import App
from scanner.app.importing import Importer
from scanner.app.reporters import MetricsReporter
from scanner.cli.main import main
from scanner.feeds import Fetched, FetchRequest
from scanner.model.feeds import ImportCounts
from scanner.pipeline.feed_answers import ImportAnswer, ListFigures
from scanner.pipeline.feed_processes import ImportOrder
from scanner.pipeline.import_process import write_index


class InProcess:
    """As `FeedProcesses`, for lists on this machine."""

    async def fetch(self, request: FetchRequest, work: Path, target: Path) -> Fetched:
        data = Path(urlsplit(request.url).path).read_bytes()
        tag = hashlib.sha256(data).hexdigest()
        if tag == request.etag:
            return Fetched(None, tag, "", not_modified=True)
        target.write_bytes(data)
        return Fetched(target, tag, "", bytes=len(data), sha256=tag)

    async def build(self, order: ImportOrder, descriptor: int, work: Path, target: Path) -> ImportAnswer:
        told = {**asdict(order), "descriptor": os.dup(descriptor)}  # who reads it, closes it
        answer = write_index(told, target)
        counts, made = ImportCounts(**answer["counts"]), ListFigures(**answer["list"])
        return ImportAnswer(answer["format"], answer["sha256"], counts, made)


def use_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every importer work in this process."""
    monkeypatch.setattr(Importer, "processes", InProcess())


def files(count: int, name: bytes = b"f") -> list[bytes]:
    return [name + b" %d" % n for n in range(count)]


class Site:
    """A host with a tree of small files, an illegal feed and a benign one, in one temporary directory."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.tree = base / "tree"
        self.tree.mkdir()
        self.guard: dict[str, object] = {}
        self.sources = {name: base / f"{name}.csv" for name in ("police", "good")}

    @property
    def document(self) -> dict[str, object]:
        feeds = [
            {"name": name, "url": f"file://{path}", "format": "csv", "polarity": polarity}
            for (name, path), polarity in zip(self.sources.items(), ("illegal", "benign"), strict=True)
        ]
        feeds[0]["guard"] = dict(self.guard)  # type: ignore[assignment]
        return {
            "volumes": [{"name": "web", "path": str(self.tree)}],
            "feeds": feeds,
            "hashing": {"select": "all", "workers": 1},
            "state_directory": str(self.base / "state"),
        }

    def app(self) -> App:
        path = self.base / "config.yaml"
        path.write_text(json.dumps(self.document))  # JSON is YAML
        app = App.from_files(path, None)
        app.state.prepare()
        return app

    def list(self, name: str, *contents: bytes) -> None:
        rows = [
            f"{n},{hashlib.md5(c).hexdigest()},{hashlib.sha256(c).hexdigest()}"
            for n, c in enumerate(contents)
        ]
        self.sources[name].write_text("\n".join(["id,md5,sha256", *rows]) + "\n")

    def put(self, *contents: bytes) -> None:
        for n, content in enumerate(contents):
            (self.tree / f"{n}.bin").write_bytes(content)

    async def scan(self, app: App, *, quarantine: bool = False) -> None:
        reporter = MetricsReporter(app.metrics, app.clock)
        stop = threading.Event()
        await app.scan_paths([self.tree], [], reporter, stop, quarantine=quarantine, full=False)

    def run(self, *words: str) -> Result:
        self.app()
        return CliRunner().invoke(main, ["-c", str(self.base / "config.yaml"), *words], standalone_mode=False)
