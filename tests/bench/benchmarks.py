"""The benchmarks: each takes a temporary directory and gives rows of the table."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import bench_catalog
import bench_clamav
import bench_feeds
import bench_formats
import bench_memory
import bench_pictures
import bench_rescan
import bench_search
import bench_throughput
import bench_views
import bench_workers
import materials
from hostsweep_runs import Hostsweep
from measuring import Memory, Run, Skipped, alternate, median_of, ratios, run
from report import Row, judged

_HERE = Path(__file__).parent
_ROUNDS = 5
_MIB = 1 << 20
_EXACT_ONLY = "{perceptual: []}"

EXACT_FILES, EXACT_SIZE = 20_000, 20 << 10
PHOTOS, DISTINCT_PHOTOS, PHOTO_SIZE, REFERENCE_PHOTOS = 200, 20, (4000, 3000), 10
TINY_FILES, MANY_TINY_FILES, TINY_SIZE = 5_000, 25_000, 160
LIST_ENTRIES = 1_000_000


def _spread(values: list[float], digits: int = 2) -> str:
    """The median of sorted values and how far they lie apart."""
    middle = values[len(values) // 2]
    return f"{middle:.{digits}f} ({values[0]:.{digits}f} to {values[-1]:.{digits}f})"


def exact(work: Path) -> Iterator[Row]:
    """Three exact digests of many small files, beside hashdeep."""
    if not shutil.which("hashdeep"):
        raise Skipped("hashdeep is not installed: apt install hashdeep")
    tree = work / "tree"
    materials.tree(tree, EXACT_FILES, EXACT_SIZE)
    sweep = Hostsweep(work, materials.small_list(work / "list.txt"), _EXACT_ONLY)
    deep = ["hashdeep", "-r", "-c", "md5,sha1,sha256", str(tree)]
    ours, theirs = alternate(_ROUNDS, lambda: sweep.first_scan(tree, EXACT_FILES), lambda: run(deep))
    for what, unit, title in (("cpu", "core-second", "rate per core"), ("wall", "second", "rate, all cores")):
        share = sorted(1 / r for r in ratios(ours, theirs, what))
        rates = [EXACT_FILES / median_of(runs, what) for runs in (ours, theirs)]
        yield judged(
            f"exact hashing of 20,000 files of 20 KiB: {title}, by hashdeep's",
            "at least 0.7",
            _spread(share),
            share[len(share) // 2] >= 0.7,
            f"{rates[0]:,.0f} files a {unit}, hashdeep {rates[1]:,.0f}; hostsweep's start-up is included",
        )


def perceptual(work: Path) -> Iterator[Row]:
    """PDQ of photographs of 12 megapixels, beside a full decode with the pdqhash library."""
    library, env, remark = pdqhash_library(work)
    name = "pdqhash" if library == "pdqhash" else "our own operator on a full decode"
    hash_list = materials.small_list(work / "list.txt")
    both, without = Hostsweep(work, hash_list), Hostsweep(work, hash_list, _EXACT_ONLY)
    script = [sys.executable, str(_HERE / "full_decode.py"), library]
    for kind, grain in (("with grain", materials.GRAIN), ("without grain", 0.0)):
        folder = work / kind
        photos = materials.photographs(folder, PHOTOS, DISTINCT_PHOTOS, PHOTO_SIZE, grain)
        reference = [*script, *map(str, photos[:REFERENCE_PHOTOS])]
        runs = alternate(
            3,
            lambda f=folder: both.first_scan(f, PHOTOS),
            lambda f=folder: without.first_scan(f, PHOTOS),
            lambda r=reference: run(r, env=env),
            lambda: run(script, env=env),
        )
        size = sum(p.stat().st_size for p in photos) / PHOTOS / 1e6
        yield from _perceptual_rows(
            f"200 photographs of 12 megapixels {kind}, {size:.1f} MB", runs, name, remark
        )


def _perceptual_rows(what: str, runs: list[list[Run]], name: str, remark: str) -> Iterator[Row]:
    rounds = list(zip(*runs, strict=True))
    theirs = [(full.cpu - start.cpu) / REFERENCE_PHOTOS for _, _, full, start in rounds]
    part = [(with_pdq.cpu - exact_only.cpu) / PHOTOS for with_pdq, exact_only, _, _ in rounds]
    whole = [with_pdq.cpu / PHOTOS for with_pdq, *_ in rounds]
    times = sorted(a / b for a, b in zip(theirs, part, strict=True))
    costs = f"{sorted(part)[1] * 1000:.1f} ms a picture, {name} {sorted(theirs)[1] * 1000:.0f} ms"
    yield judged(
        f"PDQ of {what}: perceptual part, {name}'s time by ours",
        "at least 20",
        _spread(times, 1),
        times[1] >= 20,
        f"{costs}, both with decoding, of one core. {remark}",
    )
    yield Row(
        f"PDQ of {what}: the whole scan",
        "-",
        f"{sorted(whole)[1] * 1000:.1f} ms of a core a picture",
        "-",
        "with three exact digests and start-up",
    )


def pdqhash_library(work: Path) -> tuple[str, Mapping[str, str], str]:
    """Which full-decode reference there is: its name, environment, and what there is to say about it."""
    folder = work / "pdqhash"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), "pdqhash"]
    try:
        run(pip)
        env = {"PYTHONPATH": str(folder)}
        run([sys.executable, str(_HERE / "full_decode.py"), "pdqhash"], env=env)
    except Skipped as e:
        return "own", {}, f"pdqhash could not be built here ({e})."
    return "pdqhash", env, "pdqhash as pip installs it."


def memory(work: Path) -> Iterator[Row]:
    """Memory of all processes together, with a list of a million entries."""
    hash_list = materials.large_list(work / "list.csv", LIST_ENTRIES)
    tree, photos = work / "tree", work / "photos"
    materials.tree(tree, EXACT_FILES, EXACT_SIZE)
    materials.photographs(photos, PHOTOS // 2, DISTINCT_PHOTOS, PHOTO_SIZE)
    sweep = Hostsweep(work, hash_list, "{exact: [md5, sha1, sha256], perceptual: [pdq]}")
    entries = "a list of 1,000,000 entries (SHA-256 and PDQ)"
    for what, path in (("20,000 small files", tree), ("100 photographs of 12 megapixels", photos)):
        yield _memory_row(
            f"peak private memory scanning {what} with {entries}", sweep.memory(path, sweep.fresh_state())[1]
        )
    peak = sweep.imported
    yield Row(
        f"peak private memory importing {entries}",
        "-",
        f"{peak.private / _MIB:.0f} MiB",
        "-",
        f"MiB: {peak.text}",
    )


def _memory_row(what: str, peak: Memory) -> Row:
    pss = f"PSS, with the reclaimable pages of the index, {peak.pss / _MIB:.0f} MiB"
    note = f"MiB: {peak.text}; {peak.processes} processes; {pss}"
    return judged(what, "under 400 MB", f"{peak.private / 1e6:.0f} MB", peak.private < 400e6, note)


def path(work: Path) -> Iterator[Row]:
    """What a file costs on its way through the workers when there is next to nothing to hash."""
    few, many = work / "few", work / "many"
    materials.tree(few, TINY_FILES, TINY_SIZE)
    materials.tree(many, MANY_TINY_FILES, TINY_SIZE)
    hash_list = materials.small_list(work / "list.txt")
    for workers in (1, 2):
        sweep = Hostsweep(work, hash_list, f"{{perceptual: [], workers: {workers}}}")
        less, more = alternate(
            _ROUNDS,
            lambda s=sweep: s.first_scan(few, TINY_FILES),
            lambda s=sweep: s.first_scan(many, MANY_TINY_FILES),
        )
        files = MANY_TINY_FILES - TINY_FILES
        wall, cpu = (median_of(more, w) - median_of(less, w) for w in ("wall", "cpu"))
        yield Row(
            f"worker path, tiny files, {workers} worker{'s' if workers > 1 else ''}",
            "-",
            f"{files / wall:,.0f} files/s, {cpu / files * 1e6:.0f} us of processor time a file",
            "-",
            f"by the difference of {MANY_TINY_FILES:,} and {TINY_FILES:,} files, so without start-up; "
            f"whole process with {TINY_FILES:,}: {median_of(less):.2f} s",
        )


def index(work: Path) -> Iterator[Row]:
    """Size and speed of the index with ten million exact entries; minutes."""
    command = [sys.executable, str(_HERE / "bench_index.py"), "--exact", "10000000", "--pdq", "1000000"]
    done = run(command, env={"TMPDIR": str(work)}, keep=True)
    found = [json.loads(line) for line in done.output.splitlines()]
    beside = ""
    for line in found:
        if "beside" in line:
            beside = ", beside another process that has it mapped" if line["beside"] else ""
            continue
        rest = {k: v for k, v in line.items() if k not in ("what", "hashes")}
        count = f", {line['hashes']:,} hashes" if "hashes" in line else ""
        if not line["what"].startswith(("open", "exact", "after")):
            beside = ""
        figures = ", ".join(f"{k} {v}" for k, v in rest.items())
        yield Row(f"index: {line['what']}{count}{beside}", "-", figures, "-")


NORMAL: Mapping[str, Callable[[Path], Iterator[Row]]] = {
    "exact": exact,
    "perceptual": perceptual,
    "pictures": bench_pictures.pictures,
    "rescan": bench_rescan.small,
    "rescan-cold": bench_rescan.cold,
    "rescan-xfs": bench_rescan.xfs,
    "rescan-btrfs": bench_rescan.btrfs,
    "memory": memory,
    "views": bench_views.views,
    "path": path,
    "throughput": bench_throughput.throughput,
    "sandbox": bench_workers.sandbox,
    "catalog": bench_catalog.small,
    "feeds": bench_feeds.small,
    "formats": bench_formats.formats,
    "search": bench_search.small,
    "clamav": bench_clamav.clamav,
    "memory-growth": bench_memory.small,
}
FULL: Mapping[str, Callable[[Path], Iterator[Row]]] = {
    "index": index,
    "catalog-large": bench_catalog.large,
    "search-large": bench_search.large,
    "memory-large": bench_memory.large,
    "feeds-large": bench_feeds.large,
    "formats-large": bench_formats.formats_large,
    "rescan-growth": bench_rescan.growth,
}
