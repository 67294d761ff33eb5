"""Decoding and hashing a picture: a DecodeProblem, or bounded pixels and hashes that a frame can carry.

The decoders are C and not instrumented: coverage guides the way to them, not through them.
"""

from __future__ import annotations

import functools
import io
import warnings

from fuzzing import Target, law
from PIL import Image

from scanner.hashing import decode, frames, sniff
from scanner.hashing.frames import PROBLEMS, Done
from scanner.hashing.kinds import build_hashers
from scanner.hashing.samples import tiny_pictures
from scanner.model.hashes import PerceptualHash

_KINDS = ("pdq", "phash", "dhash")
_MAX_PIXELS = 1 << 18


@functools.cache
def _hashers() -> tuple[object, ...]:
    return tuple(build_hashers(_KINDS))


@functools.cache
def openers() -> None:
    """What a worker registers; without its settings, which are Pillow's own and would outlive a test."""
    import pi_heif

    pi_heif.register_heif_opener(thumbnails=False, decode_threads=1)
    Image.init()


def check(data: bytes) -> None:
    openers()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = decode.open_picture(io.BytesIO(data), sniff(data[:8192]), _MAX_PIXELS)
    except decode.DecodeProblem as e:
        law(e.code in PROBLEMS, "a problem has one of the known names")
        return
    law(picture.width * picture.height <= _MAX_PIXELS, "pixels are bounded")
    hashes = tuple(PerceptualHash(h.kind, *found) for h in _hashers() for found in h.hashes(picture))
    done = Done(1, "", hashes)
    law(frames.parse_reply(frames.encode_done(done, _KINDS), _KINDS) == done, "the worker can say every hash")


def seeds() -> dict[str, bytes]:
    found = {mime.replace("/", "-"): data for mime, data in tiny_pictures()}
    modes = {}
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16", "CMYK"):
        for form in ("PNG", "TIFF"):
            out = io.BytesIO()
            try:
                Image.linear_gradient("L").resize((8, 8)).convert(mode).save(out, form)
            except (OSError, ValueError):
                continue
            modes[f"{form.lower()}-{mode.replace(';', '')}"] = out.getvalue()
    return found | modes


TARGET = Target(
    check, seeds, (b"IHDR", b"IDAT", b"acTL", b"GIF89a", b"VP8L", b"\xff\xc0", b"\xff\xda", b"BM")
)
