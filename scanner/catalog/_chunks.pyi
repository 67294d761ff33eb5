"""native/chunks.c, which may not be there."""

from collections.abc import Sequence

from scanner.catalog.chunks import Row

def pack(rows: Sequence[Row]) -> tuple[int, bytes, bytes] | None: ...
