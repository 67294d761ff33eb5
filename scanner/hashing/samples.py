"""One tiny picture of every format, so that a worker has loaded all it needs before it gives up its powers.

Decoders load code, tables and helpers at first use; behind the sandbox that would fail.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator

from PIL import Image

_SIDE = 16  # pixels
# A 64x64 grey gradient in HEIC, made with libheif and x265; no encoder for it is installed with hostsweep.
_HEIC = (
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAVZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ACJpbG9jAAAAAERAAAEAAQAAAAABegABAAAAAAAAABkAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRt"
    "AAAAAAABAAAA1mlwcnAAAAC3aXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMA"
    "AAMAHroCQGEAAQArQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqSSmubgIaDAgAAAMAyAAAAwAIQGIAAQAHRAHBcrAiQAAAABNjb2xy"
    "bmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAABBwaXhpAAAAAAMICAgAAAAXaXBtYQAAAAAAAAABAAEEgQIDBAAAACFt"
    "ZGF0AAAAFSgBrwQY/CQgZ46aWTGAhoiU0315wA=="
)
_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "ICO": "image/x-icon",
    "JPEG2000": "image/jpx",
    "AVIF": "image/avif",
    "PPM": "image/x-portable-anymap",
}


def tiny_pictures() -> Iterator[tuple[str, bytes]]:
    """(MIME type, content) of a picture in each format that can be decoded here.

    A format this build of Pillow can't write, it most likely can't read either: it is left out.
    """
    picture = Image.linear_gradient("L").resize((_SIDE, _SIDE)).convert("RGB")
    for name, mime in _TYPES.items():
        out = io.BytesIO()
        try:
            picture.save(out, name)
        except (OSError, KeyError):
            continue
        yield mime, out.getvalue()
    yield "image/heic", base64.b64decode(_HEIC)
