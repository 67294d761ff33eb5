"""Writing a snapshot: aside, made durable, then renamed into its place."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scanner.index import layout
from scanner.model.errors import StorageError
from scanner.system.durable import sync_path

Chunk = bytes | bytearray | memoryview


class WrongLength(RuntimeError):
    """A section had more or fewer bytes than was said: our fault, or that of the list it was made from."""


@dataclass(frozen=True, slots=True)
class Part:
    """A section to be written: `length` bytes in all, made chunk by chunk only when its turn comes."""

    kind: str
    name: str
    length: int
    chunks: Callable[[], Iterable[Chunk]]


def write_snapshot(path: Path, parts: Sequence[Part], *, durable: bool = True) -> tuple[str, int]:
    """Write the file with mode 0600; whoever has the old one mapped keeps the old one.

    Args:
        durable: sync it to the disk before it takes its place.

    Returns:
        the checksum in hexadecimal digits and the file's length in bytes.

    Raises:
        StorageError: the directory can't be written or is full; what stood at `path` still does.
    """
    try:
        # Beside it and named relative to it: a process without rights may write here, but not look above.
        name = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            checksum, total = _write(fd, parts)
            if durable:
                os.fsync(fd)
            name.replace(path)
        except BaseException:
            name.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)
        if durable:
            sync_path(path.parent)
    except OSError as e:
        raise StorageError(
            f"an index snapshot can't be written: {e.strerror or e}",
            where=str(path),
            remedy="Check the space and the permissions of the state directory",
        ) from e
    return checksum.hex(), total


def _write(fd: int, parts: Sequence[Part]) -> tuple[bytes, int]:
    sections, total = layout.place_sections([(p.kind, p.name, p.length) for p in parts])
    digest = hashlib.sha256()
    with open(fd, "wb", closefd=False, buffering=1 << 20) as f:
        f.write(bytes(layout.HEADER_SIZE))

        def put(data: Chunk) -> int:
            digest.update(data)
            return f.write(data)

        put(layout.pack_sections(sections))
        for part, section in zip(parts, sections, strict=True):
            written = sum(put(chunk) for chunk in part.chunks())
            if written != section.length:
                raise WrongLength(f"section {part.kind} {part.name}: {written} bytes, not {section.length}")
            put(bytes(layout.padding(written)))
        checksum = digest.digest()
        f.seek(0)
        f.write(layout.pack_header(total, checksum))
    return checksum, total
