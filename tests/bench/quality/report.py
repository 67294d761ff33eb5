"""Results as Markdown tables: for the terminal, and for docs/quality.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from scanner.model.hashes import KINDS

from .experiment import EXPERIMENTS
from .measure import Histogram, Share, extrapolated, rate_at, recall, threshold_at, upper_bound
from .pictures import LEAST
from .runs import Copies, Unrelated
from .subjects import ALL, FLATTER, FLATTEST, NOT_FLAT, OURS, SETS, TURNED, WHOLE, needed
from .transformations import TRANSFORMATIONS

RATE = 1e-6  # of comparisons of unrelated pictures that may be taken for matches
RARE = 1e-9  # one of a thousand pictures against a list of a million
WIDER = 44  # a wider distance for PDQ that docs/quality.md speaks of
_MILLION = 1_000_000
# Thorn, `perception`, docs/examples/benchmarking.rst at 23faec2: percent found at a precision of 99.99 %.
THORN = {
    "all of its transformations": ("77.2", "82.0"),
    "JPEG q95": ("99.9", "99.9"),
    "half size": ("99.8", "100"),
    "gamma 2": ("100", "100"),
    "blur": ("99.95", "100"),
    "noise 20 %": ("99.2", "99.9"),
    "vignette": ("100", "100"),
    "watermark": ("99.0", "99.4"),
    "rotated 4°": ("54.5", "59.6"),
    "crop 5 %": ("9.0", "7.1"),
    "padded by 20 %": ("1.3", "2.4"),
}
Row = Sequence[str]


def table(head: Row, rows: Sequence[Row]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def percent(share: Share) -> str:
    return f"{share.percent:.0f}" if share.of else "-"


def with_interval(share: Share) -> str:
    low, high = share.interval
    return f"{share.percent:.1f} ({low:.0f}-{high:.0f})" if share.of else "-"


def rare_threshold(unrelated: Histogram, rate: float) -> int:
    """The largest distance whose estimated rate is no more than this; -1: none is."""
    compared = int(unrelated.sum())
    t = threshold_at(unrelated, compared, rate)
    while t >= 0 and extrapolated(unrelated, compared, t) > rate:
        t -= 1
    return t


class Results:
    """Recall of every subject by transformation, set of views and threshold."""

    def __init__(self, found: Copies, false: Mapping[str, Unrelated]) -> None:
        self.found, self.false = found, false
        self.names = list(found.transformations)

    def at_rate(self, kind: str, views: str, rate: float = RATE) -> int:
        return rare_threshold(self.false[kind].histograms[views], rate)

    def share(
        self, subject: str, views: Sequence[str], threshold: int, name: str, *, tried: bool = False
    ) -> Share:
        """Found of all pictures, or of those that were `tried` with experimental views."""
        column = self.found.nearest(subject, views)[:, self.names.index(name)]
        return recall(column[self.found.tried(subject)] if tried else column, threshold)

    def mean(self, subject: str, views: Sequence[str], threshold: int, names: Sequence[str]) -> float:
        """Percent found, every transformation counting the same."""
        tried = bool(needed(views))
        return float(np.mean([self.share(subject, views, threshold, n, tried=tried).percent for n in names]))

    def either(self, points: Sequence[tuple[str, Sequence[str], int]], name: str) -> Share:
        """Pictures found by at least one of several (subject, views, threshold)."""
        column = self.names.index(name)
        hits = np.any([self.found.nearest(s, v)[:, column] <= t for s, v, t in points], axis=0)
        return Share(int(hits.sum()), len(hits))


def report(found: Copies, false: Mapping[str, Unrelated], facts: Mapping[str, object]) -> str:
    results = Results(found, false)
    parts: list[str] = [_head(found, false, facts)]
    for title, make in _SECTIONS:
        parts.append(f"### {title}\n")
        parts += make(results)
        parts.append("")
    return "\n".join(parts) + "\n"


def _head(found: Copies, false: Mapping[str, Unrelated], facts: Mapping[str, object]) -> str:
    pdq = false["pdq"]
    lines = [
        f"{len(found.pictures)} different pictures of {facts['sources']} photographs "
        f"({found.left_out} more are too flat for lists), {len(found.transformations)} transformations."
        + ("" if len(found.pictures) >= LEAST else f" A part of a run: a complete one has {LEAST} and more."),
        f"Unrelated: {pdq.asked:,} asked pictures and {pdq.listed:,} listed hashes, "
        f"{int(pdq.histograms['whole'].sum()):,} comparisons of pictures of different photographs.",
        *(str(line) for line in facts.get("absent", ())),  # type: ignore[attr-defined]
        "",
    ]
    return "\n".join(lines)


# What the first table of docs/quality.md sums up: its rows, and the transformations in each.
_SHORT = {
    "JPEG q10": ("JPEG q10",),
    "160 px": ("160 px",),
    "gamma 2": ("gamma 2",),
    "brightness 0.6": ("brightness 0.6",),
    "line of text, watermark, logo": ("line of text", "watermark", "logo 20 %"),
    "crop 1 %, 2 %": ("crop 1 %", "crop 2 %"),
    "black and white border 2 %": ("black border 2 %", "white border 2 %"),
    "black and white border 5 %": ("black border 5 %", "white border 5 %"),
    "letterbox 1:1, 9:16": ("letterbox 1:1", "letterbox 9:16"),
    "rotated 1°, 2°": ("rotated 1°", "rotated 2°"),
    "turned 90°, mirrored": ("turned 90°", "mirrored"),
    "screenshot of a desk, of a phone": ("desktop 1080p", "phone"),
}


def short(found: Copies, false: Mapping[str, Unrelated]) -> str:
    """The table that stands first on the page."""
    r = Results(found, false)
    loose = r.at_rate("pdq", ALL)
    columns = [
        *((s, (WHOLE,), 31) for s in ("pdqhash", "threatexchange") if s in found.distances),
        ("pdq", SETS[ALL], KINDS["pdq"].max_distance),
        ("pdq", SETS[FLATTER], WIDER), ("pdq", SETS[ALL], loose),
    ]  # fmt: skip
    head = [
        "% found", *(c[0] for c in columns[:-3]), "PDQ as configured",
        f"PDQ, distance {WIDER}, quality {FLATTEST}", f"PDQ, distance {loose} (1e-6)",
    ]  # fmt: skip
    rows = [
        [label, *(", ".join(percent(r.share(*c, name)) for name in names) for c in columns)]
        for label, names in _SHORT.items()
        if set(names) <= set(r.names)
    ]
    rows.append([f"mean of {len(r.names)} transformations", *(f"{r.mean(*c, r.names):.0f}" for c in columns)])
    rates = [
        extrapolated(h := false["pdq"].histograms[views], int(h.sum()), t) * _MILLION
        for views, t in ((ALL, KINDS["pdq"].max_distance), (FLATTER, WIDER), (ALL, loose))
    ]
    row = ["false hits per picture asked and million entries, estimated", *("-" for _ in columns[:-3])]
    rows.append([*row, *(f"{rate:.1g}" for rate in rates)])
    return table(head, rows) + "\n"


def _aims(r: Results) -> Iterator[str]:
    rows = []
    t = r.at_rate("pdq", ALL)
    p = r.at_rate("phash256", ALL)
    for x in (x for x in TRANSFORMATIONS if x.aim and x.name in r.names):
        at = r.share("pdq", SETS[ALL], t, x.name)
        second = r.share("phash256", SETS[ALL], p, x.name)
        rows.append(
            [
                x.name, str(x.aim),
                with_interval(r.share("pdq", SETS[ALL], KINDS["pdq"].max_distance, x.name)),
                with_interval(at), with_interval(second), "met" if at.percent >= x.aim else "missed",
            ]
        )  # fmt: skip
    yield table(
        [
            "transformation", "aim", f"pdq, distance {KINDS['pdq'].max_distance}",
            f"pdq, distance {t} (1e-6)", f"phash256, distance {p} (1e-6)", "pdq at 1e-6",
        ],
        rows,
    )  # fmt: skip


def _all(r: Results) -> Iterator[str]:
    all_views = SETS[ALL]
    other = [
        (s, groups, 31)
        for s, groups in (("pdqhash", (WHOLE,)), ("pdqhash", (WHOLE, TURNED)), ("threatexchange", (WHOLE,)))
        if s in r.found.distances
    ]
    ours: list[tuple[str, Sequence[str], int]] = [
        ("pdq", (WHOLE,), KINDS["pdq"].max_distance),
        ("pdq", all_views, WIDER),
        ("pdq", SETS[FLATTER], WIDER),
    ]
    for kind in OURS:
        ours += [(kind, all_views, KINDS[kind].max_distance), (kind, all_views, r.at_rate(kind, ALL))]
    columns = [column for column in other + ours if column[2] >= 0]

    def label(s: str, groups: Sequence[str], t: int) -> str:
        words = {(WHOLE,): "", (WHOLE, TURNED): " dihedral", tuple(all_views): " all views"}.get(
            tuple(groups), f" all views, quality {FLATTEST}"
        )
        return f"{s}{words} ≤{t}"

    rows = [[name, *(percent(r.share(s, groups, t, name)) for s, groups, t in columns)] for name in r.names]
    rows.append(["**mean**", *(f"**{r.mean(s, g, t, r.names):.1f}**" for s, g, t in columns)])
    yield table(["transformation", *(label(*c) for c in columns)], rows)


def _views(r: Results) -> Iterator[str]:
    rows = []
    for kind in OURS:
        for views, groups in SETS.items():
            if groups[-1] not in r.found.distances[kind]:
                continue
            histogram = r.false[kind].histograms[views]
            compared = int(histogram.sum())
            configured = KINDS[kind].max_distance
            seen = int(histogram[: configured + 1].sum())
            at = [configured, r.at_rate(kind, views), r.at_rate(kind, views, RARE)]
            rows.append(
                [
                    kind, views, *(f"{t}: {r.mean(kind, groups, t, r.names):.1f}" for t in at),
                    f"{seen} of {compared:.2g}",
                    f"{upper_bound(seen, compared) * _MILLION:.1g}",
                    f"{extrapolated(histogram, compared, configured) * _MILLION:.0e}",
                ]
            )  # fmt: skip
    yield table(
        [
            "kind", "views", "configured: found", "at 1e-6: found", "at 1e-9: found",
            "false at configured", "false hits per picture and million listed, at most", "estimated",
        ],
        rows,
    )  # fmt: skip


def _experiments(r: Results) -> Iterator[str]:
    names = [
        x.name
        for x in TRANSFORMATIONS
        if x.name in r.names and x.group in ("marks", "crops", "borders", "angles")
    ]
    for kind in ("pdq", "phash256"):
        sets = [ALL, *(f"all and {name}" for name in EXPERIMENTS), "all and all of these"]
        for rate, title in ((None, "as configured"), (RARE, "at an estimated 1e-9"))[
            : 2 if kind == "pdq" else 1
        ]:
            at = {v: KINDS[kind].max_distance if rate is None else r.at_rate(kind, v, rate) for v in sets}
            rows = [
                [name, *(percent(r.share(kind, SETS[v], at[v], name, tried=True)) for v in sets)]
                for name in names
            ]
            yield f"{kind}, {title}:\n"
            yield (
                table(["transformation", *(f"{v.removeprefix('all and ')} ≤{at[v]}" for v in sets)], rows)
                + "\n"
            )


def _second(r: Results) -> Iterator[str]:
    both = [(kind, SETS[ALL], KINDS[kind].max_distance) for kind in ("pdq", "phash256")]
    loose = [
        ("pdq", SETS[ALL], r.at_rate("pdq", ALL)),
        ("phash256", SETS[NOT_FLAT], r.at_rate("phash256", NOT_FLAT)),
    ]
    rows = []
    for name in r.names:
        cells = []
        for pair in (both, loose):
            cells += [r.share(*pair[0], name), r.share(*pair[1], name), r.either(pair, name)]
        rows.append([name, *map(percent, cells)])
    yield table(
        [
            "transformation", f"pdq ≤{both[0][2]}", f"phash256 ≤{both[1][2]}", "either",
            f"pdq ≤{loose[0][2]} (1e-6)", f"phash256 unless flat ≤{loose[1][2]} (1e-6)", "either",
        ],
        rows,
    )  # fmt: skip


def _rates(r: Results) -> Iterator[str]:
    for kind in OURS:
        u = r.false[kind]
        histogram = u.histograms[ALL]
        compared = int(histogram.sum())
        steps = range(24, 89, 4) if KINDS[kind].size == 32 else range(2, 17, 2)
        rows = [
            [
                str(t), str(int(histogram[: t + 1].sum())), f"{rate_at(histogram, compared, t):.1e}",
                f"{extrapolated(histogram, compared, t):.1e}", f"{r.mean(kind, SETS[ALL], t, r.names):.1f}",
            ]
            for t in steps
        ]  # fmt: skip
        yield (
            f"{kind}, all views, {compared:,} comparisons; nearest: "
            + "; ".join(f"{d} ({a} and {b})" for d, a, b in u.closest)
            + "\n"
        )
        yield table(["distance", "false", "rate", "estimated", "mean found, %"], rows) + "\n"


def _thorn(_: Results) -> Iterator[str]:
    yield table(["transformation", "PDQ", "pHash 256"], [[name, *both] for name, both in THORN.items()])


_SECTIONS: Sequence[tuple[str, Callable[[Results], Iterator[str]]]] = (
    ("Aims", _aims),
    ("By transformation", _all),
    ("By views", _views),
    ("A second kind", _second),
    ("Views that were tried", _experiments),
    ("False positives by distance", _rates),
    ("Published by Thorn", _thorn),
)
