"""Sets of small numbers, a bit for each."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def bitmap(bits: int, numbers: npt.NDArray[np.unsignedinteger[Any]]) -> npt.NDArray[np.uint8]:
    """So many bits, the lowest of a byte first, of which those of these numbers are set.

    Nothing larger is made on the way, an array of a byte each above all: what a thread frees stays with it,
    and many threads may come here.
    """
    made = np.zeros(bits // 8, dtype=np.uint8)
    within = (numbers & np.uint8(7)).astype(np.uint8)
    np.bitwise_or.at(made, numbers >> np.uint8(3), np.left_shift(np.uint8(1), within))
    return made
