"""Which listed values begin with some bits: for askers who tell a part of what they ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scanner.index.acting import OpenFeed, acting_categories, acting_mask
from scanner.index.exact import Keys, contained


@dataclass(frozen=True, slots=True)
class _Values:
    keys: Keys
    acting: npt.NDArray[np.bool_] | None  # None: all


class PrefixTable:
    """The acting values of one exact kind in all illegal feeds but for those that a benign feed has, as they
    are stored."""

    def __init__(self, feeds: Sequence[OpenFeed], kind: str) -> None:
        with_kind = [feed for feed in feeds if kind in feed.snapshot.counts]
        self._illegal = [_values(feed, kind) for feed in with_kind if not feed.benign]
        self._benign = [_values(feed, kind) for feed in with_kind if feed.benign]

    def beginning(self, value: int, bits: int) -> list[bytes]:
        """All values whose first `bits` bits are `value`, in ascending order, each once."""
        found: set[bytes] = set()
        for values in self._illegal:
            found.update(self._of(values, value, bits))
        return sorted(found)

    def _of(self, values: _Values, value: int, bits: int) -> list[bytes]:
        keys = values.keys
        width = keys.dtype.itemsize
        low = value << (8 * width - bits)
        high = low | ((1 << (8 * width - bits)) - 1)
        first = int(np.searchsorted(keys, _key(low, width), "left")[0])
        end = int(np.searchsorted(keys, _key(high, width), "right")[0])
        part = keys[first:end]
        if values.acting is not None:
            part = part[values.acting[first:end]]
        for benign in self._benign:
            vetoed = contained(part, benign.keys)
            if benign.acting is not None:
                vetoed = contained(part, benign.keys[benign.acting])
            part = part[~vetoed]
        whole = part.tobytes()  # an element on its own loses its NULs
        return [whole[i : i + width] for i in range(0, len(whole), width)]


def _values(feed: OpenFeed, kind: str) -> _Values:
    snapshot = feed.snapshot
    return _Values(snapshot.keys(kind), acting_mask(snapshot, kind, acting_categories(feed)))


def _key(value: int, width: int) -> Keys:
    return np.frombuffer(value.to_bytes(width, "big"), dtype=f"S{width}")
