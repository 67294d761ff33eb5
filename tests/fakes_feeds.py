"""Fetching and importing in this process: what the confined processes do, without starting them. The tests
of the processes themselves use the real ones."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from scanner.app.importing import Importer
from scanner.feeds import Fetched, FetchRequest
from scanner.model.feeds import ImportCounts
from scanner.pipeline.feed_answers import ImportAnswer
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
        return ImportAnswer(answer["format"], answer["sha256"], ImportCounts(**answer["counts"]))


def use_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every importer work in this process."""
    monkeypatch.setattr(Importer, "processes", InProcess())
