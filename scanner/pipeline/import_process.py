"""The process that reads one hash list and builds its index: `python -I -m scanner.pipeline.import_process`.

Lists come from outside and may be huge; parsing them in a process of its own keeps the daemon's memory
and its event loop free, and a list that breaks a parser breaks nothing else. The order comes as JSON on
stdin, the answer goes as JSON to stdout: {"ok": …} or {"error": …}.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scanner.feeds import FormatOptions, import_list
from scanner.index import SnapshotBuilder
from scanner.model.errors import (
    ConfigError,
    FeedError,
    FeedFormatError,
    FeedRefusedError,
    ScannerError,
    StorageError,
)

# An error of a kind that isn't here is one of our own storage: it ends the work, never only the feed.
_ERRORS: dict[str, type[ScannerError]] = {
    kind.__name__: kind for kind in (ConfigError, FeedError, FeedFormatError, FeedRefusedError)
}


def build(order: dict[str, Any]) -> dict[str, Any]:
    """Import `order["source"]` and write the snapshot to `order["target"]`.

    Raises:
        FeedError: the list can't be used.
        StorageError: the snapshot can't be written.
    """
    builder = SnapshotBuilder()
    result = import_list(
        Path(order["source"]),
        order["format"],
        FormatOptions(**order["options"]),
        builder.add,
        max_bytes=order["max_bytes"],
    )
    defaults = result.default_categories
    info = builder.finish(
        Path(order["target"]),
        meta={
            "feed": order["feed"],
            "format": result.format,
            "built_ns": order["now_ns"],
            "source_sha256": result.sha256,
            "default_categories": sorted(defaults) if defaults is not None else None,
            "counts": asdict(result.counts),
        },
    )
    return {
        "format": result.format,
        "sha256": result.sha256,
        "snapshot": info.id,
        "counts": asdict(result.counts),
    }


def to_error(answer: dict[str, Any]) -> ScannerError:
    """The error that an answer tells of."""
    kind = _ERRORS.get(answer["kind"], StorageError)
    return kind(answer["what"], where=answer["where"], remedy=answer["remedy"])


def main() -> None:
    order = json.load(sys.stdin)
    try:
        answer: dict[str, Any] = {"ok": build(order)}
    except ScannerError as e:
        answer = {"error": {"kind": type(e).__name__, "what": e.what, "where": e.where, "remedy": e.remedy}}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
