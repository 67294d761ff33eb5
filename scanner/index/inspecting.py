"""Questions about whole lists: what they have in common, what changed, what stands too often. For the guard
and for dry runs; each reads the list once, in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scanner.index.exact import Keys, as_keys, contained
from scanner.index.snapshot import Snapshot
from scanner.index.uniform import KIND as PDQ
from scanner.index.uniform import shows_nothing

_CHUNK = 1 << 16  # keys at a time


@dataclass(frozen=True, slots=True)
class Change:
    """Values of one kind in two lists.

    Attributes:
        before, after: how many there are.
        come, go: how many are in the new one only, and in the old one only.
    """

    before: int
    after: int
    come: int
    go: int


def changes(old: Snapshot | None, new: Snapshot) -> Mapping[str, Change]:
    """What changes from one list to the next, by kind of hash."""
    before = old.counts if old is not None else {}
    found = {}
    for kind in sorted({*before, *new.counts}):
        ours = new.keys(kind) if kind in new.counts else None
        theirs = old.keys(kind) if old is not None and kind in before else None
        n, m = (0 if keys is None else len(keys) for keys in (theirs, ours))
        if old is not None and old.key != new.key and kind in new.counts and new.meta.kinds[kind].exact:
            theirs = None  # stored under another key, so nothing of it can be found again
        come = m if theirs is None or ours is None else m - int(contained_sorted(ours, theirs).sum())
        go = n if theirs is None or ours is None else n - int(contained_sorted(theirs, ours).sum())
        found[kind] = Change(n, m, come, go)
    return found


def shared_entries(one: Snapshot, values: Mapping[str, Keys]) -> npt.NDArray[np.uint32]:
    """Numbers of the entries of a list of which some exact value is among others', sorted keys by kind."""
    found = [np.empty(0, dtype=np.uint32)]
    for kind, meta in one.meta.kinds.items():
        if meta.exact and kind in values:
            found.append(one.entry_numbers(kind)[contained_sorted(one.keys(kind), values[kind])])
    return np.unique(np.concatenate(found))


def most_repeated(snapshot: Snapshot, more_than: int) -> Mapping[str, int]:
    """By perceptual kind, the most different exact digests whose entries share one value, where these are
    more than so many entries. Kinds without such a value, and lists without exact digests, are left out.

    Raises:
        SnapshotError: an entry's number leads nowhere.
    """
    exact = [k for k, meta in snapshot.meta.kinds.items() if meta.exact]
    found = {}
    for kind, meta in snapshot.meta.kinds.items():
        if meta.exact or not exact:
            continue
        starts, lengths = _runs(snapshot.keys(kind), more_than)
        if not len(starts):
            continue
        groups = _groups(snapshot, kind, starts, lengths)
        most = max(_most_digests(snapshot, name, groups) for name in exact)
        if most > more_than:
            found[kind] = most
    return found


def entry_keys(snapshot: Snapshot, number: int) -> Mapping[str, list[bytes]]:
    """The values of one entry, as the snapshot keeps them, by kind; nothing if there is no such entry."""
    found = {}
    for kind, meta in snapshot.meta.kinds.items():
        rows = np.flatnonzero(snapshot.entry_numbers(kind) == number)
        if len(rows):
            found[kind] = _rows_as_bytes(snapshot.keys(kind), rows, meta.size)
    return found


def entries_of_keys(snapshot: Snapshot, keys: Mapping[str, Sequence[bytes]]) -> set[int]:
    """Numbers of the entries that have all of these kinds' values, as `entry_keys` told them; of kinds that
    this list lacks none is asked."""
    found: set[int] | None = None
    for kind, values in keys.items():
        if kind not in snapshot.counts:
            continue
        numbers = snapshot.entry_numbers(kind)
        size = snapshot.meta.kinds[kind].size
        wanted = as_keys(b"".join(v for v in values if len(v) == size), size)
        low = np.searchsorted(snapshot.keys(kind), wanted, side="left")
        high = np.searchsorted(snapshot.keys(kind), wanted, side="right")
        of_kind = {int(n) for i, j in zip(low, high, strict=True) for n in numbers[i:j]}
        found = of_kind if found is None else found & of_kind
    return found or set()


def _rows_as_bytes(keys: Keys, rows: npt.NDArray[np.intp], size: int) -> list[bytes]:
    data = keys[rows].tobytes()
    return [data[i : i + size] for i in range(0, len(data), size)]


def nothing_shown(snapshot: Snapshot) -> int:
    """PDQ values of pictures without content."""
    keys = snapshot.keys(PDQ)
    return int(shows_nothing(keys.view(np.uint8).reshape(len(keys), -1)).sum()) if len(keys) else 0


def contained_sorted(values: Keys, keys: Keys) -> npt.NDArray[np.bool_]:
    """As `contained`, for values that are sorted as well: part by part, by the first eight bytes as numbers,
    which are compared several times as fast as strings; the whole key only where these are equal."""
    found = np.zeros(len(values), dtype=np.bool_)
    for i in range(0, len(values), _CHUNK):
        part = values[i : i + _CHUNK]
        low = np.searchsorted(keys, part[:1], side="left")[0]
        rows = keys[low : np.searchsorted(keys, part[-1:], side="right")[0]]
        if not len(rows):
            continue
        wanted, there = _first_eight(part), _first_eight(rows)
        at = np.searchsorted(there, wanted)
        at[at == len(there)] = 0
        near = np.flatnonzero(there[at] == wanted)
        equal = rows[at[near]] == part[near]
        found[i + near[equal]] = True
        others = near[~equal]  # of several keys with the same beginning it may be a later one
        found[i + others] = contained(part[others], rows)
    return found


def _first_eight(keys: Keys) -> npt.NDArray[np.uint64]:
    table = np.ascontiguousarray(keys).view(np.uint8).reshape(len(keys), -1)
    prefix = np.zeros((len(table), 8), dtype=np.uint8)
    prefix[:, : table.shape[1]] = table[:, :8]
    return prefix.view(">u8")[:, 0].astype(np.uint64)


def _runs(keys: Keys, more_than: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Where more than so many equal values stand in sorted keys, and how many."""
    found = [np.empty(0, dtype=keys.dtype)]
    for i in range(0, len(keys) - more_than, _CHUNK):
        near = keys[i : i + _CHUNK]
        far = keys[i + more_than : i + more_than + _CHUNK]
        found.append(np.unique(near[: len(far)][near[: len(far)] == far]))
    values = np.unique(np.concatenate(found))
    starts = np.searchsorted(keys, values, side="left")
    return starts, np.searchsorted(keys, values, side="right") - starts


def _groups(
    snapshot: Snapshot, kind: str, starts: npt.NDArray[np.intp], lengths: npt.NDArray[np.intp]
) -> npt.NDArray[np.uint32]:
    """For each entry of the list the number of its group of equal values, from 1 on; 0: it is in none."""
    entries = snapshot.entry_numbers(kind)
    groups = np.zeros(snapshot.meta.entries, dtype=np.uint32)
    for number, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True), 1):
        groups[entries[start : start + length]] = number
    return groups


def _most_digests(snapshot: Snapshot, kind: str, groups: npt.NDArray[np.uint32]) -> int:
    """The most different values of an exact kind in one group."""
    of, width = groups[snapshot.entry_numbers(kind)], snapshot.meta.kinds[kind].size
    rows = np.flatnonzero(of)
    if not len(rows):
        return 0
    pairs = np.empty((len(rows), 4 + width), dtype=np.uint8)
    pairs[:, :4] = of[rows].astype(">u4").view(np.uint8).reshape(-1, 4)
    pairs[:, 4:] = snapshot.keys(kind)[rows].view(np.uint8).reshape(-1, width)
    distinct = np.unique(as_keys(pairs.tobytes(), 4 + width)).view(np.uint8).reshape(-1, 4 + width)
    numbers = np.ascontiguousarray(distinct[:, :4]).view(">u4")[:, 0]
    return int(np.bincount(numbers.astype(np.intp)).max())
