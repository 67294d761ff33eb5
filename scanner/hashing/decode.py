"""Opening pictures of strangers: only known formats, only so many pixels, only the first frame.

Pillow and pi_heif decode. Whatever they raise, the picture is undecodable and nothing else: the process
this runs in expects to be killed by its decoders, so there is nothing to protect but its next file.
"""

from __future__ import annotations

import io
import warnings
from typing import IO

import pi_heif
from PIL import AvifImagePlugin, Image

from scanner.hashing import reduction, webp
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
    formats = _FORMATS.get(mime)
    if formats is None:
        raise DecodeProblem("unsupported_format")
    try:
        if reduced and mime == "image/webp" and (light := webp.brightness(stream, max_pixels)):
            mark_original_size(*light)
            return light[0]
        picture: Image.Image = Image.open(stream, formats=formats)
        _check_size(picture, max_pixels)
        drafted = reduction.draft(picture) if reduced else None
        picture.load()
        _check_size(picture, max_pixels)  # some plugins only learn the size while loading
        plain = reduction.eight_bits(picture)
        size, scale = drafted or (plain.size, 1)
        if reduced and not drafted:
            plain, scale = reduction.reduced(plain)
    except DecodeProblem:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DecodeProblem("too_many_pixels") from None
    except MemoryError:
        raise DecodeProblem("out_of_memory") from None
    except Exception:  # noqa: BLE001 - decoders raise whatever a broken file makes them raise
        raise DecodeProblem("undecodable") from None
    mark_original_size(plain, size, scale)
    return plain


def _check_size(picture: Image.Image, max_pixels: int) -> None:
    if picture.width * picture.height > max_pixels:
        raise DecodeProblem("too_many_pixels")
