"""The pictures of the quality benchmark: freely licensed photographs that Debian and Python packages ship.

Nothing is fetched. Each photograph is a source; the pictures asked for are whole photographs and tiles of
large ones that don't overlap. Pictures are unrelated only if their sources are different.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

Image.MAX_IMAGE_PIXELS = 120_000_000  # the largest, of packages we chose, has 20 million

LEAST = 300  # different pictures, below which nothing is measured
WHOLE = 1280  # pixels of the long side that a whole photograph is reduced to
TILE = 640  # the same of a tile
_SMALLEST_TILE = 600  # pixels of a tile's side before it is reduced
_CROPPED_FROM = 1200  # pixels of the long side that photographs are reduced to before random parts are cut
_COLUMNS, _ROWS = 4, 3  # of tiles, at most

# Photographs by package. Illustrations, renderings and patterns, of which these packages have as many, are
# left out: false positives among photographs are what is measured here.
DEBIAN = {
    "lomiri-wallpapers-16.04": (
        "/usr/share/backgrounds",
        """aitzgorri_by_Aitzol_Berasategi.jpg Bridge_by_Sander_Klootwijk.jpg Dragonfly_by_Bolly.jpg
        free_by_Peter_Nerlich.jpg friends_by_Aitzol_Berasategi.jpg greentock_by_Peter_Nerlich.jpg
        life_by_Aitzol_Berasategi.jpg picosdeeuropa_by_Aitzol_Berasategi.jpg Picture_0B_by_freespace.jpg
        Picture_1A_by_freespace.jpg seeding_by_Clements_Engelhardt.jpg sunset_by_Aitzol_Berasategi.jpg
        Wine_by_Jakkub_Mede.jpg""",
    ),
    "lomiri-wallpapers-20.04": (
        "/usr/share/backgrounds",
        "Infinite-Sea_by_Aury88.jpg Kleiber_by_Lukas_Baubkus.jpg",
    ),
    "mate-backgrounds": (
        "/usr/share/backgrounds/mate",
        """abstract/Elephants_5640x3172.jpg nature/Aqua.jpg nature/Blinds.jpg nature/Dune.jpg
        nature/FreshFlower.jpg nature/Garden.jpg nature/GreenMeadow.jpg nature/LadyBird.jpg
        nature/RainDrops.jpg nature/Storm.jpg nature/TwoWings.jpg nature/Wood.jpg nature/YellowFlower.jpg""",
    ),
    "plasma-workspace-wallpapers": (
        "/usr/share/wallpapers",
        """Autumn/@ BytheWater/@ ColdRipple/@ ColorfulCups/@ DarkestHour/@ EveningGlow/@ FallenLeaf/@ Grey/@
        Kite/@ OneStandsOut/@ Path/@ summer_1am/@""".replace("@", "contents/images/2560x1600.jpg"),
    ),
}
# Those that come inside the wheels; scikit-image would fetch more from the network.
PYTHON = {
    "skimage": (
        "data",
        """astronaut.png brick.png camera.png cell.png chelsea.png clock_motion.png coffee.png coins.png
        grass.png gravel.png hubble_deep_field.jpg ihc.png moon.png motorcycle_left.png retina.jpg
        rocket.jpg""",
    ),
    "sklearn": ("datasets/images", "china.jpg flower.jpg"),
    "matplotlib": ("mpl-data/sample_data", "grace_hopper.jpg"),
}


@dataclass(frozen=True, slots=True)
class Source:
    """A photograph.

    Attributes:
        name: of its file.
        package: what it comes with.
        path: of its file.
        size: width and height, pixels.
    """

    name: str
    package: str
    path: Path
    size: tuple[int, int]

    def open(self) -> Image.Image:
        """In colour, in full."""
        with Image.open(self.path) as picture:
            return picture.convert("RGB")


@dataclass(frozen=True, slots=True)
class Spec:
    """A picture that is asked for: a part of a photograph, reduced.

    Attributes:
        source: which photograph.
        box: left, top, right, bottom in it.
        long_side: pixels of the picture's longer side, unless the part is smaller.
    """

    source: Source
    box: tuple[int, int, int, int]
    long_side: int

    @property
    def name(self) -> str:
        return f"{self.source.name}[{','.join(map(str, self.box))}]"

    def cut(self, photograph: Image.Image) -> Image.Image:
        picture = photograph.crop(self.box)
        picture.thumbnail((self.long_side, self.long_side), Image.Resampling.LANCZOS)
        return picture

    def random(self) -> np.random.Generator:
        """Random numbers of this picture's own, the same at each run."""
        return np.random.default_rng(int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:8], "big"))


def find() -> tuple[Sequence[Source], Sequence[str]]:
    """The photographs that are here, and the Debian packages of which some are not."""
    found: list[Source] = []
    missing: list[str] = []
    for package, (folder, names) in DEBIAN.items():
        paths = [Path(folder, name) for name in names.split()]
        if not all(map(Path.is_file, paths)):
            missing.append(package)
        found += _sources(package, Path(folder), filter(Path.is_file, paths))
    for module, (folder, names) in PYTHON.items():
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.origin is not None:
            inside = Path(spec.origin).parent / folder
            found += _sources(module, inside, filter(Path.is_file, (inside / name for name in names.split())))
    return found, missing


def _sources(package: str, folder: Path, paths: Iterator[Path]) -> Iterator[Source]:
    for path in paths:
        with Image.open(path) as picture:
            yield Source(os.fspath(path.relative_to(folder)), package, path, picture.size)


def specs(sources: Sequence[Source]) -> Sequence[Spec]:
    """Every photograph whole, and in tiles where it is large enough for at least two."""
    out = []
    for source in sources:
        width, height = source.size
        out.append(Spec(source, (0, 0, width, height), WHOLE))
        columns, rows = (
            max(1, min(_COLUMNS, width // _SMALLEST_TILE)),
            max(1, min(_ROWS, height // _SMALLEST_TILE)),
        )
        if columns * rows == 1:
            continue
        for row in range(rows):
            for column in range(columns):
                box = (
                    width * column // columns, height * row // rows,
                    width * (column + 1) // columns, height * (row + 1) // rows,
                )  # fmt: skip
                out.append(Spec(source, box, TILE))
    return out


def crops(
    photograph: Image.Image, count: int, long_side: int, random: np.random.Generator
) -> Iterator[Image.Image]:
    """Parts of a photograph at random places, of random scale and shape, resized to `long_side` or less.

    A side is 15 to 100 % of the photograph's, scales spread evenly by their logarithm, and never longer than
    twice the other.
    """
    reduced = photograph.copy()
    reduced.thumbnail((_CROPPED_FROM, _CROPPED_FROM), Image.Resampling.LANCZOS)
    for _ in range(count):
        share = np.exp(random.uniform(np.log(0.15), 0, size=2))
        share = np.maximum(share, share.max() / 2)
        sides = [max(16, int(n * s)) for n, s in zip(reduced.size, share, strict=True)]
        corner = [int(random.integers(0, n - side + 1)) for n, side in zip(reduced.size, sides, strict=True)]
        box = (*corner, corner[0] + sides[0], corner[1] + sides[1])
        # To one of a few shapes: the operators of each size are made once.
        step, longer = long_side // 12, min(long_side, *reduced.size)
        size = [max(step, round(longer * side / max(sides) / step) * step) for side in sides]
        yield reduced.resize(size, Image.Resampling.BILINEAR, box)
