"""Reading lists: entries a second and peak memory, for parsing alone and to a finished snapshot.

    .venv/bin/python tests/bench/bench_formats.py [--entries 10000000]

Lists are random numbers. Each is read in a process of its own with one thread, which reports its processor
time and the most memory it ever had (VmHWM); what it had before the first entry is told apart.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from measuring import run
from report import Row, judged

from scanner.feeds import FormatOptions, import_list
from scanner.index import SnapshotBuilder
from scanner.model.feeds import Item

ENTRIES, MANY_ENTRIES = 1_000_000, 10_000_000
_BLOCK = 50_000  # entries written at a time
_MOST_MEMORY = 200  # MiB
_ENV = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}

# Entries a second to a finished snapshot that are aimed at.
AIMS = {"plain": 2_000_000, "csv": 500_000, "vics with PhotoDNA": 150_000, "vics": 150_000}


def _values(count: int, size: int) -> Iterator[tuple[int, bytes]]:
    rng = np.random.default_rng(1)
    for start in range(0, count, _BLOCK):
        block = rng.bytes(_BLOCK * size)
        for n in range(min(_BLOCK, count - start)):
            yield start + n, block[n * size : (n + 1) * size]


def _plain(path: Path, count: int) -> None:
    with path.open("w") as file:
        file.writelines(f"{value.hex()}\n" for _, value in _values(count, 16))


def _csv(path: Path, count: int) -> None:
    with path.open("w") as file:
        file.write("md5,sha1,sha256,id,category\n")
        for n, v in _values(count, 68):
            file.write(f"{v[:16].hex()},{v[16:36].hex()},{v[36:].hex()},{n + 1},{n % 3 + 1}\n")


def _vics(path: Path, count: int, *, photodna: bool) -> None:
    with path.open("w") as file:
        file.write(
            '{"@odata.context":"http://x.invalid/ProjectVic/DataModels/2.0.xml/US/$metadata#Media","value":['
        )
        for n, v in _values(count, 180):
            more = f',"PhotoDNA":"{base64.b64encode(v[36:]).decode()}"' if photodna else ""
            file.write(
                f'{"," * bool(n)}{{"MediaID":{n + 1},"Category":{n % 2 + 1},"MD5":"{v[:16].hex().upper()}",'
                f'"SHA1":"{v[16:36].hex().upper()}","MediaSize":{n},"VictimIdentified":false,'
                f'"OffenderIdentified":false,"IsDistributed":true,"Series":null,"Tags":"",'
                f'"DateUpdated":"2025-01-01T00:00:00.0000000Z"{more}}}'
            )
        file.write("]}")


LISTS: dict[str, Callable[[Path, int], None]] = {
    "plain": _plain,
    "csv": _csv,
    "vics with PhotoDNA": lambda path, count: _vics(path, count, photodna=True),
    "vics": lambda path, count: _vics(path, count, photodna=False),
}


def _peak_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _read(path: Path, format: str, target: Path | None) -> None:
    """One reading in this process; prints what it took as JSON."""

    def nowhere(item: Item) -> None:
        pass

    before, start = _peak_mib(), time.process_time()
    builder = SnapshotBuilder()
    result = import_list(path, format, FormatOptions(), builder.add if target else nowhere)
    if target:
        builder.finish(target, meta={"feed": "bench", "format": format, "built_ns": 0})
    took = time.process_time() - start
    print(json.dumps({"entries": result.counts.entries, "s": took, "peak": _peak_mib(), "before": before}))


def formats(work: Path, count: int = ENTRIES) -> Iterator[Row]:
    """Entries a second and peak memory of each format."""
    for name, write in LISTS.items():
        path, target = work / "list", work / "index"
        write(path, count)
        command = [sys.executable, __file__, "--read", name.split()[0], str(path)]
        size = path.stat().st_size
        parsed = _answer(command)
        finished = _answer([*command, "--target", str(target)])
        rate = count / finished["s"]
        yield judged(
            f"{name}: {count:,} entries to a finished snapshot",
            f"at least {AIMS[name]:,} entries/s",
            f"{rate:,.0f} entries/s",
            rate >= AIMS[name],
            f"of one core; {size / count:.0f} bytes an entry;"
            f" parsing alone {count / parsed['s']:,.0f} entries/s",
        )
        yield judged(
            f"{name}: peak memory with {count:,} entries",
            f"under {_MOST_MEMORY} MiB",
            f"{finished['peak']:.0f} MiB",
            finished["peak"] < _MOST_MEMORY,
            f"{finished['before']:.0f} MiB before the first entry; parsing alone {parsed['peak']:.0f} MiB",
        )
        path.unlink()
        target.unlink()


def formats_large(work: Path) -> Iterator[Row]:
    """The same with ten million entries; minutes, and 6 GB of room."""
    yield from formats(work, MANY_ENTRIES)


def _answer(command: list[str]) -> dict[str, float]:
    found: dict[str, float] = json.loads(run(command, env=_ENV, keep=True).output)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=ENTRIES)
    parser.add_argument("--work", type=Path, default=Path("/tmp"))
    parser.add_argument("--read", nargs=2, metavar=("FORMAT", "FILE"), help=argparse.SUPPRESS)
    parser.add_argument("--target", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        _read(Path(options.read[1]), options.read[0], options.target)
        return
    for row in formats(options.work, options.entries):
        print(row)


if __name__ == "__main__":
    main()
