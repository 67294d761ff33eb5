"""Fuzzes every target for a while, one after the other, and says what came of it.

    .venv/bin/python tests/fuzz/run.py [--seconds 600] [TARGET]...

What is found anew is kept in .fuzz/ (not part of the repository): corpus/TARGET is where the next run begins,
findings/TARGET has the inputs that broke a law, log/TARGET what libFuzzer said. Exit status 1: a law broke.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from fuzzing import CORPUS, HERE, REGRESSIONS, Target, load, target_names

_KEPT = HERE.parents[1] / ".fuzz"
_TIMEOUT = 20  # seconds of one input: none should need a tenth of one, and the machine may be busy
_GRACE = 120  # seconds for starting up and for the last input
_STATS = re.compile(r"^stat::(\w+):\s+(\d+)", re.MULTILINE)
_COVERED = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")
_BROKEN = re.compile(r"^ === Uncaught Python exception: ===\n(.*)|^SUMMARY: (.*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run of one target came to."""

    name: str
    seconds: float
    executions: int
    edges: int
    features: int
    new_units: int
    memory_mb: int
    findings: tuple[Path, ...]
    reason: str

    @property
    def ok(self) -> bool:
        return not self.findings and not self.reason

    def line(self) -> str:
        rate = self.executions / self.seconds if self.seconds else 0
        return (
            f"{self.name:16} {self.executions:>10} {rate:>9.0f} {self.edges:>6} {self.features:>8}"
            f" {self.new_units:>6} {self.memory_mb:>6}  {self.reason or 'no finding'}"
        )


HEADING = (
    f"{'target':16} {'executions':>10} {'a second':>9} {'edges':>6} {'features':>8} {'new':>6} {'MB':>6}"
)


def dictionary(target: Target) -> str:
    """The words in the form of a libFuzzer dictionary."""
    return "".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in target.words if word)


def fuzz(name: str, seconds: int) -> Outcome:
    target = load(name)
    corpus, findings, log = (_KEPT / part / name for part in ("corpus", "findings", "log"))
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    words = _KEPT / f"{name}.dict"
    words.write_text(dictionary(target))
    before = set(findings.iterdir())
    start = time.monotonic()
    command = [
        sys.executable, str(HERE / "one_target.py"), name, f"-max_total_time={seconds}",
        f"-max_len={target.max_length}", f"-timeout={_TIMEOUT}", f"-rss_limit_mb={target.memory_mb}",
        f"-artifact_prefix={findings}/", f"-dict={words}", "-print_final_stats=1", "-use_value_profile=1",
        str(corpus), str(CORPUS / name),
    ]  # fmt: skip
    if (REGRESSIONS / name).is_dir():
        command.append(str(REGRESSIONS / name))
    with log.open("wb") as out:
        try:
            status = subprocess.run(command, stdout=out, stderr=out, timeout=seconds + _GRACE).returncode
        except subprocess.TimeoutExpired:
            status = -1
    found = tuple(sorted(set(findings.iterdir()) - before))
    return _outcome(name, time.monotonic() - start, status, found, log.read_text(errors="replace"))


def _outcome(name: str, seconds: float, status: int, found: tuple[Path, ...], log: str) -> Outcome:
    stats = {key: int(value) for key, value in _STATS.findall(log)}
    covered = _COVERED.findall(log)
    edges, features, _ = map(int, covered[-1]) if covered else (0, 0, 0)
    reason = ""
    if found or status:
        said = _BROKEN.search(log)
        reason = (said[1] or said[2])[:200] if said else f"ended with status {status}"
    return Outcome(
        name, seconds, stats.get("number_of_executed_units", 0), edges, features,
        stats.get("new_units_added", 0), stats.get("peak_rss_mb", 0), found, reason,
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    parser.add_argument("targets", nargs="*", choices=[*target_names(), []], metavar="TARGET")
    args = parser.parse_args()
    try:
        import atheris  # noqa: F401
    except ImportError:
        version = ".".join(map(str, sys.version_info[:2]))
        print(f"nothing was fuzzed: atheris is missing (it has no wheel for every Python; this is {version})")
        return 2
    print(HEADING, flush=True)
    outcomes = []
    for name in args.targets or target_names():
        outcomes.append(fuzz(name, args.seconds))
        print(outcomes[-1].line(), flush=True)
        for path in outcomes[-1].findings:
            print(f"  {path}", flush=True)
    return 0 if all(outcome.ok for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
