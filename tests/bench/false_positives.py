"""How often pictures that are not the same are near each other: `make bench-false-positives`.

Of each class of `lookalikes` some pictures are made. Each in turn is the file, in all its views, and every
other one is the listed picture, by the first view of its kind. Counted are pairs of a file and a listed
picture that are a match, within a class and across classes, by distance and by the quality of the file's
hash, without values that show nothing (`scanner.index.uniform`), which are never compared.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scanner.hashing.kinds import build_hashers
from scanner.index.uniform import shows_nothing
from scanner.model.views import words
from tests.bench.lookalikes import CLASSES, ONE_FORM

KINDS = {"pdq": (10, 16, 24, 31), "phash256": (10, 16, 24, 31), "phash": (0, 2, 4, 6), "dhash": (0, 2, 4)}
QUALITIES = (0, 20, 50, 70)
_PDQ = "pdq"


@dataclass(frozen=True)
class Hashed:
    """The hashes of one kind of all pictures.

    Attributes:
        listed: (N, bytes) by picture.
        asked: (V, bytes) all views of all pictures, and of each …
        owner: … its picture,
        quality: … its quality,
        view: … its name.
    """

    listed: npt.NDArray[np.uint8]
    asked: npt.NDArray[np.uint8]
    owner: npt.NDArray[np.intp]
    quality: npt.NDArray[np.int16]
    view: tuple[str, ...]


def hashed(each: int, seed: int) -> tuple[npt.NDArray[np.intp], dict[str, Hashed]]:
    """The class of every picture as a number, and the hashes by kind."""
    hashers = build_hashers(tuple(KINDS))
    found: dict[str, list[tuple[int, str, bytes, int]]] = {kind: [] for kind in KINDS}
    classes = []
    for number, make in enumerate(CLASSES.values()):
        for n in range(each):
            picture = make(np.random.default_rng((seed, number, n))).convert("RGB")
            for hasher in hashers:
                for view, value, quality in hasher.hashes(picture):
                    found[hasher.kind].append((len(classes), view, value, quality))
            classes.append(number)
    return np.array(classes), {kind: _arrays(rows, len(classes)) for kind, rows in found.items()}


def _arrays(rows: Sequence[tuple[int, str, bytes, int]], pictures: int) -> Hashed:
    owner = np.array([row[0] for row in rows])
    values = np.frombuffer(b"".join(row[2] for row in rows), dtype=np.uint8).reshape(len(rows), -1)
    first = np.searchsorted(owner, np.arange(pictures))
    qualities = np.array([row[3] for row in rows], dtype=np.int16)
    return Hashed(values[first], values, owner, qualities, tuple(row[1] for row in rows))


def distances(hashes: Hashed) -> npt.NDArray[np.uint16]:
    """(V, N) bits."""
    found = np.empty((len(hashes.asked), len(hashes.listed)), dtype=np.uint16)
    for i, value in enumerate(hashes.asked):
        found[i] = np.bitwise_count(hashes.listed ^ value).sum(axis=1, dtype=np.uint16)
    return found


def collisions(
    hashes: Hashed, bits: npt.NDArray[np.uint16], allowed: npt.NDArray[np.bool_], within: int, quality: int
) -> npt.NDArray[np.bool_]:
    """(N, N): which files match which listed pictures by some view of these; never itself."""
    count = len(hashes.listed)
    found = np.zeros((count, count), dtype=np.bool_)
    rows = np.flatnonzero(allowed & (hashes.quality >= quality))
    np.logical_or.at(found, hashes.owner[rows], bits[rows] <= within)
    np.fill_diagonal(found, val=False)
    return found


def tables(classes: npt.NDArray[np.intp], of_kind: dict[str, Hashed]) -> Iterator[str]:
    """Markdown: by kind the share of pairs that match in each class, and the number of all pairs that do."""
    names = tuple(CLASSES)
    same = classes[:, None] == classes[None, :]
    np.fill_diagonal(same, val=False)
    form = np.isin(classes, [names.index(name) for name in ONE_FORM])
    one_form = same & form[:, None]
    for kind, limits in KINDS.items():
        hashes = of_kind[kind]
        bits = distances(hashes)
        guarded = np.ones(len(hashes.asked), dtype=np.bool_)
        if kind == _PDQ:
            guarded = ~shows_nothing(hashes.asked)
        grids = {
            (quality, limit): collisions(hashes, bits, guarded, limit, quality)
            for quality in QUALITIES
            for limit in limits
        }
        yield f"\n### {kind}: % of pairs that match\n"
        shown = [(quality, limit) for quality in (0, 50) for limit in limits]
        yield _line("", *(f"<= {limit}, q >= {quality}" for quality, limit in shown))
        yield _line("---", *("---:" for _ in shown))
        for number, name in enumerate(names):
            pairs = same & (classes[:, None] == number)
            yield _line(name, *(_percent(grids[at], pairs) for at in shown))
        yield _line("any two classes", *(_percent(grids[at], ~same) for at in shown))
        yield f"\n{kind}: pairs that match / of one form but for the words\n"
        yield _line("quality", *(f"<= {limit}" for limit in limits))
        yield _line("---", *("---:" for _ in limits))
        for q in QUALITIES:
            counts = (
                (int((grids[q, n] & ~one_form).sum()), int((grids[q, n] & one_form).sum())) for n in limits
            )
            yield _line(f">= {q}", *(f"{others:,} / {of_form:,}" for others, of_form in counts))
        yield ""
        plain = np.array([words(view) == {"whole"} for view in hashes.view])
        numbers = (
            int((collisions(hashes, bits, allowed, limits[-1], quality) & ~one_form).sum())
            for allowed, quality in ((guarded | True, 0), (guarded, 0), (guarded, 50), (guarded & plain, 50))
        )
        told = "Not of one form, within {}: {:,}; of values that show something {:,}; of these of quality "
        yield (told + "50 {:,}; by whole upright views alone {:,}.").format(limits[-1], *numbers)
    yield "\n### Two kinds together, of quality 50: % of pairs that match by both\n"
    first, second = (
        collisions(h, distances(h), h.quality >= 0, limit, 50)
        for h, limit in ((of_kind["pdq"], 31), (of_kind["phash256"], 24))
    )
    yield _line("", "pdq <= 31", "phash256 <= 24", "both")
    yield _line("---", "---:", "---:", "---:")
    for number, name in enumerate(names):
        pairs = same & (classes[:, None] == number)
        if (first & pairs).any() or (second & pairs).any():
            yield _line(name, *(_percent(grid, pairs) for grid in (first, second, first & second)))


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(grid: npt.NDArray[np.bool_], pairs: npt.NDArray[np.bool_]) -> str:
    share = 100 * (grid & pairs).sum() / pairs.sum()
    return f"{share:.2f}" if 0 < share < 10 else f"{share:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--each", type=int, default=40, help="pictures of each class")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    classes, of_kind = hashed(given.each, given.seed)
    qualities = of_kind["pdq"]
    print(f"{given.each} pictures of each of {len(CLASSES)} classes; quality of PDQ, median (5 % to 95 %):\n")
    for number, name in enumerate(CLASSES):
        of_class = qualities.quality[classes[qualities.owner] == number]
        low, middle, high = np.percentile(of_class, (5, 50, 95))
        print(f"- {name}: {middle:.0f} ({low:.0f} to {high:.0f})")
    print("\n".join(tables(classes, of_kind)))


if __name__ == "__main__":
    main()
