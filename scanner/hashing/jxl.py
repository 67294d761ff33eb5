"""JPEG XL, by the library imagecodecs (libjxl), where the extra `hostsweep[jxl]` is installed.

Pillow reads no JPEG XL. The size is read here, from the header, since imagecodecs tells it only together with
the pixels. Layout: ISO/IEC 18181-1 (SizeHeader), 18181-2 (boxes).
"""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from scanner.hashing.source import Source

# A grey 16x16 picture: decoding it loads all that any other one needs.
TINY = base64.b64decode(
    "/wpDQFLcCAAUiAYA6ACxYhUAgAqVUcYNXs71fPmhw2LaxnWGttq2sISx2V4YJCScIPMmud4M8lR7HgNgKKJAJYmzholdcAAG"
)
FORMAT = "JXL"
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # width to height, by number from 1 on
_BITS = (9, 13, 18, 30)
_CODESTREAM = b"\xff\x0a"
_SIGNATURE_BOX = b"\0\0\0\x0cJXL \r\n\x87\n"
_BOXES = 64  # before the codestream


class JxlError(Exception):
    """No JPEG XL that can be decoded."""


def register() -> bool:
    """Have Pillow open JPEG XL, if the library is installed; whether it is.

    It is loaded here, all of it: a worker that is locked in has no way to.
    """
    try:
        import imagecodecs

        imagecodecs.jpegxl_decode(TINY, numthreads=1)
    except Exception:  # noqa: BLE001 - not installed, or built without libjxl: then there is no JPEG XL
        return False
    Image.register_open(FORMAT, JxlImageFile, _accept)
    return True


class JxlImageFile(ImageFile.ImageFile):
    """A JPEG XL picture, its first frame."""

    format = FORMAT
    format_description = "JPEG XL"

    def _open(self) -> None:
        self._content: bytes | None = self.fp.read() if self.fp is not None else b""
        self._size = size_of(Source(io.BytesIO(self._content), self._content))
        self._mode = "RGB"

    def load(self) -> Any:
        if self._content is not None:
            import imagecodecs

            pixels = imagecodecs.jpegxl_decode(self._content, index=0, numthreads=1)
            self._content = None
            picture = _picture(np.asarray(pixels))
            self.im, self._mode, self._size = picture.im, picture.mode, picture.size
        return Image.Image.load(self)


def _accept(prefix: bytes) -> bool:
    return prefix.startswith((_CODESTREAM, _SIGNATURE_BOX))


def size_of(source: Source) -> tuple[int, int]:
    """(width, height) by the header.

    Raises:
        JxlError: there is none.
    """
    at = _codestream(source)
    bits = int.from_bytes(source.read(at + 2, 12).ljust(12, b"\0"), "little")

    def take(n: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << n) - 1), bits >> n
        return value

    def side(small: int) -> int:
        return (take(5) + 1) * 8 if small else take(_BITS[take(2)]) + 1

    small = take(1)
    height = side(small)
    ratio = take(3)
    if not ratio:
        return side(small), height
    across, down = _RATIOS[ratio - 1]
    return height * across // down, height


def _codestream(source: Source) -> int:
    """Where the codestream begins."""
    if source.read(0, 2) == _CODESTREAM:
        return 0
    at = 0
    for _ in range(_BOXES):
        head = source.read(at, 16)
        length, name = int.from_bytes(head[:4], "big"), head[4:8]
        long = length == 1
        if name in (b"jxlc", b"jxlp"):
            at += (16 if long else 8) + (4 if name == b"jxlp" else 0)
            if source.read(at, 2) == _CODESTREAM:
                return at
            break
        length = int.from_bytes(head[8:16], "big") if long else length
        if length < 8:
            break
        at += length
    raise JxlError("no codestream")


def _picture(pixels: NDArray[Any]) -> Image.Image:
    """8 bits of each sample of (rows, columns[, samples]); alpha, or any further sample, is left out."""
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    elif pixels.dtype != np.uint8:
        pixels = (np.clip(np.nan_to_num(pixels.astype(np.float32)), 0, 1) * 255).astype(np.uint8)
    if pixels.ndim == 4:  # an animation
        pixels = pixels[0]
    if pixels.ndim == 3:
        pixels = pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., 0]
    return Image.fromarray(np.ascontiguousarray(pixels))
