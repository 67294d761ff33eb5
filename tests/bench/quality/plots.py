"""Results as pictures: recall by transformation and by false positives, and what copies look like."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from scanner.model.hashes import KINDS

from .measure import extrapolated, nearest, words
from .pictures import Spec, find
from .report import WIDER, Results
from .runs import Copies, Unrelated
from .subjects import ALL, OURS, SETS, WHOLE, Asked, Ours
from .transformations import TRANSFORMATIONS

matplotlib.use("svg")
from matplotlib import pyplot

_SHOWN = "chelsea.png"  # of scikit-image, by Stéfan van der Walt, CC0
_COLOURS = {
    "pdq": "#0b6e4f",
    "phash256": "#1f5fa8",
    "phash": "#d17b0f",
    "dhash": "#9b2226",
    "pdqhash": "#8a8a8a",
}


def draw(folder: Path, found: Copies, false: Mapping[str, Unrelated]) -> None:
    """Write all of them into a folder."""
    matplotlib.rcParams.update({"svg.hashsalt": "hostsweep", "font.size": 9, "svg.fonttype": "none"})
    results = Results(found, false)
    _by_transformation(folder / "quality-recall.svg", results)
    _by_rate(folder / "quality-rates.svg", results)
    _copies(folder / "quality-copies.jpg")


def _by_transformation(path: Path, r: Results) -> None:
    t, p = KINDS["pdq"].max_distance, KINDS["phash256"].max_distance
    series = [
        ("pdqhash, distance 31", "pdqhash", (WHOLE,), 31, "o", _COLOURS["pdqhash"]),
        (f"hostsweep PDQ, {t}", "pdq", SETS[ALL], t, "D", _COLOURS["pdq"]),
        (f"hostsweep PDQ, {WIDER}", "pdq", SETS[ALL], WIDER, "|", _COLOURS["pdq"]),
        (f"hostsweep pHash 256, {p}", "phash256", SETS[ALL], p, "s", _COLOURS["phash256"]),
    ]
    names = r.names[::-1]
    figure, axes = pyplot.subplots(figsize=(7.5, 0.19 * len(names) + 1.2), layout="constrained")
    for label, subject, groups, threshold, marker, colour in series:
        if subject in r.found.distances:
            shares = [r.share(subject, groups, threshold, name).percent for name in names]
            axes.plot(shares, range(len(names)), marker, color=colour, label=label, markersize=6, alpha=0.85)
    group = {x.name: x.group for x in TRANSFORMATIONS}
    for i in range(1, len(names)):
        if group[names[i]] != group[names[i - 1]]:
            axes.axhline(i - 0.5, color="#cccccc", linewidth=0.6)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.set_xlim(-2, 102)
    axes.set_xlabel("% of copies found")
    axes.grid(axis="x", color="#eeeeee")
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    _write(figure, path)


def _by_rate(path: Path, r: Results) -> None:
    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    for kind in OURS:
        histogram = r.false[kind].histograms[ALL]
        compared = int(histogram.sum())
        seen = np.cumsum(histogram)
        steps = [t for t in range(0, 100, 2) if t <= 4 * KINDS[kind].size]
        rates = [extrapolated(histogram, compared, t) for t in steps]
        shares = [r.mean(kind, SETS[ALL], t, r.names) for t in steps]
        measured = [i for i, t in enumerate(steps) if seen[t] >= 10]
        first = measured[0] if measured else len(steps)
        axes.plot(rates[first:], shares[first:], color=_COLOURS[kind], label=kind)
        axes.plot(rates[: first + 1], shares[: first + 1], ":", color=_COLOURS[kind])
        at = KINDS[kind].max_distance
        point = extrapolated(histogram, compared, at), r.mean(kind, SETS[ALL], at, r.names)
        axes.plot(*point, "o", color=_COLOURS[kind])
        axes.annotate(str(at), point, xytext=(4, -11), textcoords="offset points", color=_COLOURS[kind])
    axes.set_xscale("log")
    axes.set_xlim(1e-13, 1e-3)
    axes.set_ylim(0, 100)
    axes.axvline(1e-6, color="#cccccc", linewidth=0.8)
    axes.axvline(1e-9, color="#cccccc", linewidth=0.8)
    axes.set_xlabel(
        "false positives per comparison (dotted: estimated; dot: as configured, with the distance)"
    )
    axes.set_ylabel("% of copies found, mean of transformations")
    axes.legend(frameon=False, loc="lower right")
    _write(figure, path)


def _write(figure: matplotlib.figure.Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def _copies(path: Path) -> None:
    """One picture after each transformation, with the distance of PDQ and pHash 256 below it."""
    source = next((s for s in find()[0] if s.name == _SHOWN), None)
    if source is None:
        return
    spec = Spec(source, (0, 0, *source.size), max(source.size))
    picture = spec.cut(source.open())
    kinds = [Ours("pdq"), Ours("phash256")]
    columns, wide, high = 8, 132, 132
    sheet = Image.new("RGB", (columns * wide, -(-len(TRANSFORMATIONS) // columns) * high), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(10)
    for i, change in enumerate(TRANSFORMATIONS):
        left, top = i % columns * wide, i // columns * high
        file = Asked(change.apply(picture, spec.random()))
        small = Image.fromarray(file.colours)
        small.thumbnail((wide - 6, 96))
        sheet.paste(small, (left + 3, top + 3 + (96 - small.height) // 2))
        draw.text((left + 3, top + 101), change.name, fill="black", font=font)
        at = left + 3.0
        for kind in kinds:
            distance = _distance(kind, file, kind.listed(picture, 0))
            colour = _COLOURS["pdq"] if distance <= kind.threshold else _COLOURS["dhash"]
            text = f"{kind.name} {distance}  "
            draw.text((at, top + 114), text, fill=colour, font=font)
            at += draw.textlength(text, font=font)
    sheet.save(path, quality=68, optimize=True)


def _distance(kind: Ours, file: Asked, listed: bytes | None) -> int:
    values = [v for group, theirs in kind.asked(file).items() if group in SETS[ALL] for v in theirs]
    return int(nearest(words(values, kind.size), words([listed or bytes(kind.size)], kind.size))[0])
