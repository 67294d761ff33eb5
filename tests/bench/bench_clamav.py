"""ClamAV beside hostsweep: the same list, the same tree, in turn.

clamd gets the digests as a database of its own (`.hsb`, of any size), and nothing else: no signatures are
fetched. It can be told to leave off most of what it does besides, which makes the work as alike as it gets.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import materials
import numpy as np
from hostsweep_runs import Hostsweep
from measuring import Memory, Run, Skipped, measure_memory, median_of, ratios, run
from report import Row, judged

FILES, SIZE, PHOTOS, DISTINCT_PHOTOS, PHOTO_SIZE = 20_000, 20 << 10, 50, 10, (4000, 3000)
PLANTED = (
    17,
    4_711,
    12_345,
    19_999,
    20_007,
    20_049,
)  # of the files in order of their paths, photographs last
ENTRIES = 1_000_000
_ROUNDS = 3
_PHOTOGRAPHS = "photographs"  # sorts behind the directories of small files
_START_SECONDS = 120
_FOUND = (0, 1)  # both end with 1 when they found something
_MIB = 1 << 20
# What clamd does besides looking digests up. Types of files are told all the same, and the digest that its
# memory of clean files goes by is computed.
_LEFT_OFF = (
    *("ScanArchive", "ScanELF", "ScanHTML", "ScanHWP3", "ScanImage", "ScanImageFuzzyHash", "ScanMail"),
    *("ScanOLE2", "ScanOneNote", "ScanPDF", "ScanPE", "ScanSWF", "ScanXMLDOCS", "Bytecode"),
    *("HeuristicAlerts", "PhishingSignatures", "PhishingScanURLs"),
)
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Way:
    """How both are set.

    Attributes:
        name: for the table.
        part: of the tree that is scanned.
        hashing: of hostsweep, as YAML in one line.
        settings: further lines of clamd.conf.
    """

    name: str
    part: str
    hashing: str
    settings: Sequence[str]


WAYS = (
    Way(
        "20,000 small files and 50 photographs, SHA-256 alone",
        "",
        "{exact: [sha256], perceptual: []}",
        [f"{name} no" for name in _LEFT_OFF],
    ),
    Way(
        "50 photographs of 12 megapixels, all that each does",
        _PHOTOGRAPHS,
        "{exact: [md5, sha1, sha256], perceptual: [pdq]}",
        (),
    ),
)


class Clamd:
    """A clamd with a database and a socket of its own, as this user, in the foreground."""

    def __init__(self, folder: Path, database: Path, settings: Sequence[str]) -> None:
        folder.mkdir()
        self._config = folder / "clamd.conf"
        lines = [f"LocalSocket {folder}/s", f"DatabaseDirectory {database}", "Foreground yes", "SelfCheck 0"]
        self._config.write_text("\n".join([*lines, *settings, ""]))
        self._log = (folder / "log").open("wb")
        start = time.perf_counter()
        self._process = subprocess.Popen(
            ["clamd", "--config-file", str(self._config)], stdout=self._log, stderr=subprocess.STDOUT
        )
        while not (folder / "s").exists():
            if self._process.poll() is not None or time.perf_counter() - start > _START_SECONDS:
                self.close()
                said = (folder / "log").read_text(errors="replace").strip().splitlines()
                raise Skipped(f"clamd did not start: {said[-1] if said else ''}")
            time.sleep(0.02)
        self.started = time.perf_counter() - start

    def command(self, tree: Path) -> list[str]:
        options = [
            "--config-file",
            str(self._config),
            "--fdpass",
            "--multiscan",
            "--infected",
            "--no-summary",
        ]
        return ["clamdscan", *options, str(tree)]

    def scan(self, tree: Path) -> Run:
        """A scan; its processor time is that of the daemon and of the command."""
        before = self._cpu()
        done = run(self.command(tree), keep=True, ends=_FOUND)
        return Run(done.wall, done.cpu + self._cpu() - before, done.output)

    def memory(self, tree: Path) -> Memory:
        return measure_memory(self.command(tree), beside=(self._process.pid,), ends=_FOUND)[1]

    def _cpu(self) -> float:
        stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / _TICKS

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


@contextmanager
def _clamd(folder: Path, database: Path, settings: Sequence[str]) -> Iterator[Clamd]:
    daemon = Clamd(folder, database, settings)
    try:
        yield daemon
    finally:
        daemon.close()


def clamav(work: Path) -> Iterator[Row]:
    """First scan, unchanged scan and memory of both, and whether both find what was planted."""
    if not (shutil.which("clamd") and shutil.which("clamdscan")):
        raise Skipped("ClamAV is not installed: apt install clamav-daemon clamdscan")
    tree = work / "tree"
    materials.tree(tree, FILES, SIZE)
    materials.photographs(tree / _PHOTOGRAPHS, PHOTOS, DISTINCT_PHOTOS, PHOTO_SIZE)
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    planted = frozenset(str(files[n]) for n in PLANTED)
    database, hash_list = _lists(work, [Path(path) for path in sorted(planted)])
    materials.settle()
    for number, way in enumerate(WAYS):
        sweep = Hostsweep(work, hash_list, way.hashing)
        here = tree / way.part
        known = frozenset(path for path in planted if Path(path).is_relative_to(here))
        yield from _way(way, work / f"clamd-{number}", sweep, database, here, known)
    yield Row("clamd: version", "-", _version(), "-", "as the distribution packages it")


def _lists(work: Path, planted: Sequence[Path]) -> tuple[Path, Path]:
    """The same digests twice: clamd's directory of databases, and a list for hostsweep."""
    rng, hash_list, database = np.random.default_rng(4), work / "list.csv", work / "database"
    database.mkdir()
    known = [hashlib.sha256(path.read_bytes()).hexdigest() for path in planted]
    with hash_list.open("w") as ours, (database / "listed.hsb").open("w") as theirs:
        ours.write("sha256\n")
        for start in range(0, ENTRIES, 10_000):
            text = rng.bytes(32 * 10_000).hex()
            values = [text[i : i + 64] for i in range(0, len(text), 64)]
            if not start:
                values[: len(known)] = known
            ours.writelines(f"{value}\n" for value in values)
            # Of any size, as lists of digests don't tell sizes; that needs functionality level 73.
            theirs.writelines(f"{value}:*:Listed:73\n" for value in values)
    return database, hash_list


def _way(
    way: Way, folder: Path, sweep: Hostsweep, database: Path, tree: Path, planted: frozenset[str]
) -> Iterator[Row]:
    folder.mkdir()
    rounds: list[tuple[Run, Run, Run, Run]] = []
    starts: list[float] = []
    for number in range(_ROUNDS):
        state = sweep.fresh_state()
        ours = run(sweep.command(tree, state), keep=True, ends=_FOUND)
        with _clamd(folder / str(number), database, way.settings) as daemon:  # a new one remembers no file
            starts.append(daemon.started)
            theirs = daemon.scan(tree)
            again = run(sweep.command(tree, state), keep=True, ends=_FOUND)
            rounds.append((ours, theirs, again, daemon.scan(tree)))
        shutil.rmtree(state)
    runs = [list(one) for one in zip(*rounds, strict=True)]
    yield _found_row(way, runs, planted)
    for what, pair in (("first scan", runs[:2]), ("second scan, nothing new", runs[2:])):
        yield from _time_rows(f"{what}, {way.name}", pair, statistics.median(starts))
    with _clamd(folder / "memory", database, way.settings) as daemon:
        theirs_peak = daemon.memory(tree)
    ours_peak = measure_memory(sweep.command(tree, sweep.fresh_state()), ends=_FOUND)[1]
    yield Row(
        f"peak memory (PSS) with 1,000,000 entries, {way.name}: clamd's by ours",
        "-",
        f"{theirs_peak.pss / ours_peak.pss:.2f}",
        "-",
        f"hostsweep {ours_peak.pss / _MIB:.0f} MiB in {ours_peak.processes} processes, of which "
        f"{ours_peak.private / _MIB:.0f} private ({ours_peak.text}); clamd and clamdscan "
        f"{theirs_peak.pss / _MIB:.0f} MiB, of which {theirs_peak.private / _MIB:.0f} private",
    )


def _found_row(way: Way, runs: Sequence[Sequence[Run]], planted: frozenset[str]) -> Row:
    ours = [_hits(done) for one in runs[::2] for done in one]
    theirs = [_clamd_hits(done) for one in runs[1::2] for done in one]
    least = [min(len(found & planted) for found in each) for each in (ours, theirs)]
    others = sum(len(found - planted) for found in (*ours, *theirs))
    return judged(
        f"planted files, {way.name}: found by hostsweep and by clamd",
        f"{len(planted)} and {len(planted)}",
        f"{least[0]} and {least[1]}",
        least == [len(planted)] * 2 and not others,
        f"in each of {len(ours)} scans of both, half of them of unchanged files; {others} others reported",
    )


def _time_rows(what: str, pair: Sequence[list[Run]], start: float) -> Iterator[Row]:
    ours, theirs = pair
    for measure, unit in (("wall", "wall time"), ("cpu", "processor time")):
        times = ratios(theirs, ours, measure)
        yield Row(
            f"{what}: clamd's {unit} by ours",
            "-",
            f"{times[len(times) // 2]:.2f} ({times[0]:.2f} to {times[-1]:.2f})",
            "-",
            f"hostsweep {median_of(ours, measure):.2f} s, its start included; "
            f"clamd {median_of(theirs, measure):.2f} s, without {start:.1f} s for reading the list",
        )


def _hits(done: Run) -> frozenset[str]:
    events = [json.loads(line) for line in done.output.splitlines()]
    return frozenset(event["path"] for event in events if event["event"] == "hit")


def _clamd_hits(done: Run) -> frozenset[str]:
    return frozenset(re.findall(r"^(.*): Listed\.UNOFFICIAL FOUND$", done.output.decode(), re.MULTILINE))


def _version() -> str:
    return run(["clamd", "--version"], keep=True).output.decode().split("/")[0].strip()
