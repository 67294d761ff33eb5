"""The installed command, run as a user runs it, on trees that the tests make."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

COMMAND = str(Path(sys.executable).parent / "hostsweep")


def picture(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """A picture of soft random shapes: like a photograph, it keeps its look when saved again."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    planes = []
    for _ in range(3):
        plane = np.zeros((height, width))
        for _ in range(40):
            cx, cy, size = rng.uniform(0, 1), rng.uniform(0, height / width), rng.uniform(0.01, 0.12)
            plane += rng.uniform(-1, 1) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * size**2))
        low, high = plane.min(), plane.max()
        planes.append((255 * (plane - low) / (high - low)).astype(np.uint8))
    return Image.fromarray(np.dstack(planes))


@dataclass(frozen=True)
class Outcome:
    """What a run of the command came to."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]

    @property
    def hits(self) -> list[dict[str, Any]]:
        return [e for e in self.events if e.get("event") == "hit"]

    @property
    def summary(self) -> dict[str, Any]:
        return next(e for e in self.events if e.get("event") == "summary")


@dataclass
class Host:
    """A host with a tree of customers' files and a state directory."""

    base: Path

    @property
    def tree(self) -> Path:
        return self.base / "www"

    @property
    def state(self) -> Path:
        return self.base / "state"

    def save(self, name: str, image: Image.Image, **options: Any) -> Path:
        path = self.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **options)
        return path

    def list_of(self, text: str, name: str = "list.txt") -> str:
        (self.base / name).write_text(text)
        return str(self.base / name)

    def run(self, *args: str, config: Path | None = None, timeout: float = 60) -> Outcome:
        before = ["-c", str(config)] if config else []
        done = subprocess.run(
            [COMMAND, *before, "--state-dir", str(self.state), *args],
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())

    def scan(self, *args: str, config: Path | None = None) -> Outcome:
        return self.run("scan", str(self.tree), "--json", *args, config=config)

    def find_count(self) -> int:
        """How many regular files find(1) counts."""
        prune = ["-path", "*/.hostsweep-staging", "-prune", "-o"]
        command = ["find", str(self.tree), *prune, "-type", "f", "-printf", "x"]
        found = subprocess.run(command, capture_output=True, check=True)
        return len(found.stdout)

    def until_old(self) -> None:
        """Wait until every file is too old for the rule that young files are looked at again."""
        newest = max(os.stat(p).st_ctime for p in self.tree.rglob("*"))
        wait_for(lambda: time.time() - newest > 2.1, 5)


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    """Look again and again until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it did not happen in time")
        select.select([], [], [], 0.05)
