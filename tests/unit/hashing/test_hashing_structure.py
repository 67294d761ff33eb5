"""How much a picture shows: what keeps kinds without a quality of their own from matching blank pages."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from scanner.hashing.imagehashes import structure
from scanner.hashing.kinds import build_hashers
from scanner.model.hashes import KINDS
from tests.bench.lookalikes import CLASSES

IMAGE_HASHES = ("phash", "phash256", "dhash")


@pytest.mark.parametrize("name", ["flat", "gradient"])
def test_flat_pictures_and_gradients_are_near_each_other_and_are_not_compared(name: str) -> None:
    for seed in range(4):
        picture = CLASSES[name](np.random.default_rng(seed))
        for hasher in build_hashers(IMAGE_HASHES):
            ((_, _, quality),) = hasher.hashes(picture)
            assert quality < KINDS[hasher.kind].min_quality


@pytest.mark.parametrize("name", ["natural", "document", "chart"])
def test_the_quality_is_pdqs_where_there_is_something_to_see(name: str) -> None:
    picture = CLASSES[name](np.random.default_rng(1)).convert("RGB")
    (pdq,) = build_hashers(("pdq",))
    assert structure(picture) == pytest.approx(pdq.hashes(picture)[0][2], abs=3)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "I;16"])
def test_any_mode_has_a_quality(mode: str) -> None:
    picture = Image.new("L", (300, 200), 200)
    draw = ImageDraw.Draw(picture)
    for n in range(0, 300, 40):
        draw.rectangle((n, 0, n + 20, 200), fill=10)
    quality = structure(picture.convert(mode) if mode != "I;16" else picture.convert("I").convert("I;16"))
    assert 0 <= quality <= 100
    if mode not in ("I;16",):
        assert quality > 50
