"""Pictures in a file beside its first: bounded in number and pixels, and whatever the file, an end."""

from __future__ import annotations

import io
import warnings

from fuzzing import Target, law

from fuzz_targets.picture_decode import openers
from scanner.hashing import frames, sniff
from scanner.hashing.parts import MOST, Parts
from tests import forms

_MAX_PIXELS = 1 << 18


def check(data: bytes) -> None:
    openers()
    parts = Parts(io.BytesIO(data), data, sniff(data[:8192]), _MAX_PIXELS, reduced=True)
    names = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for part in parts:
            names.append(part.name)
            law(part.picture.width * part.picture.height <= _MAX_PIXELS, "pixels are bounded")
    law(len(names) <= 1 + MOST and len(set(names)) == len(names), "few parts, each with a name of its own")
    law("" not in names[1:], "a file's own picture comes first")
    law(not parts.problem or parts.problem in frames.PROBLEMS, "a problem has one of the known names")


def seeds() -> dict[str, bytes]:
    one, other = forms.scene(1, (24, 20)), forms.scene(2, (24, 20))
    made = forms.forms(one, other)
    kept = ("film.gif", "film.webp", "pages.tif", "two.mpo", "png+jpeg.png", "gif+webp.gif", "bmp+png.bmp")
    return {name.replace(".", "-"): made[name][0] for name in kept}


WORDS = (
    b"\xff\xd8\xff",
    b"\xff\xd9",
    b"\xff\xda",
    b"IEND",
    b"acTL",
    b"GIF89a",
    b"\x2c",
    b"\x3b",
    b"WEBPVP8X",
)
TARGET = Target(check, seeds, (*WORDS, b"ftypavif", b"mdat", b"\xff\x0a", b"MPF\0"), 1 << 14)
