"""Measures how well altered pictures are found: `make bench-quality [QUICK=1]`.

Results are kept in build/quality: `--again` makes the report and the plots of them anew.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Before NumPy is loaded, here and in the processes: each has one core.
for _library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_library, "1")

from . import runs  # noqa: E402
from .pictures import DEBIAN, LEAST, find, specs  # noqa: E402
from .report import report, short  # noqa: E402
from .subjects import others  # noqa: E402
from .transformations import QUICK, TRANSFORMATIONS  # noqa: E402

_ROOT = Path(__file__).parents[3]
_PAGE = _ROOT / "docs" / "quality.md"
_BEGIN, _END = "<!-- measured: written by --docs -->", "<!-- end of what was measured -->"
_LISTED, _ASKED = 110_000, 1_200
_QUICK_PICTURES, _QUICK_SHARE = 3, 6  # every third picture, a sixth of the unrelated ones


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="quality", description="Measure how well altered pictures are found."
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer pictures and transformations: two minutes"
    )
    parser.add_argument("--go-on", action="store_true", help="with what a run that was broken off has done")
    parser.add_argument("--again", action="store_true", help="only the report, of what was measured before")
    parser.add_argument("--docs", action="store_true", help="write tables and plots into docs/, too")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    kept = _ROOT / "build" / "quality" / "results.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    if not options.again:
        work = kept.parent / ("quick" if options.quick else "full")
        measure(kept, work, quick=options.quick, go_on=options.go_on, processes=options.processes)
    found, false, facts = runs.load(kept)
    text = report(found, false, facts)
    print(text)
    (kept.parent / "report.md").write_text(text)
    try:
        from .plots import draw
    except ImportError as e:
        print(f"no plots: {e}", file=sys.stderr)
        return
    if options.docs:
        write_page(_PAGE, short(found, false), text)
    for folder in (kept.parent, *([_PAGE.parent / "pictures"] if options.docs else ())):
        folder.mkdir(exist_ok=True)
        draw(folder, found, false)


def write_page(page: Path, *texts: str) -> None:
    """Put each text in the place of what stands between the next two marks."""
    written, rest = "", page.read_text()
    for text in texts:
        before, _, rest = rest.partition(_BEGIN)
        _, _, rest = rest.partition(_END)
        written += f"{before}{_BEGIN}\n\n{text}\n{_END}"
    page.write_text(written + rest)


def measure(kept: Path, work: Path, *, quick: bool, go_on: bool, processes: int) -> None:
    """Measure, and save the results as `kept`; what is done lies in `work` until the next run."""
    sources, missing = find()
    pictures = specs(sources)[:: _QUICK_PICTURES if quick else 1]
    if missing:
        print(f"for all pictures: apt install {' '.join(missing)}", file=sys.stderr)
    if len(pictures) < LEAST and not quick:
        sys.exit(_too_few(len(pictures)))
    chosen = [i for i, t in enumerate(TRANSFORMATIONS) if not quick or t.name in QUICK]
    if not go_on:
        shutil.rmtree(work, ignore_errors=True)
    steps = {name: work / name for name in ("listed", "copies")}
    for folder in steps.values():
        folder.mkdir(parents=True, exist_ok=True)
    share = _QUICK_SHARE if quick else 1
    with _timed("copies"):
        found = runs.copies(pictures, chosen, processes, steps["copies"])
    if len(found.pictures) < LEAST and not quick:
        sys.exit(_too_few(len(found.pictures)))
    with _timed("listed hashes"):
        runs.listed(sources, _LISTED // share, processes, steps["listed"])
    with _timed("unrelated pictures"):
        false = runs.unrelated(sources, _ASKED // share, processes, steps["listed"])
    runs.save(kept, found, false, {"absent": list(others()[1]), "sources": len(sources)})


@contextmanager
def _timed(what: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - start:.0f} s", file=sys.stderr)


def _too_few(count: int) -> str:
    return (
        f"only {count} different pictures are here that aren't too flat, and {LEAST} are needed: "
        f"apt install {' '.join(DEBIAN)}"
    )


if __name__ == "__main__":
    main()
