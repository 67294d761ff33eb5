"""Values as lists write them: hexadecimal digits, base64 or base32, as is declared, never by their looks.

Thirty-two characters may be an MD5 in digits or a SHA-1 in base32 (RFC 4648, section 6).
"""

from __future__ import annotations

import base64
import binascii

from scanner.feeds.checks import digest
from scanner.model.errors import FeedFormatError
from scanner.model.hashes import KINDS

HEX, BASE64, BASE32 = "hex", "base64", "base32"
FORMS = (HEX, BASE64, BASE32)

_BASE64_BLOCK, _BASE32_BLOCK = (3, 4), (5, 8)  # bytes to characters


def decoded(kind: str, text: str, form: str, where: str) -> bytes:
    """A value as bytes. The error tells lengths, never the value.

    Args:
        form: one of `FORMS`; "": in digits, and PhotoDNA's 144 bytes as lists have them, in digits or base64.

    Raises:
        FeedFormatError: it is not written so, or has not the kind's length.
    """
    if not form:
        form = BASE64 if kind == "photodna" and is_base64_of(kind, text) else HEX
    if form == HEX:
        return digest(kind, text, where)
    size = KINDS[kind].size
    length, block = (
        (_padded(size, *_BASE64_BLOCK), 4) if form == BASE64 else (_padded(size, *_BASE32_BLOCK), 8)
    )
    text += "=" * (-len(text) % block)
    try:
        if len(text) == length:
            value = (
                base64.b64decode(text, validate=True) if form == BASE64 else base64.b32decode(text.upper())
            )
            if len(value) == size:
                return value
    except (binascii.Error, ValueError):
        pass
    raise FeedFormatError(f"{kind} in {form} has {length} characters, found something else", where=where)


def is_base64_of(kind: str, text: str) -> bool:
    """Whether a text has the length of a value in base64, padded, and not of one in digits."""
    return len(text) == _padded(KINDS[kind].size, *_BASE64_BLOCK)


def _padded(size: int, of: int, to: int) -> int:
    return -(-size // of) * to
