"""Writes the checked-in corpus anew from the targets' own seeds: `python tests/fuzz/make_corpus.py`."""

from __future__ import annotations

import shutil

from fuzzing import CORPUS, load, target_names


def main() -> None:
    shutil.rmtree(CORPUS, ignore_errors=True)
    for name in target_names():
        folder = CORPUS / name
        folder.mkdir(parents=True)
        for seed, data in load(name).seeds().items():
            (folder / seed).write_bytes(data)


if __name__ == "__main__":
    main()
