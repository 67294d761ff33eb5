"""PDQ of pictures without content: found by their form, photographs never; and no hit by them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage
from numpy.typing import NDArray
from PIL import Image

from scanner.hashing.pdq_numbers import Pdq
from scanner.index import Index, OpenFeed, Snapshot, SnapshotBuilder, Threshold, nothing_shown
from scanner.index.uniform import product_share, shows_nothing
from scanner.model.feeds import Entry, FeedTerms
from scanner.model.hashes import Digests, PerceptualHash

SIDE = 256
# Pictures that could be taken for a photograph of somebody. The others of the package are a chessboard, a
# drawn horse, a page of text, shapes in front of a plain ground.
PHOTOGRAPHS = (
    "astronaut",
    "camera",
    "chelsea",
    "coffee",
    "hubble_deep_field",
    "retina",
    "rocket",
    "motorcycle_left",
)


def drawn() -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Pictures without content at a size that the 64 x 64 summary divides."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    yield "flat", np.full((SIDE, SIDE), 128.0)
    yield "black", np.zeros((SIDE, SIDE))
    yield "upper half", np.where(y < SIDE // 2, 0.0, 255.0)
    yield "left half", np.where(x < SIDE // 2, 0.0, 255.0)
    yield "falling", np.floor(y * 255 / (SIDE - 1))
    yield "rising", np.floor((SIDE - 1 - y) * 255 / (SIDE - 1))
    for n in (2, 4, 8, 16):
        yield f"chessboard of {n}", np.where((x * n // SIDE + y * n // SIDE) % 2 == 0, 0.0, 255.0)
    for n in (4, 8, 16):
        yield f"{n} stripes", np.where((x * n // SIDE) % 2 == 0, 0.0, 255.0)


def pdq(picture: NDArray[np.float64]) -> tuple[bytes, int]:
    grey = picture.astype(np.float32)
    _, value, quality = Pdq().hashes((grey.shape[1], grey.shape[0]), [(0, grey)])[0]
    return value, quality


def as_rows(*values: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(values), np.uint8).reshape(len(values), 32)


@pytest.mark.parametrize(("name", "picture"), list(drawn()), ids=lambda v: v if isinstance(v, str) else "")
def test_a_picture_without_content_is_known_by_its_bits(name: str, picture: NDArray[np.float64]) -> None:
    value, quality = pdq(picture)
    # What has no structure is not compared at all (quality below 50); all else must be known by its form.
    assert shows_nothing(as_rows(value))[0] or quality < 50


def test_with_the_least_noise_halves_and_stripes_are_each_their_own() -> None:
    """What varies in one direction only has no coefficient of its own in a hash: noise decides all its bits,
    so that one of them in a list hits no other."""
    plain = dict(drawn())["left half"] * 0.8 + 16
    noise = [np.random.default_rng(seed).integers(-2, 3, (SIDE, SIDE)) for seed in (1, 2)]
    one, other = (np.frombuffer(pdq(plain + n)[0], np.uint8) for n in noise)
    assert np.bitwise_count(one ^ other).sum() > 31


def test_no_photograph_and_no_random_hash_is_taken_for_one() -> None:
    found = []
    for path in sorted(Path(skimage.__file__).parent.joinpath("data").iterdir()):
        if path.stem in PHOTOGRAPHS and path.suffix in (".png", ".jpg"):
            found.append(pdq(np.asarray(Image.open(path).convert("L"), dtype=np.float64))[0])
    assert len(found) >= 3  # what comes with the package; others are downloaded when they are asked for
    assert product_share(as_rows(*found)).max() < 0.6
    half = np.tile(np.arange(256) < 128, (20_000, 1))
    random = np.packbits(np.random.default_rng(2).permuted(half, axis=1), axis=1)
    assert product_share(random).max() < 0.55 and not shows_nothing(random).any()


def test_the_quick_look_at_neighbouring_rows_never_misses_what_the_measure_finds() -> None:
    """Products of a row and a column with more and more wrong bits, on both sides of the bound."""
    rng = np.random.default_rng(4)
    bits = rng.integers(0, 2, (2000, 16, 1)) ^ rng.integers(0, 2, (2000, 1, 16))
    wrong = rng.random((2000, 16, 16)) < rng.uniform(0, 0.25, (2000, 1, 1))
    values = np.packbits((bits ^ wrong).reshape(2000, 256).astype(np.uint8), axis=1)
    balanced = np.abs(np.bitwise_count(values).sum(axis=1).astype(int) - 128) <= 40
    found = product_share(values) >= 0.75
    assert 500 < (found & balanced).sum() < 1900
    assert (shows_nothing(values)[balanced] == found[balanced]).all()


def test_an_entry_of_such_a_picture_never_hits_and_is_counted(tmp_path: Path) -> None:
    stripes = pdq(dict(drawn())["16 stripes"])[0]
    real = np.packbits(np.random.default_rng(3).permuted(np.arange(256) < 128)).tobytes()
    builder = SnapshotBuilder()
    for value in (stripes, real):
        builder.add(Entry((("pdq", value), ("md5", value[:16]))))
    builder.finish(tmp_path / "s", meta={"feed": "f", "format": "test", "built_ns": 1})
    snapshot = Snapshot.open(tmp_path / "s")
    assert nothing_shown(snapshot) == 1
    index = Index([OpenFeed(FeedTerms("f"), snapshot)], {"pdq": Threshold(31, 50)})

    def hits(value: bytes, **exact: bytes) -> int:
        return len(index.match(Digests(1, "image/png", exact, (PerceptualHash("pdq", "full", value, 100),))))

    assert (hits(stripes), hits(real)) == (0, 1)
    assert hits(stripes, md5=stripes[:16]) == 1  # the very file is a hit, whatever it shows
