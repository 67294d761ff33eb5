"""A turned view is the hash of the turned picture, whatever its size, and however it was decoded."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from scanner.hashing import decode
from scanner.hashing.operators import Stack, View, operator
from scanner.hashing.pdq import PdqHasher
from scanner.hashing.pdq_numbers import Pdq, luma, qualities_of, views

# What a picture has to be turned by, for each view: written out here anew, as numpy says it.
TURNS = {
    "turn90": lambda p: np.rot90(p, -1),
    "turn180": lambda p: np.rot90(p, 2),
    "turn270": lambda p: np.rot90(p, 1),
    "mirror": np.fliplr,
    "mirror90": lambda p: np.rot90(np.fliplr(p), -1),
    "mirror180": np.flipud,
    "mirror270": lambda p: np.rot90(np.fliplr(p), 1),
}
# Of a side of 8 pixels or fewer, or 16, some coefficients are nothing at all (the sixteenth wave meets 16
# pixels where it is zero), and which way they fall is rounding.
sides = st.integers(9, 700).filter(lambda side: side != 16)
_ROUNDING = 2  # bits: two coefficients may lie nearer to each other than sums of 32 bit floats are exact


def mean_of_families(pixels: NDArray[np.float32]) -> tuple[bytes, int]:
    """The hash by the mean operator of a picture as it lies, with dense matrices of 64 bit floats."""
    columns, rows = views(pixels.shape[1], pixels.shape[0])
    down = np.mean([operator(v, pixels.shape[0]) for v in rows], axis=0)
    across = np.mean([operator(v, pixels.shape[1]) for v in columns], axis=0)
    summary = down @ pixels @ across.T
    return Pdq().bits(summary), int(qualities_of(summary[None])[0])


def turned_views(pixels: NDArray[np.float32]) -> dict[str, tuple[bytes, int]]:
    height, width = pixels.shape
    cut = height // 3
    found = Pdq(turned=True).hashes((width, height), ((0, pixels[:cut]), (cut, pixels[cut:])))
    return {view[len("mid.") :]: (value, q) for view, value, q in found if view.startswith("mid.")}


def distance(a: bytes, b: bytes) -> int:
    return (int.from_bytes(a) ^ int.from_bytes(b)).bit_count()


def smooth(seed: int, width: int, height: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    knots = rng.uniform(0, 255, (24, 24))
    y, x = (np.interp(np.linspace(0, 23, n), np.arange(24), np.arange(24)) for n in (height, width))
    picture = knots[np.ix_(y.astype(int), x.astype(int))] + rng.normal(0, 2, (height, width))
    return np.asarray(picture, dtype=np.float32)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), sides, sides)
def test_turned_view_is_what_the_turned_picture_has(seed: int, width: int, height: int) -> None:
    pixels = smooth(seed, width, height)
    found = turned_views(pixels)
    assert found.keys() == TURNS.keys()
    for name, turn in TURNS.items():
        value, quality = mean_of_families(np.ascontiguousarray(turn(pixels)))
        assert distance(found[name][0], value) <= _ROUNDING, name
        assert abs(found[name][1] - quality) <= 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), sides, sides)
def test_upright_views_are_the_same_whether_turned_ones_are_wanted_or_not(
    seed: int, width: int, height: int
) -> None:
    strips = ((0, smooth(seed, width, height)),)
    alone = {v: h for v, h, _ in Pdq().hashes((width, height), strips)}
    among = {v: h for v, h, _ in Pdq(turned=True).hashes((width, height), strips)}
    assert alone.keys() == {v.name for v in views(width, height)[0]}
    assert all(distance(among[v], h) <= _ROUNDING for v, h in alone.items())
    assert all(v.startswith("mid.") for v in among.keys() - alone.keys())


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["direct", "nearest", "corner", "centre"]), st.integers(5, 2000))
def test_mirrored_operator_gives_the_summary_of_the_mirror_image(sampling: str, n: int) -> None:
    view = View("any", sampling, 0 if sampling == "direct" else 512)
    row = np.random.default_rng(n).uniform(0, 255, n)
    assert np.allclose(operator(view, n, mirrored=True) @ row, operator(view, n) @ row[::-1], atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(5, 3000), st.integers(1, 200), st.integers(1, 400))
def test_blocks_of_a_stack_multiply_as_the_whole_matrices_do(n: int, width: int, step: int) -> None:
    matrices = [operator(View("a", "direct"), n), operator(View("b", "nearest", 512), n)]
    pixels = np.random.default_rng(n).uniform(0, 255, (n, width)).astype(np.float32)
    stack = Stack(matrices)
    down = stack.down(((top, pixels[top : top + step]) for top in range(0, n, step)), width)
    whole = np.stack([m @ pixels for m in matrices], axis=1).reshape(128, width)
    assert np.allclose(down, whole, atol=1e-2)
    assert np.allclose(stack.across(pixels.T), whole.T, atol=1e-2)


@pytest.mark.parametrize("size", [(1600, 1064), (1063, 1601), (2400, 3001)])
def test_turned_view_of_a_reduced_jpeg_is_near_that_of_all_its_pixels(size: tuple[int, int]) -> None:
    pixels = np.clip(smooth(3, *size), 0, 255).astype(np.uint8)
    blurred = Image.fromarray(pixels).convert("RGB").resize(size, Image.Resampling.BICUBIC)
    out = io.BytesIO()
    blurred.save(out, "JPEG", quality=90)
    reduced = decode.open_picture(io.BytesIO(out.getvalue()), "image/jpeg", 10_000_000)
    full = decode.open_picture(io.BytesIO(out.getvalue()), "image/jpeg", 10_000_000, reduced=False)
    assert reduced.width < full.width
    found = {view: value for view, value, _ in PdqHasher(turned=True).hashes(reduced)}
    for name, turn in TURNS.items():
        value, _ = mean_of_families(np.ascontiguousarray(turn(luma(np.asarray(full)))))
        assert distance(found[f"mid.{name}"], value) <= 8
