"""Pictures that are made by the thousand and look alike: pages of text, chats, logos, maps, placeholders.

Each class is a function of a seed; two seeds of a class are two different pictures that nobody would take for
copies of each other. Those of `ONE_FORM` are one form with other words in it. Everything is drawn here, with
the font that comes with Pillow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Random = np.random.Generator
_SIZES = ((640, 480), (800, 600), (1024, 768), (600, 800), (1080, 1080))
_PAGE = (850, 1100)
_PHONE = (540, 1080)
_SYLLABLES = (
    *("ba", "den", "fo", "lir", "mo", "na", "per", "qui", "ras", "sol", "tem", "u", "vi", "wen", "zor"),
    *("ka", "lo", "mit", "sa", "re", "dun", "ge", "hal", "in"),
)


def _size(rng: Random) -> tuple[int, int]:
    return _SIZES[int(rng.integers(len(_SIZES)))]


def _word(rng: Random) -> str:
    return "".join(rng.choice(_SYLLABLES, int(rng.integers(1, 5))))


def _words(rng: Random, number: int) -> str:
    return " ".join(_word(rng) for _ in range(number))


def _font(size: float) -> Any:
    return ImageFont.load_default(size)


def _colour(rng: Random, low: int = 0, high: int = 256) -> tuple[int, int, int]:
    r, g, b = (int(v) for v in rng.integers(low, high, 3))
    return r, g, b


def _canvas(size: tuple[int, int], colour: Any = "white") -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", size, colour)
    return image, ImageDraw.Draw(image)


def _paragraph(
    draw: ImageDraw.ImageDraw, rng: Random, box: tuple[float, float, float, float], size: float, ink: Any
) -> float:
    """Lines of words, the last one short; returns where it ends."""
    left, y, right, bottom = box
    font = _font(size)
    lines = int(rng.integers(2, 9))
    for n in range(lines):
        if y + size > bottom:
            break
        end = right if n < lines - 1 else left + (right - left) * rng.uniform(0.2, 0.9)
        text = _word(rng)
        while draw.textlength(longer := f"{text} {_word(rng)}", font=font) < end - left:
            text = longer
        draw.text((left, y), text, fill=ink, font=font)
        y += size * 1.35
    return y


def flat(rng: Random) -> Image.Image:
    """One colour, with a little noise or a soft vignette as cameras and scanners add it."""
    width, height = _size(rng)
    plane = np.full((height, width, 3), _colour(rng, 20, 235), dtype=np.float32)
    if rng.random() < 0.5:
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        plane -= (rng.uniform(2, 40) * (x * x + y * y))[..., None]
    plane += rng.normal(0, rng.choice([0, 1, 3]), plane.shape)
    return Image.fromarray(plane.clip(0, 255).astype(np.uint8))


def gradient(rng: Random) -> Image.Image:
    """From one colour to another, along a line or from a point."""
    width, height = _size(rng)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        share = x * np.cos(angle) + y * np.sin(angle)
    else:
        share = np.hypot(x - rng.uniform(), y - rng.uniform())
    share = ((share - share.min()) / (share.max() - share.min()))[..., None]
    plane = np.array(_colour(rng)) * share + np.array(_colour(rng)) * (1 - share)
    return Image.fromarray(plane.astype(np.uint8))


def document(rng: Random) -> Image.Image:
    """A page of text: heading, paragraphs, perhaps two columns."""
    image, draw = _canvas(_PAGE)
    size, columns = rng.uniform(13, 22), int(rng.choice([1, 1, 2]))
    draw.text((80, 70), _words(rng, 4), fill="black", font=_font(size * 1.8))
    width = (690 - 30 * (columns - 1)) / columns
    for column in range(columns):
        y, left = 130.0, 80 + column * (width + 30)
        while y < 1020:
            y = _paragraph(draw, rng, (left, y, left + width, 1040), size, "black") + size * 0.8
    return image


def chat(rng: Random) -> Image.Image:
    """A conversation on a phone: bubbles at either side."""
    dark = rng.random() < 0.5
    image, draw = _canvas(_PHONE, (18, 18, 20) if dark else (236, 229, 221))
    draw.rectangle((0, 0, _PHONE[0], 90), fill=_colour(rng, 20, 160))
    draw.text((90, 30), _words(rng, 2), fill="white", font=_font(26))
    y = 110.0
    while y < _PHONE[1] - 160:
        width, mine = rng.uniform(160, 400), rng.random() < 0.5
        left, height = (_PHONE[0] - width - 15 if mine else 15), 20 + 26 * int(rng.integers(1, 6))
        fill = ((0, 92, 75) if dark else (220, 248, 198)) if mine else ((40, 44, 52) if dark else "white")
        draw.rounded_rectangle((left, y, left + width, y + height), 14, fill=fill)
        ink = "white" if dark else "black"
        _paragraph(draw, rng, (left + 12, y + 8, left + width - 12, y + height - 4), 18, ink)
        y += height + 12
    draw.rounded_rectangle((10, _PHONE[1] - 60, _PHONE[0] - 10, _PHONE[1] - 12), 24, fill="gray")
    return image


def code(rng: Random) -> Image.Image:
    """An editor or a terminal: indented lines on a dark or light ground."""
    dark = rng.random() < 0.7
    image, draw = _canvas((1024, 768), (30, 30, 34) if dark else "white")
    indent, font = 0, _font(16)
    draw.rectangle((0, 0, 46, 768), fill=(24, 24, 26) if dark else (240, 240, 240))
    for n in range(36):
        indent = int(np.clip(indent + rng.integers(-1, 2), 0, 6))
        draw.text((12, 14 + n * 20.5), str(n + 1), fill="gray", font=font)
        if rng.random() < 0.88:
            ink = _colour(rng, 120, 256) if dark else _colour(rng, 0, 130)
            draw.text(
                (60 + 32 * indent, 14 + n * 20.5), _words(rng, int(rng.integers(1, 9))), fill=ink, font=font
            )
    return image


def logo(rng: Random) -> Image.Image:
    """A mark in the middle of a plain ground, mostly with a name below."""
    image, draw = _canvas((600, 600), "white" if rng.random() < 0.7 else _colour(rng))
    ink, centre, radius = _colour(rng), np.array([300, 260]), rng.uniform(90, 190)
    for _ in range(int(rng.integers(1, 4))):
        corners = int(rng.choice([3, 4, 5, 6, 40]))
        angles = np.arange(corners) * 2 * np.pi / corners + rng.uniform(0, np.pi)
        points = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        draw.polygon([(float(x), float(y)) for x, y in points], fill=ink)
        ink, radius = _colour(rng), radius * rng.uniform(0.3, 0.7)
    if rng.random() < 0.8:
        draw.text((300, 500), _words(rng, 1), fill="black", font=_font(64), anchor="mm")
    return image


def street_map(rng: Random) -> Image.Image:
    """Streets, blocks, a river or a park, and names."""
    image, draw = _canvas((900, 900), (242, 239, 233))
    for _ in range(int(rng.integers(1, 5))):
        x, y, w, h = rng.uniform(0, 700), rng.uniform(0, 700), rng.uniform(80, 300), rng.uniform(80, 300)
        draw.rectangle((x, y, x + w, y + h), fill=(200, 223, 180) if rng.random() < 0.6 else (170, 211, 223))
    angle = rng.uniform(0, np.pi / 2)
    for turned in (angle, angle + np.pi / 2):
        along, across = (
            np.array([np.cos(turned), np.sin(turned)]),
            np.array([-np.sin(turned), np.cos(turned)]),
        )
        at = -650.0
        while at < 650:
            middle = np.array([450, 450]) + across * at
            start, end = middle - along * 700, middle + along * 700
            width = int(rng.choice([4, 4, 6, 14]))
            draw.line((*start, *end), fill="white" if width < 10 else (249, 214, 140), width=width)
            at += rng.uniform(30, 130)
    for _ in range(12):
        place = tuple(rng.uniform(20, 820, 2))
        draw.text(place, _word(rng), fill=(90, 90, 90), font=_font(16))
    return image


def contour_map(rng: Random) -> Image.Image:
    """Contour lines of a random landscape."""
    noise = rng.normal(0, 1, (12, 12)).astype(np.float32)
    land = np.asarray(Image.fromarray(noise).resize((900, 900), Image.Resampling.BICUBIC))
    steps = np.floor((land - land.min()) / (np.ptp(land) + 1e-9) * 14)
    lines = (np.diff(steps, axis=0, append=0) != 0) | (np.diff(steps, axis=1, append=0) != 0)
    ground = np.array([228, 236, 214]) - steps[..., None] * np.array([2, 3, 5])
    plane = np.where(lines[..., None], np.array([150, 110, 70]), ground)
    return Image.fromarray(plane.clip(0, 255).astype(np.uint8))


def placeholder(rng: Random) -> Image.Image:
    """No image available, a silhouette, a spinner, letters to be read by people."""
    which, grey = int(rng.integers(4)), int(rng.integers(190, 245))
    image, draw = _canvas((400, 400), (grey,) * 3)
    ink = (int(rng.integers(90, 180)),) * 3
    if which == 0:
        texts = ("No image\navailable", "Image\nnot found", "NO PHOTO", "Coming soon", "Kein Bild", "404")
        draw.text(
            (200, 200),
            str(rng.choice(texts)),
            fill=ink,
            font=_font(rng.uniform(30, 60)),
            anchor="mm",
            align="center",
        )
    elif which == 1:
        head, y = rng.uniform(50, 75), rng.uniform(120, 160)
        draw.ellipse((200 - head, y - head, 200 + head, y + head), fill=ink)
        draw.ellipse((200 - 2.2 * head, y + 1.2 * head, 200 + 2.2 * head, y + 5 * head), fill=ink)
    elif which == 2:
        first, dots = rng.uniform(0, 2 * np.pi), int(rng.integers(8, 13))
        for n in range(dots):
            x, y = (
                200 + 70 * np.cos(first + n * 2 * np.pi / dots),
                200 + 70 * np.sin(first + n * 2 * np.pi / dots),
            )
            shade = int(grey - (grey - 60) * n / dots)
            draw.ellipse((x - 14, y - 14, x + 14, y + 14), fill=(shade,) * 3)
    else:
        for n in range(6):
            letter = chr(int(rng.integers(65, 91)))
            draw.text((40 + 56 * n, rng.uniform(120, 200)), letter, fill=ink, font=_font(rng.uniform(60, 90)))
        for _ in range(5):
            draw.line(tuple(rng.uniform(0, 400, 4)), fill=ink, width=3)
    return image


def chart(rng: Random) -> Image.Image:
    """Bars, a line or a pie, with axes and a title."""
    image, draw = _canvas((800, 500))
    draw.text((400, 25), _words(rng, 4), fill="black", font=_font(24), anchor="mm")
    draw.line((70, 60, 70, 440), fill="black", width=2)
    draw.line((70, 440, 760, 440), fill="black", width=2)
    for y in range(60, 440, 76):
        draw.line((70, y, 760, y), fill=(225, 225, 225))
    which, number = int(rng.integers(3)), int(rng.integers(4, 13))
    values, ink = rng.uniform(0.05, 1, number), _colour(rng, 0, 200)
    step = 680 / number
    if which == 0:
        for n, value in enumerate(values):
            draw.rectangle((75 + n * step, 440 - 370 * value, 70 + (n + 0.8) * step, 439), fill=ink)
    elif which == 1:
        points = [(75 + n * step, 440 - 370 * float(value)) for n, value in enumerate(values)]
        draw.line(points, fill=ink, width=4)
    else:
        edges = np.concatenate(([0], np.cumsum(values) / values.sum() * 360))
        for low, high in pairwise(edges):
            draw.pieslice((260, 90, 580, 410), float(low), float(high), fill=_colour(rng), outline="white")
    return image


def blank_scan(rng: Random) -> Image.Image:
    """An empty page as a scanner gives it: paper, dust, a shadow at an edge."""
    width, height = _PAGE
    plane = np.full((height, width), rng.uniform(225, 250), dtype=np.float32)
    plane += rng.normal(0, rng.uniform(0.5, 2.5), plane.shape)
    for _ in range(int(rng.integers(0, 3))):
        edge, depth = int(rng.integers(4)), int(rng.integers(10, 120))
        shadow = np.linspace(rng.uniform(20, 110), 0, depth)
        view = np.rot90(plane, edge)
        view[:depth] -= shadow[:, None]
    image = Image.fromarray(plane.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(0, 12))):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        draw.ellipse((x, y, x + 3, y + 3), fill=120)
    return image


def template(rng: Random) -> Image.Image:
    """One certificate of which only the words and numbers change."""
    image, draw = _canvas((1000, 700), (252, 248, 235))
    for inset in (20, 30):
        draw.rectangle((inset, inset, 1000 - inset, 700 - inset), outline=(150, 110, 40), width=4)
    draw.text((500, 120), "Certificate of completion", fill=(60, 40, 10), font=_font(58), anchor="mm")
    draw.text((500, 320), _words(rng, 2), fill="black", font=_font(48), anchor="mm")
    draw.text((500, 420), _words(rng, 7), fill=(60, 60, 60), font=_font(24), anchor="mm")
    draw.text((200, 600), str(rng.integers(10**6)), fill="black", font=_font(24), anchor="mm")
    draw.ellipse((760, 540, 880, 660), fill=(190, 40, 40))
    return image


def meme(rng: Random) -> Image.Image:
    """One photograph-like picture with other words above and below."""
    image = natural(np.random.default_rng(99)).convert("RGB")
    draw = ImageDraw.Draw(image)
    for y in (45, 435):
        text = _words(rng, int(rng.integers(2, 5))).upper()
        draw.text(
            (320, y), text, fill="white", font=_font(38), anchor="mm", stroke_width=3, stroke_fill="black"
        )
    return image


def web_page(rng: Random) -> Image.Image:
    """The frame of one site: head, menu and margin are the same, the article is another one."""
    image, draw = _canvas((1024, 768))
    fixed = np.random.default_rng(7)
    draw.rectangle((0, 0, 1024, 80), fill=(40, 60, 120))
    draw.text((30, 20), _words(fixed, 2), fill="white", font=_font(36))
    draw.rectangle((0, 80, 220, 768), fill=(225, 228, 235))
    for n in range(12):
        draw.text((25, 110 + 40 * n), _words(fixed, 2), fill=(40, 60, 120), font=_font(18))
    draw.text((260, 110), _words(rng, 3), fill="black", font=_font(30))
    y = 165.0
    while y < 720:
        y = _paragraph(draw, rng, (260, y, 980, 750), 17, (40, 40, 40)) + 12
    return image


def natural(rng: Random) -> Image.Image:
    """For comparison: noise with the spectrum of photographs (1/f), which has no form in common."""
    width, height = 640, 480
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    frequency[0, 0] = 1
    plane = np.fft.ifft2(np.fft.fft2(rng.normal(0, 1, (height, width))) / frequency**1.1).real
    plane = (plane - plane.min()) / np.ptp(plane) * 255
    return Image.fromarray(plane.astype(np.uint8))


ONE_FORM = ("template", "meme", "web page")
"""Classes of which the pictures differ in words alone."""

CLASSES: Mapping[str, Callable[[Random], Image.Image]] = {
    "flat": flat,
    "gradient": gradient,
    "blank scan": blank_scan,
    "document": document,
    "chat": chat,
    "code": code,
    "logo": logo,
    "street map": street_map,
    "contour map": contour_map,
    "placeholder": placeholder,
    "chart": chart,
    "template": template,
    "meme": meme,
    "web page": web_page,
    "natural": natural,
}
