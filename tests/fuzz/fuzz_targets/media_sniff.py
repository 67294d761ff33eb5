"""The type of a file by its first bytes: always an answer, and one that the worker's frame can carry."""

from __future__ import annotations

from fuzzing import Target, law

from scanner.hashing import frames, is_media, sniff
from scanner.hashing.frames import Exact, ReadStatus
from scanner.hashing.samples import tiny_pictures


def check(data: bytes) -> None:
    mime = sniff(data)
    law(mime == "" or mime.count("/") == 1, "a type or nothing")
    law(not is_media(mime) or mime.startswith(("image/", "video/")), "media are pictures and films")
    reply = Exact(1, ReadStatus.HASHED, more=False, changed=False, size=0, media_type=mime, digests={})
    law(frames.parse_reply(frames.encode_exact(reply), ()) == reply, "the worker can say every type")


def seeds() -> dict[str, bytes]:
    pictures = {mime.replace("/", "-"): data[:512] for mime, data in tiny_pictures()}
    return pictures | {
        "mbox": b"From a@b Tue Nov 24 12:00:00 2026\n",
        "mp4": b"\0\0\0\x18ftypisom\0\0\2\0isomiso2",
        "mpegts": (b"G" + bytes(187)) * 5,
        "matroska": b"\x1a\x45\xdf\xa3\x42\x82\x88matroska",
        "riff": b"RIFF\0\0\0\0AVI LIST",
        "zip": b"PK\x03\x04\x14\0\0\0\0\0[Content_Types].xml",
        "ogg": b"OggS\0\2" + bytes(22) + b"\x80theora",
        "bmp_text": b"BMW is a make of cars",
        "tar": bytes(257) + b"ustar",
    }


WORDS = (b"ftyp", b"heic", b"avif", b"mif1", b"RIFF", b"WEBP", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"moov")
TARGET = Target(
    check, seeds, (*WORDS, b"matroska", b"P6\n1 1\n", b"BM", b"II*\0", b"ustar", b"PK\x03\x04"), 1024
)
