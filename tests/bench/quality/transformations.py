"""What happens to a picture before somebody saves it again: a fixed list, the same at each run.

Each is given the picture in colour and says the file that comes of it. Where nothing else is said it is a
JPEG of quality 85 in 4:2:0, as sites and phones write it.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

Random = np.random.Generator
Change = Callable[[Image.Image, Random], Image.Image]

_BACKGROUND = (32, 32, 36)
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Transformation:
    """One of the list.

    Attributes:
        name: in tables and plots.
        group: what it is a case of.
        apply: from a picture to a file's bytes.
        aim: percent that hostsweep wants to find of it; 0: it has no aim.
    """

    name: str
    group: str
    apply: Callable[[Image.Image, Random], bytes]
    aim: int = 0


def saved(picture: Image.Image, format: str = "JPEG", **options: int) -> bytes:
    out = io.BytesIO()
    picture.save(out, format, **({"quality": 85} if format == "JPEG" and not options else options))
    return out.getvalue()


def _then(change: Change, format: str = "JPEG", **options: int) -> Callable[[Image.Image, Random], bytes]:
    return lambda picture, random: saved(change(picture, random), format, **options)


def same(picture: Image.Image, _: Random) -> Image.Image:
    return picture


def palette(picture: Image.Image, _: Random) -> Image.Image:
    return picture.quantize(256, Image.Quantize.FASTOCTREE)


def resize(across: float, down: float) -> Change:
    """By factors."""

    def change(picture: Image.Image, _: Random) -> Image.Image:
        size = max(1, round(picture.width * across)), max(1, round(picture.height * down))
        return picture.resize(size, Image.Resampling.LANCZOS)

    return change


def resize_to(long_side: int) -> Change:
    return lambda picture, _: ImageOps.contain(picture, (long_side, long_side), Image.Resampling.LANCZOS)


def gray(picture: Image.Image, _: Random) -> Image.Image:
    return picture.convert("L")


def brightness(factor: float) -> Change:
    return lambda picture, _: ImageEnhance.Brightness(picture).enhance(factor)


def contrast(factor: float) -> Change:
    return lambda picture, _: ImageEnhance.Contrast(picture).enhance(factor)


def gamma(exponent: float) -> Change:
    table = [round(255 * (v / 255) ** exponent) for v in range(256)] * 3
    return lambda picture, _: picture.point(table)


def warm(picture: Image.Image, _: Random) -> Image.Image:
    """A filter as applications offer it: more red, less blue, lifted blacks."""
    values = np.asarray(picture, dtype=np.float32) * (1.1, 1.0, 0.75) + (12, 8, 8)
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def vignette(picture: Image.Image, _: Random) -> Image.Image:
    """Corners at 40 % of their brightness."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in (picture.height, picture.width))
    light = 1 - 0.6 * (y[:, None] ** 2 + x[None, :] ** 2) / 2
    return Image.fromarray((np.asarray(picture) * light[..., None]).astype(np.uint8))


def blur(picture: Image.Image, _: Random) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(picture.width / 200))


def sharpen(picture: Image.Image, _: Random) -> Image.Image:
    return picture.filter(ImageFilter.UnsharpMask(radius=2, percent=150, threshold=3))


def noise(deviation: float) -> Change:
    """Gaussian noise of a standard deviation in steps of 255, each channel by itself."""

    def change(picture: Image.Image, random: Random) -> Image.Image:
        values = np.asarray(picture, dtype=np.float32)
        values = values + deviation * random.standard_normal(values.shape, dtype=np.float32)
        return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))

    return change


def text(picture: Image.Image, _: Random) -> Image.Image:
    """A line across the lower part, white with a black outline, 6 % of the height: the name of a site."""
    marked = picture.copy()
    size = max(10, round(picture.height * 0.06))
    ImageDraw.Draw(marked).text(
        (picture.width * 0.5, picture.height * 0.92), "www.example.org/gallery", fill=_WHITE,
        font=ImageFont.load_default(size), anchor="ms", stroke_width=max(1, size // 12), stroke_fill=_BLACK,
    )  # fmt: skip
    return marked


def watermark(picture: Image.Image, _: Random) -> Image.Image:
    """Words across the whole picture, slanting, 35 % opaque."""
    layer = Image.new("L", picture.size, 0)
    ImageDraw.Draw(layer).text(
        (picture.width / 2, picture.height / 2), "example.org", fill=90,
        font=ImageFont.load_default(picture.width * 0.17), anchor="mm",
    )  # fmt: skip
    return Image.composite(Image.new("RGB", picture.size, _WHITE), picture, layer.rotate(25))


def logo(picture: Image.Image, _: Random) -> Image.Image:
    """An opaque disc in a square at the lower right, 20 % of the shorter side."""
    marked, side = picture.copy(), round(min(picture.size) * 0.2)
    badge = Image.new("RGB", (side, side), (240, 240, 240))
    draw = ImageDraw.Draw(badge)
    draw.ellipse((side * 0.1, side * 0.1, side * 0.9, side * 0.9), fill=(200, 30, 40))
    draw.text((side / 2, side / 2), "EX", fill=_WHITE, font=ImageFont.load_default(side * 0.4), anchor="mm")
    marked.paste(badge, (picture.width - side, picture.height - side))
    return marked


def caption(picture: Image.Image, _: Random) -> Image.Image:
    """A white band above, 15 % of the height, with words."""
    band = round(picture.height * 0.15)
    out = Image.new("RGB", (picture.width, picture.height + band), _WHITE)
    out.paste(picture, (0, band))
    ImageDraw.Draw(out).text(
        (picture.width / 2, band / 2), "when it is Monday again", fill=_BLACK,
        font=ImageFont.load_default(band * 0.45), anchor="mm",
    )  # fmt: skip
    return out


def crop(left: float, top: float, right: float, bottom: float) -> Change:
    """Shares of width and height taken off each side."""

    def change(picture: Image.Image, _: Random) -> Image.Image:
        w, h = picture.size
        return picture.crop((round(w * left), round(h * top), w - round(w * right), h - round(h * bottom)))

    return change


def border(share: float, colour: tuple[int, int, int]) -> Change:
    """A frame as wide as a share of the longer side."""
    return lambda picture, _: ImageOps.expand(picture, round(max(picture.size) * share), colour)


def letterbox(width: int, height: int) -> Change:
    """Black bars on two sides, to a shape of width:height."""

    def change(picture: Image.Image, _: Random) -> Image.Image:
        wide = max(picture.width, round(picture.height * width / height))
        high = max(picture.height, round(wide * height / width))
        out = Image.new("RGB", (wide, high), _BLACK)
        out.paste(picture, ((wide - picture.width) // 2, (high - picture.height) // 2))
        return out

    return change


def rotate(degrees: float) -> Change:
    """In its own frame: corners are lost, and black ones come in."""
    return lambda picture, _: picture.rotate(degrees, Image.Resampling.BICUBIC)


def straighten(degrees: float) -> Change:
    """Rotated, then cut to the largest rectangle of the same shape without black corners."""

    def change(picture: Image.Image, _: Random) -> Image.Image:
        w, h = picture.size
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        scale = min(w / (w * c + h * s), h / (w * s + h * c))
        left, top = (1 - scale) / 2, (1 - scale) / 2
        return crop(left, top, left, top)(picture.rotate(degrees, Image.Resampling.BICUBIC), _)

    return change


def turn(how: Image.Transpose) -> Change:
    return lambda picture, _: picture.transpose(how)


def desktop(picture: Image.Image, _: Random) -> Image.Image:
    """A screenshot of 1920x1080: a viewer's title bar above, a task bar below, the picture on grey."""
    screen = Image.new("RGB", (1920, 1080), _BACKGROUND)
    draw, font = ImageDraw.Draw(screen), ImageFont.load_default(16)
    draw.rectangle((0, 0, 1920, 40), fill=(60, 60, 66))
    draw.text((960, 20), "IMG_2041.jpg (3 of 17) - Viewer", fill=(220, 220, 220), font=font, anchor="mm")
    draw.rectangle((0, 1036, 1920, 1080), fill=(20, 24, 34))
    for i in range(8):
        draw.rounded_rectangle(
            (12 + 48 * i, 1042, 46 + 48 * i, 1074), 6, fill=(40 + 25 * i, 140, 220 - 20 * i)
        )
    draw.text((1890, 1058), "14:07", fill=_WHITE, font=font, anchor="rm")
    fitted = ImageOps.contain(picture, (1920, 996), Image.Resampling.LANCZOS)
    screen.paste(fitted, ((1920 - fitted.width) // 2, 40 + (996 - fitted.height) // 2))
    return screen


def phone(picture: Image.Image, _: Random) -> Image.Image:
    """A screenshot of 1080x2340: a status bar, the picture as wide as the screen on black, three buttons."""
    screen = Image.new("RGB", (1080, 2340), _BLACK)
    draw, font = ImageDraw.Draw(screen), ImageFont.load_default(36)
    draw.text((60, 50), "14:07", fill=_WHITE, font=font, anchor="lm")
    draw.rectangle((980, 36, 1030, 62), outline=_WHITE, width=3)
    draw.rectangle((984, 40, 1012, 58), fill=_WHITE)
    for i, x in enumerate((270, 540, 810)):
        draw.ellipse((x - 22, 2248, x + 22, 2292), outline=(200, 200, 200), width=4 + 2 * (i == 1))
    fitted = ImageOps.contain(picture, (1080, 2060), Image.Resampling.LANCZOS)
    screen.paste(fitted, ((1080 - fitted.width) // 2, 100 + (2060 - fitted.height) // 2))
    return screen


def keystone(share: float, *, room: bool) -> Change:
    """Seen at an angle: each corner moves inwards by half of `share` to `share` of the side.

    Args:
        room: the whole picture stays in sight, on something dark; else it fills the frame and loses edges.
    """

    def change(picture: Image.Image, random: Random) -> Image.Image:
        w, h = picture.size
        moved = random.uniform(share / 2, share, size=(4, 2)) * (w, h)
        corners = np.array(((0, 0), (0, h), (w, h), (w, 0)), dtype=float)
        inwards = np.array(((1, 1), (1, -1), (-1, -1), (-1, 1)))
        inner = corners + inwards * moved
        seen, shown = (corners, inner) if room else (inner, corners)
        return picture.transform(
            picture.size, Image.Transform.PERSPECTIVE, _plane(shown, seen), Image.Resampling.BICUBIC,
            fillcolor=_BACKGROUND,
        )  # fmt: skip

    return change


def _plane(at: np.ndarray, source: np.ndarray) -> tuple[float, ...]:
    """The eight numbers of the projection that takes points `at` of the result to points of the source."""
    rows, values = [], []
    for (x, y), (u, v) in zip(at, source, strict=True):
        rows += [(x, y, 1, 0, 0, 0, -u * x, -u * y), (0, 0, 0, x, y, 1, -v * x, -v * y)]
        values += [u, v]
    return tuple(np.linalg.solve(np.array(rows), np.array(values)))


def photographed(picture: Image.Image, random: Random) -> Image.Image:
    """A screen taken with a phone: at an angle, lit from one side, a little blurred, with noise."""
    seen = keystone(0.03, room=True)(picture, random)
    light = np.linspace(1.1, 0.8, picture.width, dtype=np.float32)[None, :, None]
    lit = Image.fromarray(np.clip(np.asarray(seen) * light, 0, 255).astype(np.uint8))
    return noise(6)(lit.filter(ImageFilter.GaussianBlur(picture.width / 600)), random)


def _in_turn(*changes: Change) -> Change:
    def change(picture: Image.Image, random: Random) -> Image.Image:
        for one in changes:
            picture = one(picture, random)
        return picture

    return change


_evenly = {f"crop {p} %": crop(p / 100, p / 100, p / 100, p / 100) for p in (1, 2, 5, 10, 20)}
_T = Image.Transpose


def _list() -> tuple[Transformation, ...]:
    def row(group: str, name: str, change: Change, aim: int = 0) -> Transformation:
        return Transformation(name, group, _then(change), aim)

    def file(group: str, name: str, format: str, aim: int = 0, **options: int) -> Transformation:
        return Transformation(name, group, _then(same, format, **options), aim)

    rotations = (1, 2, 3, 5)
    return (
        *(file("saved again", f"JPEG q{q}", "JPEG", quality=q) for q in (85, 50, 20)),
        file("saved again", "JPEG q10", "JPEG", 95, quality=10),
        file("saved again", "PNG", "PNG", compress_level=1),
        file("saved again", "WebP q75", "WEBP", quality=75, method=2),
        file("saved again", "AVIF q60", "AVIF", quality=60, speed=10),
        Transformation("GIF, 256 colours", "saved again", _then(palette, "GIF")),
        row("size", "half size", resize(0.5, 0.5)),
        row("size", "quarter size", resize(0.25, 0.25)),
        row("size", "160 px", resize_to(160), 95),
        row("size", "narrowed to 3/4", resize(0.75, 1)),
        row("light and colour", "gray", gray),
        row("light and colour", "brightness 1.4", brightness(1.4)),
        row("light and colour", "brightness 0.6", brightness(0.6)),
        row("light and colour", "contrast 1.5", contrast(1.5)),
        row("light and colour", "contrast 0.6", contrast(0.6)),
        row("light and colour", "gamma 2", gamma(2), 95),
        row("light and colour", "gamma 0.5", gamma(0.5), 95),
        row("light and colour", "warm filter", warm),
        row("light and colour", "vignette", vignette),
        row("sharpness", "blur", blur),
        row("sharpness", "sharpen", sharpen),
        row("sharpness", "noise 10 %", noise(25.5)),
        row("marks", "line of text", text, 80),
        row("marks", "watermark", watermark, 80),
        row("marks", "logo 20 %", logo, 80),
        *(row("crops", name, change, 80 if i < 2 else 0) for i, (name, change) in enumerate(_evenly.items())),
        row("crops", "bottom cut 5 %", crop(0, 0, 0, 0.05)),
        row("crops", "bottom cut 10 %", crop(0, 0, 0, 0.1)),
        row("borders", "black border 2 %", border(0.02, _BLACK), 95),
        row("borders", "white border 2 %", border(0.02, _WHITE), 95),
        row("borders", "black border 5 %", border(0.05, _BLACK), 95),
        row("borders", "white border 5 %", border(0.05, _WHITE), 95),
        row("borders", "letterbox 1:1", letterbox(1, 1), 95),
        row("borders", "letterbox 9:16", letterbox(9, 16), 95),
        row("borders", "caption above", caption),
        *(row("angles", f"rotated {d}°", rotate(d), 80 if d <= 2 else 0) for d in rotations),
        row("angles", "straightened 2°", straighten(2)),
        row("angles", "perspective 3 %", keystone(0.03, room=False)),
        row("angles", "photographed screen", photographed),
        row("turns", "turned 90°", turn(_T.ROTATE_90), 95),
        row("turns", "turned 180°", turn(_T.ROTATE_180), 95),
        row("turns", "turned 270°", turn(_T.ROTATE_270), 95),
        row("turns", "mirrored", turn(_T.FLIP_LEFT_RIGHT), 95),
        row("turns", "upside down", turn(_T.FLIP_TOP_BOTTOM), 95),
        row("screenshots", "desktop 1080p", desktop, 95),
        row("screenshots", "phone", phone, 95),
        row("several", "mirrored, half size", _in_turn(turn(_T.FLIP_LEFT_RIGHT), resize(0.5, 0.5))),
        row("several", "turned 90°, border 5 %", _in_turn(turn(_T.ROTATE_90), border(0.05, _WHITE))),
        row("several", "desktop 1080p, half size", _in_turn(desktop, resize(0.5, 0.5))),
    )  # fmt: skip


TRANSFORMATIONS = _list()
# What a short run measures.
QUICK = frozenset(
    (
        "JPEG q10",
        "160 px",
        "gamma 2",
        "line of text",
        "crop 2 %",
        "black border 2 %",
        "rotated 2°",
        "mirrored",
    )
)
