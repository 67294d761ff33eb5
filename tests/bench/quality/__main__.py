"""Measures how well altered pictures are found: `make bench-quality [QUICK=1]`.

Results are kept in build/quality: `--again` makes the report and the plots of them anew.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

# Before NumPy is loaded, here and in the processes: each has one core.
for _library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_library, "1")

from . import runs  # noqa: E402
from .pictures import DEBIAN, LEAST, find, specs  # noqa: E402
from .report import report  # noqa: E402
from .subjects import others  # noqa: E402
from .transformations import QUICK, TRANSFORMATIONS  # noqa: E402

_ROOT = Path(__file__).parents[3]
_PAGE = _ROOT / "docs" / "quality.md"
_BEGIN, _END = "<!-- measured: written by --docs -->", "<!-- end of what was measured -->"
_LISTED, _ASKED = 103_000, 1_500
_QUICK_PICTURES = 3  # every third


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="quality", description="Measure how well altered pictures are found."
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer pictures and transformations: two minutes"
    )
    parser.add_argument("--same-list", action="store_true", help="unrelated listed hashes of the run before")
    parser.add_argument("--again", action="store_true", help="only the report, of what was measured before")
    parser.add_argument("--docs", action="store_true", help="write tables and plots into docs/, too")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    kept = _ROOT / "build" / "quality" / "results.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    if not options.again:
        measure(kept, options.quick, options.same_list, options.processes)
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
        write_page(_PAGE, text)
    for folder in (kept.parent, *([_PAGE.parent / "pictures"] if options.docs else ())):
        folder.mkdir(exist_ok=True)
        draw(folder, found, false)


def write_page(page: Path, text: str) -> None:
    """Put the tables in the place of those that stand between the marks."""
    before, _, rest = page.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    page.write_text(f"{before}{_BEGIN}\n{text}{_END}{after}")


def measure(kept: Path, quick: bool, same_list: bool, processes: int) -> None:
    sources, missing = find()
    all_specs = specs(sources)
    if missing:
        print(f"for all pictures: apt install {' '.join(missing)}", file=sys.stderr)
    if len(all_specs) < LEAST:
        sys.exit(_too_few(len(all_specs)))
    chosen = [i for i, t in enumerate(TRANSFORMATIONS) if not quick or t.name in QUICK]
    start = time.monotonic()
    folder = kept.parent / ("listed-quick" if quick else "listed")
    if not (same_list and folder.is_dir()):
        folder.mkdir(exist_ok=True)
        runs.listed(sources, _LISTED // 6 if quick else _LISTED, processes, folder)
        print(f"listed hashes: {time.monotonic() - start:.0f} s", file=sys.stderr)
    start = time.monotonic()
    false = runs.unrelated(sources, _ASKED // 6 if quick else _ASKED, processes, folder)
    print(f"unrelated pictures: {time.monotonic() - start:.0f} s", file=sys.stderr)
    start = time.monotonic()
    found = runs.copies(all_specs[:: _QUICK_PICTURES if quick else 1], chosen, processes)
    print(f"altered copies: {time.monotonic() - start:.0f} s", file=sys.stderr)
    if not quick and len(found.pictures) < LEAST:
        sys.exit(_too_few(len(found.pictures)))
    runs.save(kept, found, false, {"absent": list(others()[1]), "quick": quick, "sources": len(sources)})


def _too_few(count: int) -> str:
    return (
        f"only {count} different pictures are here that aren't too flat, and {LEAST} are needed: "
        f"apt install {' '.join(DEBIAN)}"
    )


if __name__ == "__main__":
    main()
