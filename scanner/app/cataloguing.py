"""What the catalog knows, in figures and as a table for other programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from scanner.catalog import Catalog, VolumeStats
from scanner.model.errors import ConfigError
from scanner.model.files import KnownFile
from scanner.model.hashes import EXACT_KINDS
from scanner.model.names import display, json_fields

_ROWS = 10_000  # of a row group of Parquet
_FILE_SUFFIXES = ("", "-wal", "-shm")


def catalog_size(path: Path) -> int:
    """Bytes on the disk, with the log."""
    files = [path.with_name(path.name + suffix) for suffix in _FILE_SUFFIXES]
    return sum(file.stat().st_size for file in files if file.exists())


def stats_of(volume: VolumeStats) -> dict[str, Any]:
    """JSON-able."""
    return {
        "volume": volume.name,
        **json_fields(volume.root, "root"),
        "directories": volume.directories,
        "files": volume.files,
        "bytes": volume.bytes,
        "states": {state.name.lower(): number for state, number in volume.states.items()},
        "with_digests": volume.with_digests,
        "matched_with": volume.matched_with or None,
    }


# A file: the volume's name, the path below its root, and what is known.
_File = tuple[str, bytes, KnownFile]


def known_files(catalog: Catalog, name: str) -> Iterator[_File]:
    """All files of a volume, or of all where `name` is "".

    Raises:
        CatalogError: the catalog can't be read.
        ConfigError: nothing is known of a volume of this name.
    """
    for volume in volumes_named(catalog, name) if name else catalog.stats():
        for files in catalog.volume(volume.name, volume.root, b"").everything():
            for file, known in files:
                yield volume.name, file.path, known


def volumes_named(catalog: Catalog | None, name: str) -> list[VolumeStats]:
    """What is known of a volume, for each root that it had.

    Raises:
        CatalogError: the catalog can't be read.
        ConfigError: nothing is known of a volume of this name.
    """
    found = [] if catalog is None else [volume for volume in catalog.stats() if volume.name == name]
    if not found:
        raise ConfigError(
            f"nothing is known of a volume {display(name)}", remedy="See `hostsweep catalog stats`"
        )
    return found


def writer_of(format: str) -> Callable[[Iterable[_File], BinaryIO], int]:
    """What writes files in a format; it returns how many.

    Raises:
        ConfigError: a library is missing that it needs.
    """
    if format == "parquet":
        arrow = load_parquet()
        return lambda files, out: _write_parquet(arrow, files, out)
    return _write_csv if format == "csv" else _write_json


def load_parquet() -> Any:
    """The library, which is an extra.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError:
        raise ConfigError(
            "Parquet needs pyarrow, which is not installed",
            remedy="pip install 'hostsweep[parquet]', or use --format csv or json",
        ) from None
    return pyarrow


def _plain(volume: str, known: KnownFile) -> dict[str, Any]:
    stat, digests = known.stat, known.digests
    return {
        "volume": volume,
        "size": stat.size,
        "mtime_ns": stat.mtime_ns,
        "ctime_ns": stat.ctime_ns or None,
        "inode": stat.inode,
        "links": stat.links,
        "state": known.state.name.lower(),
        "media_type": digests.media_type or None,
        "problem": digests.problem or None,
    }


def _write_json(files: Iterable[_File], out: BinaryIO) -> int:
    count = 0
    for volume, path, known in files:
        views = [
            {"kind": p.kind, "view": p.view, "quality": p.quality, "value": p.value.hex()}
            for p in known.digests.perceptual
        ]
        exact = {kind: value.hex() for kind, value in known.digests.exact.items()}
        line = {**json_fields(path), **_plain(volume, known), **exact, "perceptual": views}
        out.write(json.dumps(line, ensure_ascii=True).encode() + b"\n")
        count += 1
    return count


def _write_csv(files: Iterable[_File], out: BinaryIO) -> int:
    """Paths as they are shown: bytes that are no text are escaped, as in tables and logs."""
    text = io.TextIOWrapper(out, "utf-8", newline="", write_through=True)
    writer: csv.DictWriter[str] | None = None
    count = 0
    try:
        for volume, path, known in files:
            views = [f"{p.kind}:{p.view}:{p.quality}:{p.value.hex()}" for p in known.digests.perceptual]
            exact = {kind: known.digests.exact.get(kind, b"").hex() for kind in EXACT_KINDS}
            row = {"path": display(path), **_plain(volume, known), **exact, "perceptual": " ".join(views)}
            if writer is None:
                writer = csv.DictWriter(text, list(row))
                writer.writeheader()
            writer.writerow(row)
            count += 1
    finally:
        text.detach()
    return count


def _write_parquet(arrow: Any, files: Iterable[_File], out: BinaryIO) -> int:
    schema = arrow.schema(
        [
            ("path", arrow.binary()), ("volume", arrow.dictionary(arrow.int32(), arrow.string())),
            ("size", arrow.int64()), ("mtime_ns", arrow.int64()), ("ctime_ns", arrow.int64()),
            ("inode", arrow.uint64()), ("links", arrow.uint64()),
            *((kind, arrow.dictionary(arrow.int32(), arrow.string())) for kind in ("state", "media_type",
            "problem")), *((kind, arrow.binary()) for kind in EXACT_KINDS),
            ("perceptual", arrow.list_(arrow.struct([
                ("kind", arrow.string()), ("view", arrow.string()), ("quality", arrow.uint8()), ("value",
                arrow.binary()),
            ]))),
        ]
    )  # fmt: skip
    rows, count = iter(files), 0
    with arrow.parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        while some := list(islice(rows, _ROWS)):
            writer.write_table(arrow.Table.from_pylist(list(map(_parquet_row, some)), schema))
            count += len(some)
    return count


def _parquet_row(file: _File) -> Mapping[str, Any]:
    volume, path, known = file
    row = {"path": path, **_plain(volume, known), **known.digests.exact}
    for name in ("mtime_ns", "ctime_ns"):  # customers set times beyond what the column takes
        if row[name] is not None and not -(1 << 63) <= row[name] < 1 << 63:
            row[name] = None
    row["perceptual"] = _views(known)
    return row


def _views(known: KnownFile) -> Sequence[Mapping[str, Any]]:
    return [
        {"kind": p.kind, "view": p.view, "quality": p.quality, "value": p.value}
        for p in known.digests.perceptual
    ]
