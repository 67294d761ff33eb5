"""Photographs that come with scikit-image, at the size a test wants them, and as a worker decodes them."""

from __future__ import annotations

import io
from pathlib import Path

import skimage
from PIL import Image

from scanner.hashing import decode

PICTURES = Path(skimage.__file__).parent / "data"


def photograph(name: str, long_side: int) -> Image.Image:
    picture = Image.open(PICTURES / name).convert("RGB")
    k = long_side / max(picture.size)
    return picture.resize((round(picture.width * k), round(picture.height * k)), Image.Resampling.BICUBIC)


def decoded(picture: Image.Image, quality: int = 85) -> Image.Image:
    """A picture after it was saved as JPEG."""
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return decode.open_picture(io.BytesIO(out.getvalue()), "image/jpeg", 20_000_000)
