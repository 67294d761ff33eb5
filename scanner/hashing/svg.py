"""Bitmaps in SVG drawings: data addresses (RFC 2397) in base64, wherever they stand in the text.

No XML is parsed: an address is found by its beginning and ends at the first byte that can't be in it. So no
entity is expanded and nothing is fetched. An address that is put together from entities is not seen.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from scanner.hashing import media
from scanner.hashing.source import SEARCHED, Source

_ADDRESSES = 256  # looked at in a file
_NESTED = 2  # drawings within drawings
_HEAD = re.compile(rb"data:[\w.+/-]{0,60}(?:;[\w.=+-]{1,40}){0,4};\s{0,9}base64\s{0,9},", re.IGNORECASE)
# Base64, and what XML and addresses put into it: white space, also as a reference, and escapes.
_BODY = re.compile(rb"[A-Za-z0-9+/=_\-\s%&#;]+")
_NAMED = re.compile(rb"&(?!#)")
_REFERENCE = re.compile(rb"&#(?:x([0-9A-Fa-f]{1,6})|([0-9]{1,6}));")
_SMALLEST = 30  # bytes of a picture


class Drawing:
    """The bitmaps of one drawing.

    Attributes:
        ended: all of it was looked at; False once a limit was met.
    """

    def __init__(self, source: Source, mime: str) -> None:
        self._text = source.read(0, SEARCHED)
        self.ended = source.size <= SEARCHED
        self._left = _ADDRESSES
        self._room = SEARCHED  # bytes that may come of what is compressed
        if mime == media.SVGZ:
            self._text = self._inflated(self._text)

    def __iter__(self) -> Iterator[bytes]:
        """Contents of bitmaps, in order."""
        yield from self._bitmaps(self._text, _NESTED)

    def _inflated(self, data: bytes) -> bytes:
        inflate = zlib.decompressobj(31)
        try:
            text = inflate.decompress(data, max(1, self._room))
        except zlib.error:
            self.ended = False
            return b""
        self._room -= len(text)
        self.ended = self.ended and not inflate.unconsumed_tail and inflate.eof
        return text

    def _bitmaps(self, text: bytes, nested: int) -> Iterator[bytes]:
        if text[:2] in (b"\xff\xfe", b"\xfe\xff"):  # UTF-16: what is looked for is ASCII
            text = text[2:].replace(b"\0", b"")
        for head in _HEAD.finditer(text):
            if not self._left:
                self.ended = False
                return
            self._left -= 1
            body = _BODY.match(text, head.end())
            content = _decoded(body.group()) if body else b""
            if len(content) < _SMALLEST:
                continue
            mime = media.sniff(content[: media.HEADER_SIZE])
            if mime not in (media.SVG, media.SVGZ):
                yield content
            elif not nested:
                self.ended = False
            else:
                yield from self._bitmaps(
                    self._inflated(content) if mime == media.SVGZ else content, nested - 1
                )


def _decoded(body: bytes) -> bytes:
    """What base64 in an attribute stands for; b"" if nothing."""
    if b"&" in body:
        body = _NAMED.split(body, 1)[0]  # &quot; ends the address
        body = _REFERENCE.sub(_referred, body)
    if b"%" in body:
        body = unquote_to_bytes(body)
    body = body.translate(_URL_SAFE, _XML_SPACE).rstrip(b"=")
    body = body[: len(body) - (len(body) % 4 == 1)]
    try:
        return base64.b64decode(body + b"=" * (-len(body) % 4))
    except (binascii.Error, ValueError):
        return b""


_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_XML_SPACE = b" \t\r\n\f\v"


def _referred(found: re.Match[bytes]) -> bytes:
    code = int(found[1], 16) if found[1] else int(found[2])
    return bytes([code]) if code < 128 else b""
