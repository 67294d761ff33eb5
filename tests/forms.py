"""One picture in every form in which somebody may keep it."""

from __future__ import annotations

import base64
import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np
from PIL import Image

SIZE = (640, 480)


def scene(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Coloured clouds: structure at all scales, no two seeds alike."""
    rng = np.random.default_rng(seed)
    layers = np.zeros((size[1], size[0], 3))
    for knots in (4, 9, 20, 60):
        rough = Image.fromarray(rng.integers(0, 256, (knots, knots, 3), dtype=np.uint8))
        layers += np.asarray(rough.resize(size, Image.Resampling.BICUBIC), dtype=float) / knots
    layers -= layers.min()
    return Image.fromarray((layers * 255 / layers.max()).astype(np.uint8))


def saved(picture: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def animated(form: str, frames: list[Image.Image], **options: object) -> bytes:
    return saved(frames[0], form, save_all=True, append_images=frames[1:], **options)


def zipped(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, content)
    return out.getvalue()


def svg(content: bytes, mime: str = "image/png") -> bytes:
    address = base64.b64encode(content).decode()
    return (
        '<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg">'
        f'<rect width="9"/><image href="data:{mime};base64,{address}"/></svg>'
    ).encode()


def tiff_with_preview(jpeg: bytes, *, magic: bytes = b"II*\0", raw: bool = True, sub: bool = True) -> bytes:
    """A directory that describes a sensor's data, and one below it or behind it with a JPEG."""
    sensor = [(256, 4, 1, 4000), (257, 4, 1, 3000), (259, 3, 1, 34713)]
    sensor += [(262, 3, 1, 32803)] if raw else [(262, 3, 1, 2)]
    below = [(513, 4, 1, 1000), (514, 4, 1, len(jpeg))]
    if sub:
        sensor.append((330, 4, 1, 300))
    first = struct.pack("<H", len(sensor)) + b"".join(struct.pack("<HHII", *e) for e in sensor)
    first += struct.pack("<I", 0 if sub else 300)
    second = struct.pack("<H", 2) + b"".join(struct.pack("<HHII", *e) for e in below) + bytes(4)
    content = (magic + struct.pack("<I", 8) + first).ljust(300, b"\0") + second
    return content.ljust(1000, b"\0") + jpeg + np.random.default_rng(1).bytes(50_000)


def raf(jpeg: bytes) -> bytes:
    return b"FUJIFILMCCD-RAW 0201FF129502X-T1".ljust(148, b"\0") + jpeg + np.random.default_rng(2).bytes(9999)


def cr3(jpeg: bytes) -> bytes:
    def box(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", 8 + len(body)) + name + body

    brand = box(b"ftyp", b"crx \0\0\0\x01crx isom")
    return brand + box(b"moov", bytes(200)) + box(b"mdat", jpeg + np.random.default_rng(3).bytes(9999))


def psd(picture: Image.Image, thumbnail: bytes = b"", *, composite: bool = True) -> bytes:
    """Three channels, not compressed; a thumbnail as resource 1036."""
    resources = b""
    if thumbnail:
        body = struct.pack(">IIIIIIHH", 1, 160, 120, 480, 57600, len(thumbnail), 24, 1) + thumbnail
        resources = b"8BIM" + struct.pack(">H", 1036) + b"\0\0" + struct.pack(">I", len(body)) + body
        resources += bytes(len(body) % 2)
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1 if composite else 2, 3, picture.height, picture.width, 8, 3)
    planes = b"".join(band.tobytes() for band in picture.convert("RGB").split())
    return head + bytes(4) + struct.pack(">I", len(resources)) + resources + bytes(4) + b"\0\0" + planes


def with_thumbnail(jpeg: bytes, thumbnail: bytes) -> bytes:
    """A JPEG with an EXIF thumbnail."""
    body = b"Exif\0\0II*\0\x08\0\0\0\0\0" + bytes(4) + thumbnail
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(body)) + body + jpeg[2:]


def forms(picture: Image.Image, other: Image.Image) -> Mapping[str, tuple[bytes, str]]:
    """Name to (content, part by which it is found); `other` is what a viewer shows where it is hidden."""
    jpeg, png, cover = saved(picture, "JPEG", quality=88), saved(picture, "PNG"), saved(other, "PNG")
    listed_gif, cover_jpeg = saved(picture.quantize(256), "GIF"), saved(other, "JPEG")
    still = [other.copy() for _ in range(10)]
    for n, frame in enumerate(still):  # a dot that moves: no encoder takes two for one
        frame.paste((255, 255, 255), (20 * n, 20, 20 * n + 20, 40))
    film = [*still[:5], picture, *still[5:]]
    webp, plain_svg = saved(picture, "WEBP", quality=80), svg(png)
    return _jpeg_xl(picture, cover) | {
        "a.jpg": (jpeg, ""),
        "a.progressive": (saved(picture, "JPEG", quality=80, progressive=True), ""),
        "a.grey.jpg": (saved(picture.convert("L"), "JPEG"), ""),
        "a.cmyk.jpg": (saved(picture.convert("CMYK"), "JPEG"), ""),
        "a.png": (png, ""),
        "a.interlaced.png": (saved(picture.convert("RGBA"), "PNG"), ""),
        "a.gif": (listed_gif, ""),
        "a.webp": (webp, ""),
        "a.lossless.webp": (saved(picture, "WEBP", lossless=True), ""),
        "a.bmp": (saved(picture, "BMP"), ""),
        "a.tif": (saved(picture, "TIFF"), ""),
        "a.lzw.tif": (saved(picture, "TIFF", compression="tiff_lzw"), ""),
        "a.jpeg.tif": (saved(picture, "TIFF", compression="jpeg"), ""),
        "a.ppm": (saved(picture, "PPM"), ""),
        "a.jp2": (saved(picture, "JPEG2000"), ""),
        "a.j2k": (saved(picture, "JPEG2000", no_jp2=True), ""),
        "a.avif": (saved(picture, "AVIF"), ""),
        "a.ico": (saved(picture.resize((256, 192)), "ICO", sizes=[(16, 16), (256, 192)]), ""),
        "a.psd": (psd(picture), ""),
        "no-extension": (jpeg, ""),
        "wrong.mp3": (png, ""),
        "film.gif": (animated("GIF", film), "frame2"),
        "film.png": (animated("PNG", film), "frame2"),
        "film.webp": (animated("WEBP", film), "frame2"),
        "film.avif": (animated("AVIF", film, speed=10), "frame2"),
        "pages.tif": (animated("TIFF", [other, other, picture]), "frame3"),
        "two.mpo": (animated("MPO", [other, picture]), "embedded1"),
        "jpeg+zip.jpg": (jpeg + zipped("x.txt", b"words" * 99), ""),
        "gifar.gif": (listed_gif + zipped("A.class", b"\xca\xfe\xba\xbe" * 99), ""),
        "png+jpeg.png": (cover + jpeg, "embedded1"),
        "jpeg+jpeg.jpg": (cover_jpeg + jpeg, "embedded1"),
        "jpeg+padding+png.jpg": (cover_jpeg + bytes(5000) + png, "embedded1"),
        "gif+webp.gif": (saved(other, "GIF") + webp, "embedded1"),
        "webp+gif.webp": (saved(other, "WEBP") + listed_gif, "embedded1"),
        "bmp+png.bmp": (saved(other, "BMP") + png, "embedded1"),
        "tiff+png.tif": (saved(other, "TIFF") + png, "embedded1"),
        "avif+jpeg.avif": (saved(other, "AVIF") + jpeg, "embedded1"),
        "avif+avif.avif": (saved(other, "AVIF") + saved(picture, "AVIF"), "embedded1"),
        "ico+jpeg.ico": (saved(other.resize((64, 64)), "ICO") + jpeg, "embedded1"),
        "jp2+png.jp2": (saved(other, "JPEG2000") + png, "embedded1"),
        "jpeg+zipped-jpeg.jpg": (cover_jpeg + zipped("a.jpg", jpeg), "embedded1"),
        "film.mp4": (
            b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + b"\0\0\1\0mdat" + bytes(248) + jpeg,
            "embedded1",
        ),
        "drawing.svg": (plain_svg, "embedded1"),
        "drawing.svgz": (gzip.compress(plain_svg), "embedded1"),
        "drawing.utf16.svg": (plain_svg.decode().encode("utf-16"), "embedded1"),
        "nested.svg": (svg(svg(jpeg, "image/jpeg"), "image/svg+xml"), "embedded1"),
        "raw.dng": (tiff_with_preview(jpeg), "preview1"),
        "raw.nef": (tiff_with_preview(jpeg, sub=False), "preview1"),
        "raw.cr2": (tiff_with_preview(jpeg, magic=b"II*\0\x10\0\0\0CR"[:4]), "preview1"),
        "raw.orf": (tiff_with_preview(jpeg, magic=b"IIRO"), "preview1"),
        "raw.rw2": (tiff_with_preview(jpeg, magic=b"IIU\0"), "preview1"),
        "raw.raf": (raf(jpeg), "preview1"),
        "raw.cr3": (cr3(jpeg), "preview1"),
        "large.psb": (psd(other, saved(picture, "JPEG"), composite=False), "preview1"),
    }


def _jpeg_xl(picture: Image.Image, cover: bytes) -> dict[str, tuple[bytes, str]]:
    """Nothing where the extra is not installed."""
    try:
        import imagecodecs
    except ImportError:
        return {}
    pixels = np.asarray(picture)
    bare, boxed = (imagecodecs.jpegxl_encode(pixels, level=85, usecontainer=boxed) for boxed in (False, True))
    return {"a.jxl": (bare, ""), "a.boxed.jxl": (boxed, ""), "png+jxl.png": (cover + boxed, "embedded1")}


def bomb(width: int, height: int) -> bytes:
    """A grey PNG of one colour; rows are made one by one."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    deflate = zlib.compressobj(9)
    row = bytes(1 + width)
    body = b"".join(deflate.compress(row) for _ in range(height)) + deflate.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
