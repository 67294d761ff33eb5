"""Most of the time of a short command goes into loading: what it has no use for is kept out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

_TELL = "import atexit, sys; atexit.register(lambda: print('loaded', *sys.modules, file=sys.stderr)); "
_COMMAND = _TELL + "from scanner.cli.main import run; run()"

_DECODING = {"PIL", "pi_heif", "scanner.hashing.decode", "scanner.hashing.pdq"}
_FETCHING = {
    "aiohttp",
    "ijson",
    "scanner.feeds.client",
    "scanner.feeds.formats.csv",
    "scanner.feeds.exchanges.misp",
}
_SCANNING = {"scanner.pipeline.scan", "scanner.sources", "scanner.hashing.pool"}
_MATCHING = {"numpy", "scanner.index", "scanner.catalog", "scanner.feeds.store"}
_COUNTING = {"prometheus_client"}
_LOOKING_UP = _DECODING | _FETCHING | _SCANNING | _MATCHING | _COUNTING


def loaded(code: str, *arguments: str) -> set[str]:
    """The modules that are loaded at the end of a process."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60
    )
    told = [line for line in done.stderr.splitlines() if line.startswith("loaded ")]
    assert told and "Traceback" not in done.stderr, done.stderr
    return set(told[-1].split()[1:])


@pytest.mark.parametrize(
    ("words", "unused"),
    [
        (["--version"], _LOOKING_UP | {"pydantic", "yaml", "structlog", "rich", "asyncio"}),
        (["hits", "list"], _LOOKING_UP | {"scanner.response", "scanner.securer.remote"}),
        (["quarantine", "list"], _LOOKING_UP | {"scanner.securer.remote"}),
        (["brake", "show"], _LOOKING_UP),
        (["config", "check"], _DECODING | _FETCHING | _SCANNING | _COUNTING),
        (["status"], _DECODING | _FETCHING | _SCANNING),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_loads_nothing_that_it_has_no_use_for(
    tmp_path: Path, words: Sequence[str], unused: set[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        f"volumes: [{{name: home, path: {tmp_path}}}]\n"
        f"feeds: [{{name: police, url: 'file://{tmp_path}/list', format: plain}}]\n"
    )
    found = loaded(_COMMAND, "--config", str(config), "--state-dir", str(tmp_path / "state"), *words)
    assert "click" in found
    assert sorted(found & unused) == []


def test_a_scan_that_finds_nothing_changed_neither_decodes_nor_reads_lists(tmp_path: Path) -> None:
    tree, hashes = tmp_path / "tree", tmp_path / "list.txt"
    tree.mkdir()
    hashes.write_text(f"{'ab' * 20}\n")
    scan = ("--state-dir", str(tmp_path / "state"), "scan", str(tree), "--feed", str(hashes), "--json")
    loaded(_COMMAND, *scan)
    found = loaded(_COMMAND, *scan)
    assert "scanner.pipeline.scan" in found
    assert sorted(found & (_DECODING | _FETCHING)) == []


@pytest.mark.parametrize(
    ("module", "unused"),
    [
        ("scanner.pipeline.walker_process", {"numpy", "pydantic", "structlog", "asyncio", "ssl"} | _DECODING),
        ("scanner.pipeline.fetch_process", {"numpy", "pydantic", "structlog", "aiohttp"} | _DECODING),
        ("scanner.hashing.worker", {"pydantic", "structlog", "asyncio", "ssl", "importlib.metadata"}),
    ],
)
def test_a_process_of_a_scan_loads_nothing_that_it_has_no_use_for(module: str, unused: set[str]) -> None:
    found = loaded(f"{_TELL}import {module}")
    assert module in found
    assert sorted(found & unused) == []
