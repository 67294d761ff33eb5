"""Previews in RAW, TIFF and Photoshop files: places inside the file, few, however its directories lead."""

from __future__ import annotations

import io
import struct

from fuzzing import Target, law

from scanner.hashing import ifds, previews, sniff
from scanner.hashing.source import Source
from tests import forms


def check(data: bytes) -> None:
    source = Source(io.BytesIO(data), data)
    for mime in (sniff(data[:8192]), "image/tiff", "image/vnd.adobe.photoshop"):
        found = previews.of(mime, source)
        for place in found.found if found is not None else ():
            law(0 <= place.start < (place.end or 0) <= len(data), "a preview lies within the file")
            law(data[place.start : place.start + 3] == b"\xff\xd8\xff", "and is a JPEG")
    law(len(list(ifds.directories(source))) <= 64, "directories are bounded")


def seeds() -> dict[str, bytes]:
    jpeg = forms.saved(forms.scene(1, (16, 16)), "JPEG")
    made = {
        "dng": forms.tiff_with_preview(jpeg)[:2500],
        "nef": forms.tiff_with_preview(jpeg, sub=False)[:2500],
        "rw2": forms.tiff_with_preview(jpeg, magic=b"IIU\0")[:2500],
        "raf": forms.raf(jpeg)[:1500],
        "psd": forms.psd(forms.scene(1, (16, 16)), jpeg),
    }
    loop = struct.pack("<H", 1) + struct.pack("<HHII", 330, 4, 1, 8) + struct.pack("<I", 8)
    return made | {"loop": b"II*\0\x08\0\0\0" + loop}


WORDS = (
    b"II*\0\x08\0\0\0",
    b"MM\0*\0\0\0\x08",
    b"8BIM",
    b"8BPS",
    b"\xff\xd8\xff\xc0",
    b"\x4a\x01",
    b"\x01\x02",
)
TARGET = Target(check, seeds, WORDS)
