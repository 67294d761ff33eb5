"""The two measurements, in processes: copies of the listed pictures, and pictures that aren't related."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .experiment import EXPERIMENTS
from .measure import BITS, NONE, Histogram, Words, histogram, nearest, words
from .pictures import Source, Spec, crops
from .subjects import OURS, SETS, Asked, Ours, Subject, needed, others
from .transformations import TRANSFORMATIONS

_LISTED_SIDE, _ASKED_SIDE = 128, 600  # pixels of unrelated pictures' longer sides
# Groups of transformations for which the experimental views are computed: they bring nothing to the others.
_EXPERIMENTAL = frozenset(("marks", "crops", "borders", "angles"))
EXPERIMENT_EVERY = 5  # pictures: the experimental views are a third and more of the work
_IN_TASK = 4  # pictures
_FLAT = 0.5  # of the crops wanted, as many more are tried where some are too flat for PDQ

Task = tuple[Source, Sequence[tuple[int, Spec]], Sequence[int]]  # pictures by number, transformations


@dataclass(frozen=True, slots=True)
class Copies:
    """Distances of altered copies from what is listed.

    Attributes:
        pictures: names of those that PDQ's quality lets into lists.
        left_out: how many others there are.
        transformations: names.
        distances: by subject and group of views: (pictures, transformations), NONE where nothing is compared.
    """

    pictures: Sequence[str]
    left_out: int
    transformations: Sequence[str]
    distances: dict[str, dict[str, NDArray[np.uint16]]]

    def nearest(self, subject: str, groups: Sequence[str]) -> NDArray[np.uint16]:
        """Over these groups of views, those that the subject has."""
        there = [d for group, d in self.distances[subject].items() if group in groups]
        return np.minimum.reduce(there)

    def tried(self, subject: str) -> NDArray[np.bool_]:
        """Which of the pictures were also seen in experimental views."""
        there = [d for group, d in self.distances[subject].items() if group in EXPERIMENTS]
        return (np.minimum.reduce(there) != NONE).any(axis=1) if there else np.ones(len(self.pictures), bool)


@dataclass(slots=True)
class Unrelated:
    """How near unrelated pictures come, by subject.

    Attributes:
        listed, asked: pictures.
        histograms: of them, by set of views.
        closest: (distance, asked source, listed source) of the nearest few pairs of sources, whole views.
    """

    listed: int = 0
    asked: int = 0
    histograms: dict[str, Histogram] = field(default_factory=dict)
    closest: list[tuple[int, str, str]] = field(default_factory=list)


# --- altered copies


@cache  # one of each in a process of the pool
def _subjects() -> tuple[Subject, ...]:
    return (*(Ours(kind, experiment=True) for kind in OURS), *others()[0])


def _altered(task: Task) -> list[dict[str, object]]:
    """Of each picture of a photograph: the distances of all its copies by subject and group."""
    source, specs, chosen = task
    photograph = source.open()
    rows: list[dict[str, object]] = []
    for number, spec in specs:
        picture = spec.cut(photograph)
        listed = {s.name: s.listed(picture, number) for s in _subjects()}
        row: dict[str, object] = {"name": spec.name, "number": number, "found": None}
        rows.append(row)
        if listed["pdq"] is None:
            continue
        found: dict[tuple[str, str], NDArray[np.uint16]] = {}
        for column, index in enumerate(chosen):
            change = TRANSFORMATIONS[index]
            experiment = change.group in _EXPERIMENTAL and number % EXPERIMENT_EVERY == 0
            file = Asked(change.apply(picture, spec.random()), experiment=experiment)
            for subject in _subjects():
                value = listed[subject.name]
                if value is None:
                    continue
                target = words([value], subject.size)
                for group, values in subject.asked(file).items():
                    distances = found.setdefault(
                        (subject.name, group), np.full(len(chosen), NONE, dtype=np.uint16)
                    )
                    distances[column] = nearest(words(values, subject.size), target)[0]
        row["found"] = found
    return rows


def copies(specs: Sequence[Spec], chosen: Sequence[int], processes: int, folder: Path) -> Copies:
    """Hash every transformation of every picture.

    Args:
        folder: where what is done lies as it comes; what lies there already is not done again.
    """
    todo = [task for task in tasks(specs, chosen) if not _part(folder, task).exists()]
    done = 0
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for part in pool.imap_unordered(_kept, [(task, folder) for task in todo]):
            done += part
            print(f"\r{done} pictures", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return joined(folder, chosen)


def _part(folder: Path, task: Task) -> Path:
    """A task's file, by its first picture's number."""
    return folder / f"{task[1][0][0]:05}.pickle"


def _kept(work: tuple[Task, Path]) -> int:
    task, folder = work
    part = _part(folder, task)
    rows = _altered(task)
    part.with_suffix(".new").write_bytes(pickle.dumps(rows))
    part.with_suffix(".new").rename(part)
    return len(rows)


def tasks(specs: Sequence[Spec], chosen: Sequence[int]) -> Sequence[Task]:
    """A few pictures of one photograph each."""
    by_source: dict[Source, list[tuple[int, Spec]]] = {}
    for number, spec in enumerate(specs):
        by_source.setdefault(spec.source, []).append((number, spec))
    parts: list[Task] = [
        (source, theirs[i : i + _IN_TASK], chosen)
        for source, theirs in by_source.items()
        for i in range(0, len(theirs), _IN_TASK)
    ]
    # In no order of theirs: what is done when a run is broken off is a sample of all.
    random.Random(1).shuffle(parts)
    return parts


def joined(folder: Path, chosen: Sequence[int]) -> Copies:
    """What the tasks that are done have found, as tables."""
    rows = [row for part in folder.glob("*.pickle") for row in pickle.loads(part.read_bytes())]
    rows.sort(key=lambda row: row["number"])
    kept = [row for row in rows if row["found"] is not None]
    distances: dict[str, dict[str, NDArray[np.uint16]]] = {}
    for i, row in enumerate(kept):
        for (subject, group), values in row["found"].items():  # type: ignore[attr-defined]
            table = distances.setdefault(subject, {}).setdefault(
                group, np.full((len(kept), len(chosen)), NONE, dtype=np.uint16)
            )
            table[i] = values
    names = [TRANSFORMATIONS[i].name for i in chosen]
    return Copies([str(row["name"]) for row in kept], len(rows) - len(kept), names, distances)


# --- unrelated pictures


@cache
def _kinds() -> tuple[Ours, ...]:
    return tuple(Ours(kind, experiment=True) for kind in OURS)


@cache
def _plain_kinds() -> tuple[Ours, ...]:
    return tuple(Ours(kind, experiment=False) for kind in OURS)


def _listed(task: tuple[int, Source, int]) -> tuple[int, dict[str, list[bytes]]]:
    """What a list would have of so many parts of a photograph."""
    number, source, count = task
    numbers = np.random.default_rng(number)
    values: dict[str, list[bytes]] = {kind: [] for kind in OURS}
    for gray in crops(source.open().convert("L"), round(count * (1 + _FLAT)), _LISTED_SIDE, numbers):
        for kind in _plain_kinds():
            if len(values[kind.name]) < count and (value := kind.listed(gray, 0)) is not None:
                values[kind.name].append(value)
        if len(values["pdq"]) == count:
            break
    return number, values


def _asked(
    task: tuple[int, Source, int, str],
) -> dict[str, tuple[int, dict[str, Histogram], list[tuple[int, int]]]]:
    """Histograms of comparing so many parts of a photograph with all that is listed of the others."""
    number, source, count, folder = task
    parts = list(crops(source.open(), count, _ASKED_SIDE, np.random.default_rng(10_000 + number)))
    out = {}
    for kind in _kinds():
        listed: Words = np.load(Path(folder, f"{kind.name}.npy"), mmap_mode="r")
        owners = np.load(Path(folder, f"{kind.name}.owners.npy"))
        theirs = np.ascontiguousarray(listed[owners != number])
        columns = np.asfortranarray(theirs)
        sources = owners[owners != number]
        histograms = {name: np.zeros(BITS, dtype=np.int64) for name in SETS}
        closest: dict[int, int] = {}
        asked = 0
        for i, part in enumerate(parts):
            views = kind.views(part, experiment=i % EXPERIMENT_EVERY == 0)
            if not views:
                continue
            asked += 1
            near = {g: nearest(words(v, kind.size), columns) for g, v in views.items()}
            for name, groups in SETS.items():
                if needed(groups) <= near.keys() and (chosen := [d for g, d in near.items() if g in groups]):
                    histograms[name] += histogram(np.minimum.reduce(chosen))
            whole = near.get("whole", np.full(len(theirs), NONE))
            for at in np.argpartition(whole, 3)[:3]:
                closest[int(sources[at])] = min(closest.get(int(sources[at]), NONE), int(whole[at]))
        out[kind.name] = (asked, histograms, sorted((d, s) for s, d in closest.items())[:3])
    return out


def listed(sources: Sequence[Source], count: int, processes: int, folder: Path) -> None:
    """Hash parts of every photograph, so many of all together, as lists would have them, into a folder.

    Where the folder has them already they are left.
    """
    if all((folder / f"{kind}.owners.npy").exists() for kind in OURS):
        return
    each = -(-count // len(sources))
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        tasks = [(i, source, each) for i, source in enumerate(sources)]
        by_number = dict(pool.imap_unordered(_listed, tasks))
    for kind in _plain_kinds():
        values = [value for i in sorted(by_number) for value in by_number[i][kind.name]]
        owners = np.repeat(sorted(by_number), [len(by_number[i][kind.name]) for i in sorted(by_number)])
        np.save(folder / f"{kind.name}.npy", words(values, kind.size))
        np.save(folder / f"{kind.name}.owners.npy", owners)


def unrelated(sources: Sequence[Source], asked: int, processes: int, folder: Path) -> dict[str, Unrelated]:
    """Compare parts of every photograph, so many of all together, with what is `listed` of the others."""
    results = {kind: Unrelated(listed=len(np.load(folder / f"{kind}.npy", mmap_mode="r"))) for kind in OURS}
    tasks = [(i, source, max(1, asked // len(sources)), str(folder)) for i, source in enumerate(sources)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for task, part in zip(tasks, pool.imap(_asked, tasks), strict=True):
            for kind, (count, histograms, closest) in part.items():
                result = results[kind]
                result.asked += count
                for name, counts in histograms.items():
                    result.histograms[name] = result.histograms.get(name, 0) + counts
                result.closest += [(d, task[1].name, sources[s].name) for d, s in closest]
    for result in results.values():
        result.closest = sorted(result.closest)[:5]
    return results


# --- keeping results, so that the report can be made again


def save(path: Path, found: Copies, false: dict[str, Unrelated], words_: dict[str, object]) -> None:
    arrays = {f"{s}|{g}": d for s, groups in found.distances.items() for g, d in groups.items()}
    np.savez_compressed(path.with_suffix(".npz"), **arrays)  # type: ignore[arg-type]
    text = {
        "pictures": found.pictures, "left_out": found.left_out, "transformations": found.transformations,
        "unrelated": {
            kind: {**asdict(u), "histograms": {n: h.tolist() for n, h in u.histograms.items()}}
            for kind, u in false.items()
        },
        **words_,
    }  # fmt: skip
    path.write_text(json.dumps(text))


def load(path: Path) -> tuple[Copies, dict[str, Unrelated], dict[str, object]]:
    text = json.loads(path.read_text())
    distances: dict[str, dict[str, NDArray[np.uint16]]] = {}
    with np.load(path.with_suffix(".npz")) as arrays:
        for key in arrays.files:
            subject, _, group = key.partition("|")
            distances.setdefault(subject, {})[group] = arrays[key]
    false = {
        kind: Unrelated(
            u["listed"], u["asked"],
            {name: np.array(h) for name, h in u["histograms"].items()}, [tuple(c) for c in u["closest"]],
        )
        for kind, u in text.pop("unrelated").items()
    }  # fmt: skip
    return (
        Copies(text.pop("pictures"), text.pop("left_out"), text.pop("transformations"), distances),
        false,
        text,
    )
