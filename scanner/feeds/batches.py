"""Many values at once: what `checks` does to one of them, without a Python object for each."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import numpy as np

from scanner.feeds.checks import HARMLESS, MAX_CATEGORIES, admit, too_many_categories
from scanner.model.feeds import Entry, ImportCounts, Item, Packed, Rows
from scanner.model.hashes import KINDS


def unhexed(texts: Sequence[str], size: int) -> bytes | None:
    """Values of `size` bytes in hexadecimal digits as bytes, one after another; None when one is odd."""
    if set(map(len, texts)) != {2 * size}:
        return None
    return _unhexed("".join(texts), size * len(texts))


def unhexed_apart(texts: Sequence[bytes], size: int) -> list[bytes] | None:
    """As `unhexed`, of digits as bytes and with a value for each of them."""
    if set(map(len, texts)) != {2 * size}:
        return None
    whole = _unhexed(b"".join(texts).decode("latin-1"), size * len(texts))
    return None if whole is None else [whole[n : n + size] for n in range(0, len(whole), size)]


def admit_packed(kind: str, values: bytes, category: str, counts: ImportCounts) -> Packed | None:
    """Entries of one hash each, with what must not be matched left out and everything counted.

    Args:
        values: of the kind's size, one after another.

    Returns:
        None when nothing remains.
    """
    size = KINDS[kind].size
    found = _harmless_in(kind, values)
    for reason, number in Counter(found.values()).items():
        _add(counts.refused, reason, number)
    if found:
        values = b"".join(_between(values, found, size))
    number = len(values) // size
    if not number:
        return None
    counts.entries += number
    _add(counts.hashes, kind, number)
    _add_categories(counts, {category: number})
    return Packed(kind, values, category)


def admit_rows(
    hashes: tuple[tuple[str, bytes], ...],
    categories: Sequence[str],
    ids: Sequence[str],
    counts: ImportCounts,
) -> Iterator[Item]:
    """Entries of several hashes, as `Rows` has them; as single ones where some value must not be matched.

    Raises:
        FeedRefusedError: the list has more categories than can be right.
    """
    if any(_harmless_in(kind, values) for kind, values in hashes):
        yield from _one_by_one(hashes, categories, ids, counts)
        return
    counts.entries += len(categories)
    for kind, _ in hashes:
        _add(counts.hashes, kind, len(categories))
    _add_categories(counts, Counter(categories))
    yield Rows(hashes, categories, ids)


def _unhexed(digits: str, length: int) -> bytes | None:
    try:
        values = bytes.fromhex(digits)
    except ValueError:
        return None
    return values if len(values) == length else None  # fromhex skips white space


def _one_by_one(
    hashes: tuple[tuple[str, bytes], ...],
    categories: Sequence[str],
    ids: Sequence[str],
    counts: ImportCounts,
) -> Iterator[Entry]:
    sizes = {kind: KINDS[kind].size for kind, _ in hashes}
    for n, category in enumerate(categories):
        pairs = [(k, values[n * sizes[k] : (n + 1) * sizes[k]]) for k, values in hashes]
        entry = admit(pairs, ids[n] if ids else "", category, counts)
        if entry is not None:
            yield entry


def _harmless_in(kind: str, values: bytes) -> dict[int, str]:
    """What must not be matched among values of one kind: the place of each in bytes, and the reason."""
    size = KINDS[kind].size
    heads = np.ndarray((len(values) // size,), np.uint16, values, strides=(size,))
    places = (np.flatnonzero(_heads_of_harmless(kind)[heads]) * size).tolist()
    pairs = ((place, HARMLESS.get((kind, values[place : place + size]))) for place in places)
    return {place: reason for place, reason in pairs if reason is not None}


@cache
def _heads_of_harmless(kind: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which first two bytes some harmless value has: of other values 1 in some 300 has them by chance, and
    only those are looked up."""
    table = np.zeros(1 << 16, np.bool_)
    table[[int.from_bytes(value[:2], sys.byteorder) for name, value in HARMLESS if name == kind]] = True
    return table


def _between(values: bytes, places: Iterable[int], size: int) -> Iterator[bytes]:
    start = 0
    for place in places:
        yield values[start:place]
        start = place + size
    yield values[start:]


def _add(counter: dict[str, int], key: str, number: int) -> None:
    counter[key] = counter.get(key, 0) + number


def _add_categories(counts: ImportCounts, numbers: dict[str, int]) -> None:
    for category, number in numbers.items():
        _add(counts.categories, category, number)
    if len(counts.categories) > MAX_CATEGORIES:
        raise too_many_categories()
