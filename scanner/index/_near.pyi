"""native/near.c, which may not be there."""

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.uint32]

def probe(
    hashes: Hashes,
    order: Numbers,
    starts: Numbers,
    shape: bytes,
    positions: bytes,
    values: Hashes,
    distance: int,
    most: int,
    /,
) -> tuple[bytes, list[int]]: ...
def scan(
    hashes: Hashes, values: Hashes, size: int, distance: int, row: int, end: int, /
) -> tuple[bytes, int]: ...
def renumber(words: Numbers, moved: Numbers, bits: int, /) -> tuple[bytes, bytes]: ...
