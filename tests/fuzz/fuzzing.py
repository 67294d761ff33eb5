"""What all fuzz targets share: how one is described, found, fed and judged.

A target is one module in `fuzz_targets/` with a `TARGET`. Its `check` takes any bytes and raises for a broken
law; returning is the only way to say that all is well. The same targets run under atheris (`make fuzz`), and
over corpus, regressions and what hypothesis makes of them in the test suite (`test_fuzz_targets.py`).
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import fuzz_targets

HERE = Path(__file__).parent
sys.path.append(str(HERE.parents[1]))  # for `tests.forms`, where this is not run by pytest
CORPUS = HERE / "corpus"  # small, checked in, made by make_corpus.py
REGRESSIONS = HERE / "regressions"  # inputs that once broke a law, one folder a target

# Unicode categories that act on a terminal or reorder text, as in scanner/model/names.py; written out
# again because a law must not be taken from the code it judges.
ACTIVE = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn"})


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to fuzz.

    Attributes:
        check: raises when these bytes break a law.
        seeds: inputs to begin with, by name.
        words: what a mutation may put in whole (libFuzzer's dictionary).
        max_length: bytes of an input; longer ones only cost time.
        memory_mb: resident memory above which an input counts as a finding.
    """

    check: Callable[[bytes], None]
    seeds: Callable[[], Mapping[str, bytes]]
    words: tuple[bytes, ...] = ()
    max_length: int = 4096
    memory_mb: int = 1024


class Broken(AssertionError):
    """A law does not hold for an input."""


def law(holds: object, text: str) -> None:
    """`text` says what should be so."""
    if not holds:
        raise Broken(text)


def harmless(text: str, what: str, *, lines: bool = False) -> None:
    """Law: nothing in a text acts on a terminal; `lines`: it may have several lines."""
    found = {c for c in text if unicodedata.category(c) in ACTIVE} - ({"\n"} if lines else set())
    law(not found, f"{what} has no active characters, found {sorted(map(ascii, found))}")


def target_names() -> list[str]:
    """All targets, by the names of their modules; modules that begin with _ are shared by several."""
    names = (module.name for module in pkgutil.iter_modules(fuzz_targets.__path__))
    return sorted(name for name in names if not name.startswith("_"))


def load(name: str) -> Target:
    target = importlib.import_module(f"fuzz_targets.{name}").TARGET
    assert isinstance(target, Target)
    return target


def inputs_in(folder: Path, pattern: str = "*") -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.is_file())


@contextmanager
def file_of(content: bytes) -> Iterator[Path]:
    """A regular file that lies in memory only, by a path."""
    fd = os.memfd_create("fuzz")
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(content)
        yield Path(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
