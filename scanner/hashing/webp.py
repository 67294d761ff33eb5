"""The brightness of a large WebP without its colours, by the libwebp that Pillow brings along.

Pillow decodes every WebP as an animation, to red, green, blue and opacity on a canvas of its own. A hash
needs the plane of brightness alone, which lossy WebP stores as such: that saves half of the time and three
quarters of the memory. Pillow offers no way to it, so libwebp's function is called where Pillow's module has
it linked. Where it hasn't, and for whatever libwebp refuses, Pillow decodes.

Source: libwebp, src/webp/decode.h. The functions are as old as the library, structures are versioned.
"""

from __future__ import annotations

import ctypes
import functools
from typing import IO

from numpy.ctypeslib import as_array  # here: a locked worker can no longer load modules
from PIL import Image

from scanner.hashing.pictures import mark_grid
from scanner.hashing.reduction import factor_of, grid

_ABI = 0x0209  # WEBP_DECODER_ABI_VERSION; libwebp refuses another first byte
_OK = 0  # VP8_STATUS_OK
# ITU-R BT.601 leaves room below black and above white: brightness is 16..235 of 255.
_BLACK, _WHITE = 16, 235
_HEAD = 32  # bytes: enough to tell how long the picture is
_MOST_BYTES = 1 << 28  # of compressed data; Pillow looks at more


class _Features(ctypes.Structure):
    """WebPBitstreamFeatures."""

    _fields_ = (
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("has_alpha", ctypes.c_int),
        ("has_animation", ctypes.c_int),
        ("format", ctypes.c_int),
        ("pad", ctypes.c_uint32 * 5),
    )


@functools.cache
def _library() -> ctypes.CDLL | None:
    """The functions of libwebp, None if Pillow's module doesn't have them. Kept, as a module is."""
    try:
        from PIL import _webp

        library = ctypes.CDLL(_webp.__file__)  # a name is looked for in the libraries it is linked to, too
        features, decode, free = library.WebPGetFeaturesInternal, library.WebPDecodeYUV, library.WebPFree
    except (ImportError, OSError, AttributeError):
        return None
    number, plane = ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_void_p)
    features.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(_Features), ctypes.c_int]
    decode.argtypes = [ctypes.c_char_p, ctypes.c_size_t, number, number, plane, plane, number, number]
    decode.restype = ctypes.c_void_p
    free.argtypes = [ctypes.c_void_p]
    free.restype = None
    return library


def available() -> bool:
    """Whether libwebp can be called; loads what that needs."""
    return _library() is not None


def brightness(stream: IO[bytes], max_pixels: int) -> tuple[Image.Image, tuple[int, int], int] | None:
    """A large still picture as the means of blocks of k x k pixels in mode "L", with its full size, and k.

    Opacity is left out, as the references do. Memory is one and a half bytes a pixel. None is given for what
    Pillow shall look at: small pictures, whose colours are kept, animations, more than `max_pixels`, and
    whatever libwebp doesn't decode. The stream is at its start again.
    """
    library = _library()
    if library is None:
        return None
    try:
        head = stream.read(_HEAD)
        length = 8 + int.from_bytes(head[4:8], "little")  # what the RIFF container says of itself
        data = head + stream.read(max(0, min(length, _MOST_BYTES) - len(head)))
    finally:
        stream.seek(0)
    found = _Features()
    status = library.WebPGetFeaturesInternal(data, len(data), ctypes.byref(found), _ABI)
    size = (found.width, found.height)
    if status != _OK or found.has_animation or min(size) < 1 or size[0] * size[1] > max_pixels:
        return None
    k = factor_of(size)
    picture = _decode(library, data, k) if k > 1 else None
    return None if picture is None else (picture, size, k)


def _decode(library: ctypes.CDLL, data: bytes, k: int) -> Image.Image | None:
    width, height, stride, colour_stride = (ctypes.c_int() for _ in range(4))
    u, v = ctypes.c_void_p(), ctypes.c_void_p()
    plane = library.WebPDecodeYUV(
        data, len(data), width, height, ctypes.byref(u), ctypes.byref(v), stride, colour_stride
    )
    if not plane:
        return None
    try:
        return _means(plane, (width.value, height.value), stride.value, k)
    finally:
        library.WebPFree(plane)


def _means(plane: int, size: tuple[int, int], stride: int, k: int) -> Image.Image:
    memory = (ctypes.c_ubyte * (stride * size[1])).from_address(plane)
    pixels = as_array(memory)
    whole = Image.frombuffer("L", size, pixels, "raw", "L", stride, 1)
    levels = [_full_range(value) for value in range(256)]
    means = whole.reduce(k).point(levels)
    mark_grid(means, grid(whole).point(levels))
    return means


def _full_range(value: int) -> int:
    return max(0, min(255, round((value - _BLACK) * 255 / (_WHITE - _BLACK))))
