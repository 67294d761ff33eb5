"""Pictures that look like what customers keep: cut from freely licensed photographs, or drawn.

The photographs are those inside scikit-image's wheel, in the public domain or under CC0; nothing is
downloaded. The same seed gives the same picture.
"""

from __future__ import annotations

import colorsys
import importlib.util
import io
import random
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance, ImageOps

__all__ = ["PHOTOGRAPHS", "drawing", "encoded", "photo", "photograph"]

PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "cell.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "page.png",
    "retina.jpg",
    "rocket.jpg",
)

# Share of a photograph's sides that a cut keeps: small enough that no perceptual hash takes two cuts, or a
# cut and the whole, for the same picture.
_CUT = (0.35, 0.6)


@cache
def _original(name: str) -> Image.Image:
    found = importlib.util.find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("the sample photographs come with scikit-image: `make dev` installs it")
    with Image.open(Path(found.submodule_search_locations[0]) / "data" / name) as image:
        return image.convert("RGB")


def photograph(name: str, size: tuple[int, int]) -> Image.Image:
    """One of `PHOTOGRAPHS`, cropped only as far as `size` (width, height) asks for it."""
    return ImageOps.fit(_original(name), size, Image.Resampling.LANCZOS)


def photo(seed: int, size: tuple[int, int] = (480, 360)) -> Image.Image:
    """A photograph of its own: a cut from one of `PHOTOGRAPHS`, its light and colours changed."""
    rng = random.Random(seed)
    original = _original(PHOTOGRAPHS[seed % len(PHOTOGRAPHS)])
    share = rng.uniform(*_CUT)
    width, height = int(original.width * share), int(original.height * share)
    left, top = rng.randint(0, original.width - width), rng.randint(0, original.height - height)
    picture = original.resize(size, Image.Resampling.BILINEAR, (left, top, left + width, top + height))
    if rng.random() < 0.5:
        picture = ImageOps.mirror(picture)
    picture = ImageEnhance.Brightness(picture).enhance(rng.uniform(0.85, 1.2))
    return Image.blend(picture, Image.new("RGB", size, _colour(rng)), 0.08)


def drawing(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A banner as web sites have them: shapes on a plain ground."""
    rng = random.Random(~seed)
    picture = Image.new("RGB", size, _colour(rng, light=0.95))
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.randint(10, 24)):
        x, y = rng.randint(-20, size[0]), rng.randint(-20, size[1])
        wide, high = rng.randint(12, size[0] // 2), rng.randint(12, size[1] // 2)
        shape = rng.choice((draw.ellipse, draw.rectangle, draw.polygon))
        if shape == draw.polygon:
            draw.polygon(((x, y + high), (x + wide, y + high), (x + wide // 2, y)), fill=_colour(rng))
        else:
            shape((x, y, x + wide, y + high), fill=_colour(rng))
    return picture


def encoded(picture: Image.Image, form: str, quality: int = 85) -> bytes:
    """A picture as the bytes of a file; `form` is JPEG, PNG, GIF or WEBP, `quality` 0-100 where it counts."""
    out = io.BytesIO()
    if form == "GIF":
        picture.quantize(128).save(out, form)
    elif form == "WEBP":
        picture.save(out, form, quality=quality, method=2)
    elif form == "PNG":
        picture.save(out, form, compress_level=4)
    else:
        picture.save(out, form, quality=quality)
    return out.getvalue()


def _colour(rng: random.Random, light: float = 0.8) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.2, 0.8), light * rng.uniform(0.7, 1))
    return int(red * 255), int(green * 255), int(blue * 255)
