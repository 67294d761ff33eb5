"""Asking a delta about files one knows, as the catalog asks it about arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scanner.index.delta import Delta
from scanner.model.hashes import Digests


def touched(delta: Delta, batch: Sequence[Digests]) -> list[int]:
    """Positions of the files that some new value matches."""
    found: set[int] = set()
    for kind in delta.exact_kinds:
        seen = [(i, d.exact[kind]) for i, d in enumerate(batch) if kind in d.exact]
        found.update(_concerned(delta, kind, seen))
    for kind, min_quality in delta.perceptual_kinds.items():
        seen = [
            (i, p.value)
            for i, digests in enumerate(batch)
            for p in digests.perceptual
            if p.kind == kind and p.quality >= min_quality
        ]
        found.update(_concerned(delta, kind, seen))
    return sorted(found)


def _concerned(delta: Delta, kind: str, seen: Sequence[tuple[int, bytes]]) -> list[int]:
    if not seen:
        return []
    values = np.frombuffer(b"".join(value for _, value in seen), dtype=np.uint8).reshape(len(seen), -1)
    return [seen[i][0] for i in np.flatnonzero(delta.concerned(kind, values))]
