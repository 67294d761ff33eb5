"""How long a walk over a known tree takes, beside find(1) on the same tree in the same run.

    python tests/bench/bench_walk.py DIRECTORY [--profile]

Makes 200,000 empty files in 10,000 directories below DIRECTORY (kept for the next run there), and prints
the best of five runs of each. Aim: at most 1.6 times find for the walk alone.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from scanner.model.files import DirectoryMet, FormerDirectory, KnownDirectory, KnownFile
from scanner.sources import WalkPolicy, walk

_DIRECTORIES, _FILES_EACH, _ROUNDS = 10_000, 20, 5


class EverythingKnown:
    """A catalog in memory in which every directory is as it was."""

    def __init__(self, root_fd: int) -> None:
        self._directories = {
            met.path: KnownDirectory(i, met.fingerprint, len(met.changed), 0, 0, hot=False)
            for i, met in enumerate(walk(root_fd, WalkPolicy(racy_ns=0), None, time.time_ns))
            if isinstance(met, DirectoryMet)
        }

    def directory(self, path: bytes) -> KnownDirectory | None:
        return self._directories.get(path)

    def formerly(self, inode: int) -> FormerDirectory | None:
        return None

    def files(self, directory_id: int) -> Mapping[bytes, KnownFile]:
        return {}

    def some_files(self, directory_id: int, names: Sequence[bytes]) -> Mapping[bytes, KnownFile]:
        return {}


def make_tree(root: Path) -> None:
    if root.exists():
        return
    for i in range(_DIRECTORIES):
        directory = root / f"customer{i // 100:03d}" / f"uploads{i % 100:02d}"
        directory.mkdir(parents=True)
        for j in range(_FILES_EACH):
            (directory / f"photo-{i * 7919 % 10_000:05d}-{j:03d}.jpg").touch()


def best_of(action: Callable[[], None]) -> float:
    times = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    tree: Path = args.directory / "bench-walk-tree"
    make_tree(tree)
    root_fd = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    known = EverythingKnown(root_fd)
    find = ["find", str(tree), "-type", "f", "-printf", r"%i %s %C@ %m %p\n"]

    def walk_once() -> None:
        cached = sum(
            e.clean for e in walk(root_fd, WalkPolicy(), known, time.time_ns) if isinstance(e, DirectoryMet)
        )
        assert cached == _DIRECTORIES * _FILES_EACH

    def find_once() -> None:
        subprocess.run(find, stdout=subprocess.DEVNULL, check=True)

    if args.profile:
        with cProfile.Profile() as profile:
            walk_once()
        pstats.Stats(profile).sort_stats("tottime").print_stats(15)
        return
    baseline, ours = best_of(find_once), best_of(walk_once)
    print(f"find {baseline:.3f} s, walk {ours:.3f} s, ratio {ours / baseline:.2f}")


if __name__ == "__main__":
    main()
