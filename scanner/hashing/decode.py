"""Opening pictures of strangers: only known formats, only so many pixels, only the first frame.

Pillow and pi_heif decode. Whatever they raise, the picture is undecodable and nothing else: the process
this runs in expects to be killed by its decoders, so there is nothing to protect but its next file.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pi_heif
from PIL import AvifImagePlugin, Image

from scanner.hashing import jxl, reduction, webp
from scanner.hashing.pictures import mark_original_size
from scanner.hashing.samples import tiny_pictures

# Formats by the type that the first bytes show: a file is decoded as what it is, or not at all. The file
# types are those that hosting customers' pictures come in; Pillow has forty more decoders, unused here.
_FORMATS = {
    "image/jpeg": ("JPEG",),
    "image/png": ("PNG",),
    "image/apng": ("PNG",),
    "image/gif": ("GIF",),
    "image/webp": ("WEBP",),
    "image/bmp": ("BMP",),
    "image/tiff": ("TIFF",),
    "image/x-icon": ("ICO",),
    "image/jpx": ("JPEG2000",),
    "image/jxl": (jxl.FORMAT,),
    "image/avif": ("AVIF",),
    "image/heic": ("HEIF",),
    "image/x-portable-anymap": ("PPM",),
    "image/vnd.adobe.photoshop": ("PSD",),
}


class DecodeProblem(Exception):
    """A picture has no pixels for us; `code` is one of `scanner.hashing.frames.PROBLEMS`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def prepare(max_pixels: int) -> None:
    """Set up this process's decoders. For worker processes only: the settings are Pillow's own globals."""
    Image.MAX_IMAGE_PIXELS = max_pixels  # pictures within pictures (ICO, MPO, TIFF tiles) are held to it, too
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    # One file at a time in one thread: other cores are for other workers and for the customers.
    pi_heif.register_heif_opener(thumbnails=False, decode_threads=1)
    jxl.register()
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    Image.init()
    webp.available()
    for mime, data in tiny_pictures():
        open_picture(io.BytesIO(data), mime, max_pixels)


def open_picture(stream: IO[bytes], mime: str, max_pixels: int, *, reduced: bool = True) -> Image.Image:
    """The first frame of a picture, decoded, in one of Pillow's modes of 8 bits or less.

    Args:
        stream: its content.
        mime: its type by content.
        max_pixels: width times height above which nothing is decoded.
        reduced: a large picture may come at a fraction of its size, with both sides at least 512 pixels,
            and in grey.

    Raises:
        DecodeProblem: unsupported_format, too_many_pixels, out_of_memory or undecodable.
    """
    if reduced and mime == "image/webp":
        with _problems():
            light = webp.brightness(stream, max_pixels)
        if light is not None:
            mark_original_size(*light)
            return light[0]
    picture = opened(stream, mime, max_pixels)
    with _problems():
        drafted = reduction.draft(picture) if reduced else None
        picture.load()
        _check_size(picture, max_pixels)  # some plugins only learn the size while loading
        ready = reduction.eight_bits(picture)
        size, scale = drafted or (ready.size, 1)
        if reduced and not drafted:
            ready, scale = reduction.reduced(ready)
    mark_original_size(ready, size, scale)
    return ready


def opened(stream: IO[bytes], mime: str, max_pixels: int) -> Image.Image:
    """A picture at its first frame, of which nothing but the header is read; a decoder of the type does it.

    Raises:
        DecodeProblem: unsupported_format, too_many_pixels, out_of_memory or undecodable.
    """
    formats = _FORMATS.get(mime)
    if formats is None or formats[0] not in Image.OPEN:
        raise DecodeProblem("unsupported_format")
    with _problems():
        picture: Image.Image = Image.open(stream, formats=formats)
        _check_size(picture, max_pixels)
    return picture


def plain(picture: Image.Image) -> Image.Image:
    """A picture, loaded, in one of Pillow's modes of 8 bits or less, marked with its size."""
    with _problems():
        picture.load()
        ready = reduction.eight_bits(picture)
    mark_original_size(ready, ready.size)
    return ready


@contextmanager
def _problems() -> Iterator[None]:
    """Whatever decoders raise, as a DecodeProblem."""
    try:
        yield
    except DecodeProblem:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DecodeProblem("too_many_pixels") from None
    except MemoryError:
        raise DecodeProblem("out_of_memory") from None
    except Exception:  # noqa: BLE001 - decoders raise whatever a broken file makes them raise
        raise DecodeProblem("undecodable") from None


def _check_size(picture: Image.Image, max_pixels: int) -> None:
    if picture.width * picture.height > max_pixels:
        raise DecodeProblem("too_many_pixels")
