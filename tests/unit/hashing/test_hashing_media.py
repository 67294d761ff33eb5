"""Types by content: every medium is recognised, text that looks like one is not."""

from __future__ import annotations

import gzip
import io

import filetype
import pytest
from PIL import Image

from scanner.hashing import is_media, sniff
from scanner.hashing.frames import Exact, ReadStatus, encode_exact, parse_reply
from scanner.hashing.samples import tiny_pictures


def test_every_format_that_can_be_decoded_is_recognised() -> None:
    met = {mime: sniff(data[:8192]) for mime, data in tiny_pictures()}
    assert met == {mime: mime for mime in met}
    assert {"image/heic", "image/avif", "image/jpeg"} <= set(met)


@pytest.mark.parametrize(
    ("header", "mime"),
    [
        (b"\0\0\0\x18ftypmp42\0\0\0\0isom", "video/mp4"),
        (b"\0\0\0\x18ftypiso5\0\0\0\0dash", "video/mp4"),
        (b"\0\0\x40\0ftypisom" + b"\0" * 40, "video/mp4"),  # an ftyp box longer than what was read
        (b"\0\0\0\x14ftypqt  \0\0\0\0", "video/quicktime"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "video/quicktime"),
        (b"\0\0\0\x18ftyp3gp4\0\0\0\0", "video/3gpp"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "image/avif"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heixmiaf", "image/heic"),
        (b"\0\0\0\x1cftypM4A \0\0\0\0", "audio/mp4"),
        (b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x1f", "video/x-matroska"),
        ((b"G" + b"\0" * 187) * 5, "video/mp2t"),
        (b"OggS" + b"\0" * 24 + b"\x80theora", "video/ogg"),
        (b"\xff\x4f\xff\x51\0", "image/jpx"),
        (b"\xff\x0a\xf8\x3e", "image/jxl"),
        (b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ", "image/jxl"),
        (b"FUJIFILMCCD-RAW 0201FF", "image/x-fuji-raf"),
        (b"IIRS\x08\0\0\0", "image/x-olympus-orf"),
        (b"IIU\0\x18\0\0\0", "image/x-panasonic-rw2"),
        (b"II*\0\x10\0\0\0CR\x02\0", "image/x-canon-cr2"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", "image/x-canon-cr3"),
        (
            b"\xef\xbb\xbf<?xml version='1.0'?><!-- a > b --><!DOCTYPE svg [<!ENTITY a 'b'>]><svg>",
            "image/svg+xml",
        ),
        (b"\n <s:svg xmlns:s='x'>", "image/svg+xml"),
        ("\ufeff<svg>".encode("utf-16-be"), "image/svg+xml"),
        (gzip.compress(b"<svg>" + b"x" * 99_999), "image/svg+xml-compressed"),
        (b"P6\n# made by hand\n640 480\n255\n", "image/x-portable-anymap"),
        (b"From alice@example.org Fri Jul  8 12:08:34 2011\nSubject: x\n", "application/mbox"),
    ],
)
def test_media_and_mail_are_recognised_by_their_first_bytes(header: bytes, mime: str) -> None:
    assert sniff(header) == mime
    assert is_media(mime) == mime.startswith(("image/", "video/"))


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\0",
        b"BMW is a company\n" * 9,
        b"GIFs are pictures",
        b"P6 is a processor",
        b"From here to there\n",
        b"<?php",
        b"<html><svg>",
        b"<!-- " + b"<svg>" * 2000,
        b"<!DOCTYPE html><p><svg>",
        b"<svgs>",
    ],
)
def test_text_that_begins_like_a_picture_is_no_media(header: bytes) -> None:
    assert sniff(header) == ""


def test_drawing_files_are_no_pictures() -> None:
    assert not is_media(sniff(b"AC1027\0\0\0\0"))


def test_every_type_that_can_be_recognised_fits_into_a_frame() -> None:
    for kind in filetype.TYPES:
        reply = Exact(1, ReadStatus.NOT_MEDIA, False, False, 0, kind.mime, {})
        assert parse_reply(encode_exact(reply), ()) == reply


def test_real_bitmap_is_a_picture() -> None:
    out = io.BytesIO()
    Image.new("1", (3, 3)).save(out, "BMP")
    assert sniff(out.getvalue()) == "image/bmp"
