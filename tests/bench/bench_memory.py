"""Memory with long lists, of a daemon between scans, and how that of a scan grows with the files."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import materials
from hostsweep_runs import Hostsweep
from measuring import Memory, Skipped, memory_of, wait_until
from plot import growth_plot
from report import Row, judged

ENTRIES, MANY_ENTRIES = 1_000_000, 10_000_000
FILES, AT_REST_FILES = 20_000, 2_000
GROWTH, LARGE_GROWTH = (10_000, 100_000), (10_000, 100_000, 1_000_000)
_SIZE, _TINY = 20 << 10, 160
_AT_REST_SECONDS, _SCAN_SECONDS = 5.0, 1800.0
_LIMIT = 400e6  # bytes
_BOTH, _EXACT = "{exact: [md5, sha1, sha256], perceptual: [pdq]}", "{perceptual: []}"
_MIB = 1 << 20
_COMMAND = Path(sys.executable).parent / "hostsweep"
_PLOT = Path(__file__).parents[2] / "docs" / "memory-growth.svg"


def small(work: Path) -> Iterator[Row]:
    """A daemon with a million entries, and scans of ten and a hundred thousand files."""
    hash_list = materials.large_list(work / "list.csv", ENTRIES)
    yield _at_rest(work, hash_list, ENTRIES)
    yield _growth_row(_growth(work, hash_list, GROWTH), "with 1,000,000 entries")


def large(work: Path) -> Iterator[Row]:
    """A scan and a daemon with ten million entries, and the growth to a million files; some 20 minutes."""
    hash_list = materials.large_list(work / "list.csv", MANY_ENTRIES)
    tree = work / "tree"
    materials.tree(tree, FILES, _SIZE)
    sweep = Hostsweep(work, hash_list, _BOTH)
    many = "with 10,000,000 entries (SHA-256 and PDQ)"
    imported = f"peak memory importing {MANY_ENTRIES:,} entries (SHA-256 and PDQ)"
    yield _row(imported, sweep.imported, 1e9, "at most 1 GB")
    peak = sweep.memory(tree, sweep.fresh_state())[1]
    yield _row(f"peak memory scanning {FILES:,} small files {many}", peak)
    yield _at_rest(work, hash_list, MANY_ENTRIES)
    shutil.rmtree(tree)
    hash_list = materials.large_list(work / "shorter.csv", ENTRIES)
    points = _growth(work, hash_list, LARGE_GROWTH)
    _PLOT.write_text(growth_plot({
        "first scan, private": [(n, first.private / _MIB) for n, first, _ in points],
        "first scan, PSS": [(n, first.pss / _MIB) for n, first, _ in points],
        "second scan, private": [(n, second.private / _MIB) for n, _, second in points],
        "second scan, PSS": [(n, second.pss / _MIB) for n, _, second in points],
    }, "files", lambda power: f"{10**power} MiB"))  # fmt: skip
    yield _growth_row(points, "with 1,000,000 entries; plot: docs/memory-growth.svg")


def _row(what: str, peak: Memory, limit: float = _LIMIT, aim: str = "under 400 MB") -> Row:
    note = (
        f"{peak.pss / _MIB:.0f} MiB of PSS, with the reclaimable pages of the index; "
        f"private, in MiB: {peak.text}; {peak.processes} processes"
    )
    return judged(f"{what}, private", aim, f"{peak.private / 1e6:.0f} MB", peak.private < limit, note)


def _growth(work: Path, hash_list: Path, sizes: Sequence[int]) -> list[tuple[int, Memory, Memory]]:
    """For each number of files the peaks of a first and a second scan."""
    sweep, points = Hostsweep(work, hash_list, _EXACT), []
    for files in sizes:
        tree = work / f"tree-{files}"
        materials.tree(tree, files, _TINY)
        materials.settle()
        state = sweep.fresh_state()
        first, second = (sweep.memory(tree, state) for _ in range(2))
        if first[0]["hashed"] != files or second[0]["unchanged"] != files:
            raise Skipped(
                f"{files} files should have been hashed and then unchanged: {first[0]}, {second[0]}"
            )
        points.append((files, first[1], second[1]))
        shutil.rmtree(tree)
        shutil.rmtree(state)
    return points


def _growth_row(points: Sequence[tuple[int, Memory, Memory]], note: str) -> Row:
    (least, few, few_again), *_, (most, many, many_again) = points
    each = [
        (a.private - b.private) / (most - least) for a, b in ((many, few), (many_again, few_again))
    ]  # bytes a file
    ways = "; ".join(
        f"{n:,} files: first {a.private / _MIB:.0f} MiB private, {a.pss / _MIB:.0f} PSS, "
        f"second {b.private / _MIB:.0f} and {b.pss / _MIB:.0f}"
        for n, a, b in points
    )
    return Row(
        f"peak private memory of a scan, growth from {least:,} to {most:,} files",
        "-",
        f"{each[0]:.0f} bytes a file, second scan {each[1]:.0f}",
        "-",
        f"{ways}; {note}",
    )


def _at_rest(work: Path, hash_list: Path, entries: int) -> Row:
    """A daemon that has scanned its volume and waits."""
    folder = work / f"daemon-{entries}"
    tree = folder / "tree"
    materials.tree(tree, AT_REST_FILES, _SIZE)
    with _daemon(folder, tree, hash_list) as (process, port):
        wait_until(lambda: _scanned(port, process), _SCAN_SECONDS, "the daemon's first scan did not end")
        time.sleep(_AT_REST_SECONDS)
        peak = memory_of(process.pid, _AT_REST_SECONDS)
    what = f"daemon at rest with {entries:,} entries (SHA-256 and PDQ) after {AT_REST_FILES:,} files"
    return _row(what, peak)


@contextmanager
def _daemon(folder: Path, tree: Path, hash_list: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config, log = folder / "config.yaml", folder / "log"
    config.write_text(
        f"volumes: [{{name: web, path: {tree}}}]\n"
        f"feeds: [{{name: bench, url: 'file://{hash_list}', format: csv, every: 24h}}]\n"
        f"hashing: {_BOTH}\n"
        "schedule: {scan_every: 24h}\n"
        f"http: {{listen: '127.0.0.1:{port}'}}\n"
    )
    options = ["--config", str(config), "--state-dir", str(folder / "state"), "--log-format", "json"]
    with log.open("wb") as said:
        process = subprocess.Popen([str(_COMMAND), *options, "daemon"], stdout=said, stderr=said)
    try:
        yield process, port
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _scanned(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Whether the daemon has scanned its volume with the list in use."""
    if process.poll() is not None:
        raise Skipped(f"the daemon ended with {process.returncode}")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return False  # not listening yet, or busy
    found = {line.partition("{")[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line[:1] != "#"}
    return all(
        found.get(name, 0) > 0
        for name in ("hostsweep_scan_last_complete_timestamp_seconds", "hostsweep_feed_entries")
    )
