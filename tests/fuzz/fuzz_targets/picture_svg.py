"""Bitmaps in drawings: an end for every text, and no more bytes than it holds or inflates to."""

from __future__ import annotations

import gzip
import io

from fuzzing import Target, law

from scanner.hashing import media
from scanner.hashing.source import SEARCHED, Source
from scanner.hashing.svg import Drawing
from tests import forms


def check(data: bytes) -> None:
    for mime in (media.SVG, media.SVGZ):
        drawing = Drawing(Source(io.BytesIO(data), data), mime)
        found = list(drawing)
        law(len(found) <= 256, "bitmaps are bounded")
        law(sum(map(len, found)) <= SEARCHED, "and small, all together")
        if mime == media.SVG and b"svg" not in data:
            law(all(len(content) <= len(data) for content in found), "nothing comes of nothing")


def seeds() -> dict[str, bytes]:
    png = forms.saved(forms.scene(1, (8, 8)), "PNG")
    once = forms.svg(png)
    return {
        "plain": once,
        "compressed": gzip.compress(once, mtime=0),
        "nested": forms.svg(once, "image/svg+xml"),
        "utf16": once.decode().encode("utf-16"),
        "references": once.replace(b"Ag", b"A&#103;").replace(b"+", b"%2B"),
    }


WORDS = (b"data:", b"image/png", b";base64,", b"&#x41;", b"%2B", b"<svg", b"&quot;", b"\x1f\x8b\x08")
TARGET = Target(check, seeds, WORDS)
