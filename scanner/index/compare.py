"""Figures about values of lists, for whoever judges a new list before it is used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scanner.index.exact import Keys, contained

_CHUNK = 1 << 18  # keys looked at together


@dataclass(frozen=True, slots=True)
class Repeats:
    """Values that stand in many entries.

    Attributes:
        values: how many there are.
        entries: in how many entries they stand, all together.
    """

    values: int
    entries: int


def repeats(keys: Keys, more_than: int) -> Repeats:
    """The values that sorted keys have more than so many times."""
    values = entries = 0
    run = 0  # rows of the value that the last chunk ended with
    for start in range(0, len(keys), _CHUNK):
        part = keys[start : start + _CHUNK]
        edges = np.flatnonzero(part[1:] != part[:-1]) + 1
        lengths = np.diff(np.concatenate(([0], edges, [len(part)])))
        if start and (keys[start - 1 : start] == part[:1])[0]:
            lengths[0] += run
        elif run > more_than:
            values, entries = values + 1, entries + run
        run = int(lengths[-1])
        many = lengths[:-1][lengths[:-1] > more_than]
        values, entries = values + len(many), entries + int(many.sum())
    if run > more_than:
        values, entries = values + 1, entries + run
    return Repeats(values, entries)


def common(keys: Keys, others: Keys) -> int:
    """How many of some keys are among other, sorted ones."""
    return sum(int(contained(keys[i : i + _CHUNK], others).sum()) for i in range(0, len(keys), _CHUNK))
