"""hashdeep 1.0 (hashdeep's FILEFORMAT): a magic line, a line that names the columns, rows without quoting.

A row is cut at as many commas as there are columns, less one: the last of them is the name of the file, which
may have more. `#` begins a comment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from scanner.feeds.blocks import LineBlocks
from scanner.feeds.checks import UNSUPPORTED_KINDS, admit, count, digest, kind_name, pass_over, shown
from scanner.feeds.formats.base import FormatOptions
from scanner.model.errors import FeedFormatError
from scanner.model.feeds import LISTED, Entry, ImportCounts
from scanner.model.hashes import EXACT_KINDS

_MAGIC = b"%%%% HASHDEEP-1.0"
_COLUMNS = b"%%%% "
_MAX_COLUMNS = 16  # hashdeep knows five algorithms


class HashdeepFormat:
    """What hashdeep prints: each row a file, by all the kinds it was asked for."""

    @property
    def name(self) -> str:
        return "hashdeep"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return None

    def proposes(self, head: bytes) -> str | None:
        return "it begins as hashdeep's files do" if head.startswith(b"%%%% HASHDEEP-") else None

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Entry]:
        columns: Sequence[str] = ()
        for number, line, whole in _lines(stream):
            if number == 1:
                if line.rstrip() != _MAGIC:
                    raise FeedFormatError(f"expected {_MAGIC.decode()}", where="line 1")
            elif number == 2:
                columns = _columns(line)
            elif line and not line.startswith(b"#"):
                try:
                    entry = _entry(line, columns, number, counts)
                except FeedFormatError as e:
                    if not whole:
                        raise _cut_short(e) from e
                    pass_over(e, counts)
                    continue
                if entry is not None:
                    yield entry
        if not columns:
            raise FeedFormatError("expected a second line that names the columns", where="line 2")


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes, bool]]:
    """Numbers and lines without their ends, and whether they have one."""
    blocks = LineBlocks(stream)
    for block in blocks:
        *lines, last = block.split(b"\n")
        for number, line in enumerate(lines, blocks.number + 1):
            yield number, line.rstrip(b"\r"), True
        if last:
            yield blocks.number + len(lines) + 1, last.rstrip(b"\r"), False


def _columns(line: bytes) -> tuple[str, ...]:
    if not line.startswith(_COLUMNS):
        raise FeedFormatError("expected a line that names the columns", where="line 2")
    names = line.removeprefix(_COLUMNS).decode("utf-8", "replace").strip().split(",")
    kinds = tuple(kind_name(name) for name in names)
    if kinds[0] != "size" or kinds[-1] != "filename" or len(kinds) > _MAX_COLUMNS:
        raise FeedFormatError(
            "expected size, kinds of hashes and filename,"
            f" found {', '.join(map(shown, names[:_MAX_COLUMNS]))}",
            where="line 2",
        )
    if not set(kinds) & {*EXACT_KINDS, *UNSUPPORTED_KINDS} or len(set(kinds)) != len(kinds):
        raise FeedFormatError("expected kinds of hashes among the columns, each once", where="line 2")
    return kinds


def _entry(line: bytes, columns: Sequence[str], number: int, counts: ImportCounts) -> Entry | None:
    cells = line.split(b",", len(columns) - 1)
    if len(cells) != len(columns):
        raise FeedFormatError(f"expected {len(columns)} columns, found {len(cells)}", where=f"line {number}")
    hashes, unsupported = [], []
    for kind, cell in zip(columns[1:-1], cells[1:-1], strict=True):
        if kind in EXACT_KINDS:
            hashes.append((kind, digest(kind, cell.decode("latin-1").strip(), f"line {number}")))
        elif cell:
            unsupported.append(kind if kind in UNSUPPORTED_KINDS else "other")
    for kind in unsupported:
        count(counts.unsupported, kind)
    return admit(hashes, "", LISTED, counts)


def _cut_short(e: FeedFormatError) -> FeedFormatError:
    return FeedFormatError(
        f"the last line has no end and is not whole ({e.what}): the list is cut short",
        where=e.where,
        remedy="Fetch the list again",
    )
