"""A web server's storage in small: customers' folders as they are, listed pictures among them.

Everything is made from seeds: the same tree every time.
"""

from __future__ import annotations

import io
import os
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from demo.listed import ASTRONAUT, BANNER, CAT, COFFEE, ROCKET, ListedPicture
from demo.pictures import drawing, encoded, photo

__all__ = ["BROKEN", "FALSE_POSITIVE", "HARMLESS", "IN_MAIL", "Planted", "Tree", "make_tree"]

_CUSTOMERS = ("alice", "bob", "carol", "dave", "erin", "frank")
_FOLDERS = (
    "public_html/img",
    "public_html/gallery/summer 2024",
    "htdocs/products",
    "wp-content/uploads/2025/03",
)
_FORMS = (
    ("JPEG", ".jpg"),
    ("JPEG", ".JPG"),
    ("PNG", ".png"),
    ("JPEG", ".jpeg"),
    ("WEBP", ".webp"),
    ("GIF", ".gif"),
)
_NAMES = ("IMG_{:04}", "DSC {:04}", "photo-{:03}", "Bild {:03} (größe L)", "beach 🏖 {:03}")
_PHOTOS, _DRAWINGS, _COPIES, _MAILS = 120, 36, 6, 9
_OLDEST, _YEAR = (
    1_704_067_200,
    31_536_000,
)  # seconds: the start of 2024, and how far from it files were changed

FALSE_POSITIVE = b"bob/htdocs/products/p-0007.jpg"
IN_MAIL = b"mail/erin/Maildir/cur/1740000099.M99.host:2,S"
HARMLESS = b"dave/public_html/img/nasa-portrait.jpg"
BROKEN = b"carol/wp-content/uploads/2025/03/upload_4711.jpg"


@dataclass(frozen=True, slots=True)
class Planted:
    """A file with a listed picture in it.

    Attributes:
        path: below the root.
        picture: the list's entry.
        how: what was done with the picture, in words.
        exact: the file is the published one, byte for byte, and the list gives its digest.
    """

    path: bytes
    picture: ListedPicture
    how: str
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Tree:
    """What was made.

    Attributes:
        root: the absolute path.
        planted: the files that a scan has to find, and no others.
        kinds: number of files by what they are (photographs, drawings, pages, mails, …).
    """

    root: Path
    planted: tuple[Planted, ...]
    kinds: Counter[str]

    def at(self, path: bytes) -> Path:
        """The absolute path of a path below the root."""
        return self.root / os.fsdecode(path)


def make_tree(root: Path) -> Tree:
    """Make the tree; `root` must not exist yet."""
    maker = _Maker(root)
    maker.photographs()
    maker.drawings()
    maker.copies()
    maker.pages()
    maker.mails()
    planted = maker.plant()
    maker.oddities()
    return Tree(root, planted, maker.kinds)


class _Maker:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._rng = random.Random(1)
        self._pictures: list[Path] = []
        self.kinds: Counter[str] = Counter()

    def write(self, path: str | bytes, data: bytes, kind: str) -> None:
        where = self._place(path)
        with where.open("xb") as f:
            f.write(data)
        changed = _OLDEST + self._rng.randrange(_YEAR)
        os.utime(where, (changed, changed))
        self.kinds[kind] += 1

    def _place(self, path: str | bytes) -> Path:
        where = self._root / os.fsdecode(path)
        where.parent.mkdir(parents=True, exist_ok=True)
        return where

    def photographs(self) -> None:
        for n in range(_PHOTOS):
            form, suffix = _FORMS[n % len(_FORMS)]
            folder = f"{_CUSTOMERS[n * 7 % len(_CUSTOMERS)]}/{self._rng.choice(_FOLDERS)}"
            path = f"{folder}/{self._rng.choice(_NAMES).format(n)}{suffix}"
            width = self._rng.choice((320, 400, 480))
            self.write(path, encoded(photo(n, (width, width * 3 // 4)), form), "photographs")
            self._pictures.append(self._root / path)

    def drawings(self) -> None:
        for n in range(_DRAWINGS):
            form, suffix = ("PNG", ".png") if n % 2 else ("GIF", ".gif")
            customer = _CUSTOMERS[n % len(_CUSTOMERS)]
            self.write(
                f"{customer}/public_html/img/banner-{n:02}{suffix}", encoded(drawing(n), form), "drawings"
            )

    def copies(self) -> None:
        for n, path in enumerate(self._rng.sample(self._pictures, _COPIES)):
            self.write(f"frank/backup/old site/{n}-{path.name}", path.read_bytes(), "copies")

    def pages(self) -> None:
        for customer in _CUSTOMERS:
            html = f"<!doctype html><title>{customer}</title><img src='img/banner-00.gif'>\n"
            self.write(f"{customer}/public_html/index.html", html.encode(), "pages")
            self.write(f"{customer}/public_html/css/style.css", b"body { margin: 2em auto }\n", "pages")
            self.write(f"{customer}/public_html/.htaccess", b"Options -Indexes\n", "pages")
            self.write(f"{customer}/public_html/js/app.js", b"console.log('hello');\n", "pages")
            for n in range(5):
                php = f"<?php\n// module {n} of {customer}\nreturn {n};\n"
                self.write(f"{customer}/wp-content/plugins/shop/module-{n}.php", php.encode(), "pages")

    def mails(self) -> None:
        for folder in ("new", "tmp"):
            self._place(f"mail/erin/Maildir/{folder}").mkdir()
        for n in range(_MAILS - 1):
            text = f"From: friend{n}@example.org\nTo: erin@example.net\nSubject: note {n}\n\nSee you.\n"
            self.write(f"mail/erin/Maildir/cur/17400000{n:02}.M{n}.host:2,S", text.encode(), "mails")
        self.write(IN_MAIL, CAT.data, "mails")

    def plant(self) -> tuple[Planted, ...]:
        cat = CAT.data
        small = Image.open(io.BytesIO(cat)).resize((450, 300))
        planted = (
            (Planted(b"alice/public_html/gallery/IMG_2041.jpg", CAT, "as published"), cat),
            (Planted(b"bob/public_html/notes.txt", CAT, "disguised as text"), cat),
            (Planted(b"carol/backup/IMG_2041 (copy).jpg", CAT, "a copy"), cat),
            (
                Planted(b"erin/wp-content/uploads/2025/03/low.jpg", CAT, "compressed again", False),
                _again(cat, 25),
            ),
            (
                Planted(b"erin/wp-content/uploads/2025/03/low-450x300.webp", CAT, "half the size", False),
                encoded(small, "WEBP", 75),
            ),
            (
                Planted("dave/public_html/summer\nparty 🎉.png".encode(), ROCKET, "a hostile name"),
                ROCKET.data,
            ),
            (Planted(b"frank/htdocs/caf\xe9 \xff.gif", BANNER, "a name that is no text"), BANNER.data),
            (Planted(FALSE_POSITIVE, COFFEE, "with a price on it", False), _priced(COFFEE.data)),
        )
        for at, data in planted:
            self.write(at.path, data, "listed")
        link = Planted(b"carol/backup/2024/same.jpg", CAT, "a hard link to the copy")
        self._place(link.path).hardlink_to(self._root / "carol/backup/IMG_2041 (copy).jpg")
        self.kinds["listed"] += 1
        return (*(at for at, _ in planted[:3]), link, *(at for at, _ in planted[3:]))

    def oddities(self) -> None:
        self.write(HARMLESS, ASTRONAUT.data, "photographs")
        self.write(BROKEN, encoded(photo(4_711), "JPEG")[:700], "broken")
        os.mkfifo(self._place("frank/tmp/deploy.fifo"))
        self._place("alice/public_html/latest.jpg").symlink_to("gallery/IMG_2041.jpg")


def _priced(data: bytes) -> bytes:
    """As a shop shows its goods: smaller, with a tag in a corner."""
    picture = Image.open(io.BytesIO(data)).resize((600, 400))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((520, 374, 590, 392), fill=(190, 160, 120))
    draw.text((524, 377), "EUR 12.90", fill="black")
    return encoded(picture, "JPEG", 70)


def _again(data: bytes, quality: int) -> bytes:
    return encoded(Image.open(io.BytesIO(data)), "JPEG", quality)
