"""What a file is, by its first bytes; names are chosen by strangers and say nothing.

The `filetype` library knows most signatures. What is checked here is what it misses (ISO media brands,
transport streams, binary PNM, JPEG XL, old QuickTime) and what it believes too easily (any text that
begins with "BM" or "GIF"), since a file taken for a picture that it isn't would count as undecodable.
"""

from __future__ import annotations

import re

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
)
_OLD_QUICKTIME = frozenset({b"moov", b"mdat", b"wide", b"pnot"})  # atoms a film without ftyp begins with


def is_media(mime: str) -> bool:
    """Whether a MIME type is a picture's or a film's."""
    return mime.startswith(("image/", "video/")) and mime not in _NOT_PICTURES


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
