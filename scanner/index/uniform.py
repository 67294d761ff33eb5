"""PDQ of pictures that show nothing: flat ones, gradients, halves, stripes, chessboards.

Such a value in a list would hit every picture of that form. The form shows in the bits: a hash is 16 x 16
signs of cosine coefficients, and a picture that is a product of a row and a column (f(x) times g(y)) has
coefficients that are one, too, so that each row of signs is the first one or its inverse. How near a hash
comes to that is measured as the share of bits that agree with the best such pattern.

Measured with our own PDQ (see tests/unit/index/test_index_uniform.py): such pictures at sizes that the
64 x 64 summary divides have 0.83 to 1.0, 31 photographs of scikit-image and other packages at most 0.60,
200,000 random hashes of 128 bits at most 0.47. At other sizes they can come down to 0.45, for ringing decides
half of their bits then; and with a little noise what varies in one direction only is noise in all its bits,
so that one of them does not hit the next.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scanner.index.hamming import Hashes

KIND = "pdq"
_SIDE = 16  # a hash is this many rows of this many bits
_FLAT = 0.75  # share, between what photographs (0.60) and such pictures (0.83) have
_WRONG = int((1 - _FLAT) * _SIDE * _SIDE / 2)  # bits that don't agree, at most
_LEAST_ALIKE = (_SIDE - 1) * _SIDE - 4 * _WRONG
# A hash has as many ones as zeros, as its median parts them; only ties of a flat picture change that.
_FEWEST_ONES, _MOST_ONES = 80, 176
_CHUNK = 16384  # hashes at a time: some 50 MB of temporaries


def shows_nothing(hashes: Hashes) -> npt.NDArray[np.bool_]:
    """Which of (N, 32) PDQ values are of pictures without content."""
    found = np.zeros(len(hashes), dtype=np.bool_)
    for i in range(0, len(hashes), _CHUNK):
        part = hashes[i : i + _CHUNK]
        ones = np.bitwise_count(part).sum(axis=1, dtype=np.uint16)
        flat = (ones < _FEWEST_ONES) | (ones > _MOST_ONES)
        likely = np.flatnonzero(_rows_alike(part))
        flat[likely] |= product_share(part[likely]) >= _FLAT
        found[i : i + _CHUNK] = flat
    return found


def _rows_alike(hashes: Hashes) -> npt.NDArray[np.bool_]:
    """Which of the hashes can reach `_FLAT` at all, by each row and the next alone: some hundred times as
    fast as measuring it. With e wrong bits in a row, two rows agree but for their e together; all e of a
    hash that reaches the share are at most `_WRONG`, and each counts in two pairs and twice in a
    difference."""
    rows = np.ascontiguousarray(hashes).view(np.uint16)
    differ = np.bitwise_count(rows[:, 1:] ^ rows[:, :-1]).astype(np.int16)
    alike: npt.NDArray[np.bool_] = np.abs(_SIDE - 2 * differ).sum(axis=1) >= _LEAST_ALIKE
    return alike


def product_share(hashes: Hashes) -> npt.NDArray[np.float32]:
    """How near each hash is to a product of a row and a column: 0-1."""
    if not len(hashes):
        return np.empty(0, dtype=np.float32)
    signs = np.unpackbits(hashes, axis=1).reshape(-1, _SIDE, _SIDE).astype(np.float32) * 2 - 1
    agreement = np.abs(signs @ signs.transpose(0, 2, 1)).sum(axis=2)
    share: npt.NDArray[np.float32] = agreement.max(axis=1) / (_SIDE * _SIDE)
    return share


def value_shows_nothing(kind: str, value: bytes) -> bool:
    """Whether one value of a kind is of a picture without content; kinds but PDQ are not known to."""
    if kind != KIND:
        return False
    return bool(shows_nothing(np.frombuffer(value, dtype=np.uint8).reshape(1, -1))[0])
