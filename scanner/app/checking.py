"""Single files and single hashes: what they are, and whether they are listed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scanner.hashing import HashJob, WorkerPool
from scanner.model.errors import SourceError
from scanner.model.hashes import KINDS, Digests, PerceptualHash
from scanner.model.matches import Match
from scanner.model.ports import Matcher
from scanner.system.opening import open_regular

# How long to sleep between looks at the workers; they answer within milliseconds.
_POLL_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Checked:
    """One file's digests and what lists it."""

    path: Path
    digests: Digests
    matches: tuple[Match, ...]


def check_files(paths: Sequence[Path], pool: WorkerPool, matcher: Matcher) -> Iterable[Checked]:
    """Hash files by the same workers that scans use, and match them.

    Raises:
        SourceError: a file can't be read.
        WorkerError: the workers can't be started.
    """
    pool.start()
    try:
        for path in paths:
            digests = _hash(path, pool)
            yield Checked(path, digests, matcher.match(digests))
    finally:
        pool.stop()


def _hash(path: Path, pool: WorkerPool) -> Digests:
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd, st = open_regular(directory, os.fsencode(path.name))
    finally:
        os.close(directory)
    try:
        pool.submit(HashJob(1, fd, st.st_size, media_only=False))
        pool.prove()
        pool.flush()
        results = pool.poll(time.monotonic())
        while not results:
            time.sleep(_POLL_SECONDS)
            results = pool.poll(time.monotonic())
    finally:
        os.close(fd)
    digests = results[0].digests
    if digests is None:
        raise SourceError(f"the file could not be hashed ({results[0].kind})", where=str(path))
    return digests


def hash_text_as_digests(text: str) -> list[Digests]:
    """What a hash given as text can be: every kind of its length, as a file that has just this hash.

    Raises:
        SourceError: it is no hash.
    """
    try:
        value = bytes.fromhex(text.strip())
    except ValueError:
        value = b""
    found = []
    for kind in KINDS.values():
        if kind.size != len(value):
            continue
        if kind.exact:
            found.append(Digests(0, "", {kind.name: value}))
        else:
            found.append(Digests(0, "", perceptual=(PerceptualHash(kind.name, "given", value, 100),)))
    if not found:
        raise SourceError(
            "expected 16 (pHash, dHash), 32 (MD5), 40 (SHA-1), 64 (SHA-256, PDQ, pHash of 256 bits) or 128 "
            f"(SHA-512) hexadecimal digits, got {len(text)} characters"
        )
    return found
