"""The process that reads one hash list and builds its index: `python -I -m scanner.pipeline.import_process`.

Lists come from outside and may be huge; parsing them in a process of its own keeps the daemon's memory and
its event loop free, and a list that takes a parser over gets a process without power: see `feed_confinement`.
The order comes as JSON on stdin, the list as an open descriptor; the index is written to the current
directory, and the answer goes as JSON to stdout: {"ok": …} or {"error": …}.
"""

from __future__ import annotations

import codecs
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from scanner.feeds import FormatOptions, ImportResult, import_list, our_formats
from scanner.feeds.decrypting import load_age
from scanner.index import ListKey, Origin, Snapshot, SnapshotBuilder, SnapshotInfo
from scanner.model.hashes import KINDS, HashKind
from scanner.pipeline import feed_confinement
from scanner.pipeline.feed_answers import ListFigures
from scanner.pipeline.feed_child import answer_orders
from scanner.pipeline.feed_confinement import Confinement

INDEX = "index"
"""Name of the snapshot in the process's directory."""


def build(order: dict[str, Any]) -> dict[str, Any]:
    """Give up all power, import the list of `order["descriptor"]` and write the snapshot.

    Raises:
        FeedError: the list can't be used.
        StorageError: the snapshot can't be written.
    """
    load_codecs(order)
    our_formats()  # likewise; a list is held against each
    if order["identities"]:
        load_age()
    feed_confinement.enter(
        Confinement.of(order["confinement"]),
        network=False,
        keep={order["descriptor"], order["base"]} - {None},
    )
    return write_index(order, Path(INDEX))


def write_index(order: dict[str, Any], target: Path) -> dict[str, Any]:
    """Import the list of `order["descriptor"]` and write its snapshot.

    Raises:
        FeedError: the list can't be used.
        SnapshotError: the list in use, which was to be changed, is damaged.
        StorageError: the snapshot can't be written.
    """
    for kind in order["kinds"]:
        KINDS.plug_in(HashKind(**kind))
    key = ListKey.parse(order["key"].encode())
    builder = SnapshotBuilder(key=key, base=_base(order, key), scratch=target.parent)
    result = import_list(
        Path(order["source"]),
        order["format"],
        replace(FormatOptions(**order["options"]), scratch=Path()),  # its folder is all it can write
        builder.add,
        max_bytes=order["max_bytes"],
        descriptor=order["descriptor"],
        max_malformed=order["max_malformed"],
        partial=order["partial"],
        polarity=order["polarity"],
        identities=order["identities"],
    )
    # Whoever takes it out of here syncs the copy.
    info = builder.finish(target, durable=False, meta=_meta(order, result))
    return {
        "format": result.format,
        "sha256": result.sha256,
        "counts": asdict(result.counts),
        "list": asdict(_figures(info)),
    }


def _base(order: dict[str, Any], key: ListKey) -> Snapshot | None:
    """The list in use, where it is to be changed. It is verified as at every opening: changes must not make a
    damaged list look whole."""
    if order["base"] is None:
        return None
    name = Path(f"the list in use of feed {order['feed']}")
    return Snapshot.open(name, key=key, descriptor=order["base"])


def _meta(order: dict[str, Any], result: ImportResult) -> Origin:
    defaults = result.default_categories
    return {
        "feed": order["feed"],
        "format": result.format,
        "built_ns": order["now_ns"],
        "source_sha256": result.sha256,
        "default_categories": sorted(defaults) if defaults is not None else None,
        "counts": asdict(result.counts),
        "memory": order["memory"],
    }


def _figures(info: SnapshotInfo) -> ListFigures:
    return ListFigures(
        info.entries,
        info.hashes,
        info.categories,
        info.added,
        info.replaced,
        info.removed,
        info.records.unknown,
        info.records.outdated,
    )


def load_codecs(order: dict[str, Any]) -> None:
    """Load what text may be in, while it can be."""
    for encoding in ("utf-8-sig", "utf-16", "utf-32", "cp437", order["options"]["encoding"]):  # cp437: ZIP
        _load(encoding)


def _load(encoding: str | None) -> None:
    """Load a codec while it can be: the packages may be out of reach for a user without rights."""
    try:
        codecs.lookup(encoding or "utf-8")
    except LookupError:
        pass  # the import says so, in its words


if __name__ == "__main__":
    answer_orders(build)
