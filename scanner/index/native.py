"""The extension that searches lists (`native/near.c`), where it was built, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

# Of the answers: the row, its distance, and the place of the value in the call.
_PAIR = np.dtype([("row", "<u4"), ("bits", "<u2"), ("asked", "<u2")])

LARGEST_ROW = (1 << 32) - 1
LARGEST_SIZE = 4096  # bytes of a hash


class NativeSearch(NamedTuple):
    """The functions of the extension; `_near.pyi` has their arguments.

    Attributes:
        probe: measures the rows that slot tables name, and tells the places of values for which these, or
            those within the distance, are too many.
        scan: measures rows one after another until its answer is full, and tells which is the next one.
        renumber: gives the rows of a slot table new numbers, and tells which have none.
    """

    probe: Callable[..., tuple[bytes, list[int]]]
    scan: Callable[..., tuple[bytes, int]]
    renumber: Callable[..., tuple[bytes, bytes]]


def native_search() -> NativeSearch | None:
    """The extension, which looks through lists as `scanner.index.perceptual` does; None where it was not
    built."""
    try:
        from scanner.index import _near
    except ImportError:
        return None
    return NativeSearch(_near.probe, _near.scan, _near.renumber)


def columns(answer: bytes) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint16], npt.NDArray[np.intp]]:
    """Places of values, distances in bits and rows, out of an answer."""
    pairs = np.frombuffer(answer, dtype=_PAIR)
    return pairs["asked"], pairs["bits"].astype(np.uint16), pairs["row"].astype(np.intp)
