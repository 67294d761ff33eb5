"""What a file is, by its first bytes; names are chosen by strangers and say nothing.

The `filetype` library knows most signatures. What is checked here is what it misses (ISO media brands,
transport streams, binary PNM, JPEG XL, camera RAW, SVG, old QuickTime) and what it believes too easily (any
text that begins with "BM" or "GIF"): a file taken for a picture that it isn't would count as undecodable.
"""

from __future__ import annotations

import re
import zlib
from importlib.util import find_spec

import filetype

HEADER_SIZE = 8192  # bytes: all that filetype looks at, and two pages

# Signatures of containers for drawings, not of pictures.
_NOT_PICTURES = frozenset({"image/vnd.dwg"})
_MBOX = re.compile(rb"From \S+ [^\n]{0,80}\d\d:\d\d[^\n]{0,40}\d{4}")
_PNM = re.compile(rb"P[456]\s(?:\s*#[^\n]*\n)*\s*\d{1,9}\s+\d{1,9}\s")
_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})  # bytes, of the known DIB headers
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_BRANDS = {
    b"jp2 ": "image/jpx",
    b"crx ": "image/x-canon-cr3",
    b"qt  ": "video/quicktime",
    b"M4V ": "video/x-m4v",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"M4P ": "audio/mp4",
    b"F4A ": "audio/mp4",
}
_STARTS = (
    (b"\xff\x4f\xff\x51", "image/jpx"),  # a JPEG 2000 codestream without its box
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "image/jxl"),
    (b"\xff\x0a", "image/jxl"),
    (b"II\x2b\x00\x08\x00\x00\x00", "image/tiff"),  # BigTIFF
    (b"MM\x00\x2b\x00\x08\x00\x00", "image/tiff"),
    (b".RMF\x00\x00\x00", "video/vnd.rn-realvideo"),
    (b"FUJIFILMCCD-RAW ", "image/x-fuji-raf"),
    (b"IIRO\x08\x00", "image/x-olympus-orf"),
    (b"IIRS\x08\x00", "image/x-olympus-orf"),
    (b"MMOR\x00\x00", "image/x-olympus-orf"),
    (b"IIU\x00", "image/x-panasonic-rw2"),
    (b"FOVb", "image/x-sigma-x3f"),
    (b"\x00MRM", "image/x-minolta-mrw"),
)
# RAW pictures of cameras, beside those that say they are TIFF: their previews are looked for.
RAW_TYPES = frozenset({mime for _, mime in _STARTS if mime.startswith("image/x-")}) | {
    "image/x-canon-cr2",
    "image/x-canon-cr3",
}
SVG, SVGZ = "image/svg+xml", "image/svg+xml-compressed"
_XML_SPACE = b" \t\r\n"
_SVG_ROOT = re.compile(rb"<(?:[A-Za-z_][\w.-]{0,40}:)?svg[\s/>]")
_GZIP = b"\x1f\x8b\x08"
_OLD_QUICKTIME = frozenset({b"moov", b"mdat", b"wide", b"pnot"})  # atoms a film without ftyp begins with


def is_media(mime: str) -> bool:
    """Whether a MIME type is a picture's or a film's."""
    return mime.startswith(("image/", "video/")) and mime not in _NOT_PICTURES


def is_picture(mime: str) -> bool:
    """Whether a MIME type is a picture's."""
    return mime.startswith("image/") and mime not in _NOT_PICTURES


def extra_formats() -> tuple[str, ...]:
    """Types that are decoded here because an extra is installed."""
    return ("image/jxl",) if find_spec("imagecodecs") is not None else ()


def sniff(header: bytes) -> str:
    """The MIME type of a file by its first `HEADER_SIZE` bytes; "" where it is not recognised.

    An mbox mail store is "application/mbox".
    """
    mime = _iso_media(header) or _by_start(header)
    if mime:
        return mime
    guess = filetype.guess(header)
    mime = str(guess.mime) if guess is not None else ""
    if mime == "image/bmp" and not _is_bmp(header):
        return ""
    if mime == "image/gif" and header[:6] not in (b"GIF87a", b"GIF89a"):
        return ""
    if not mime and header.startswith(b"\x1a\x45\xdf\xa3"):  # EBML whose document type is written unusually
        return "video/x-matroska"
    if mime == "audio/ogg" and (b"theora" in header[:512] or b"\x01video" in header[:512]):
        return "video/ogg"
    return mime


def _iso_media(header: bytes) -> str:
    """Type of an ISO base media file (MP4, MOV, HEIC, AVIF, …) by its brands, "" if it is none."""
    kind = header[4:8]
    if kind in _OLD_QUICKTIME:
        return "video/quicktime"
    if kind != b"ftyp" or len(header) < 12:
        return ""
    major = header[8:12]
    if major in _BRANDS:
        return _BRANDS[major]
    end = min(int.from_bytes(header[:4], "big"), len(header))
    brands = {major, *(header[i : i + 4] for i in range(16, end, 4))}
    if major in _HEIC_BRANDS or (major in (b"mif1", b"msf1") and not brands & _AVIF_BRANDS):
        return "image/heic"
    if major in _AVIF_BRANDS or major in (b"mif1", b"msf1"):
        return "image/avif"
    return "video/3gpp" if major.startswith((b"3gp", b"3g2")) else "video/mp4"


def _by_start(header: bytes) -> str:
    if header.startswith(b"From ") and _MBOX.match(header):
        return "application/mbox"
    for start, mime in _STARTS:
        if header.startswith(start):
            return mime
    if header.startswith(_GZIP):
        return SVGZ if _is_svg(_inflated(header)) else ""
    if header[:1] in b"<\xef\xff\xfe \t\r\n" and _is_svg(header):
        return SVG
    if header.startswith(b"P") and _PNM.match(header):
        return "image/x-portable-anymap"
    if _is_transport_stream(header, 0, 188) or _is_transport_stream(header, 4, 192):
        return "video/mp2t"
    return ""


def _is_transport_stream(header: bytes, offset: int, packet: int) -> bool:
    """Four packets in a row begin with the sync byte (ISO 13818-1; 192 bytes on Blu-ray and cameras)."""
    return header[offset : offset + 4 * packet : packet] == b"GGGG"


def _is_bmp(header: bytes) -> bool:
    return int.from_bytes(header[14:18], "little") in _BMP_HEADER_SIZES


def _inflated(header: bytes) -> bytes:
    """The beginning of what a gzip file holds, as far as its first bytes go."""
    try:
        return zlib.decompressobj(31).decompress(header, HEADER_SIZE)
    except zlib.error:
        return b""


def _is_svg(text: bytes) -> bool:
    """Whether an XML document's root is `svg`: declaration, comments and document type go before it."""
    # UTF-16 is read by leaving out its NULs: what is looked for is ASCII.
    text = text.removeprefix(b"\xef\xbb\xbf")
    if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = text[2:].replace(b"\0", b"")
    at = 0
    while True:
        at = len(text) - len(text[at:].lstrip(_XML_SPACE))
        if text.startswith(b"<!--", at):
            at = text.find(b"-->", at + 4) + 3
        elif text.startswith(b"<?", at):
            at = text.find(b"?>", at + 2) + 2
        elif text[at : at + 9].upper() == b"<!DOCTYPE":
            return text[at + 9 : at + 80].split()[:1] in ([b"svg"], [b"svg>"]) or _svg_after(text, at)
        else:
            return _SVG_ROOT.match(text, at) is not None
        if at < 4:  # what began does not end in what was read: no root to be seen
            return False


def _svg_after(text: bytes, at: int) -> bool:
    """Whether a document type that names no `svg` is followed by one all the same."""
    end = text.find(b">", at)
    return end >= 0 and _SVG_ROOT.match(text[end + 1 :].lstrip(_XML_SPACE)) is not None
