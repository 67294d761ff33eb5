"""Rows of a CSV list, many at a time: by the csv module, or cut up at once where no cell is quoted."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from scanner.model.errors import FeedFormatError
from scanner.model.names import display

_BATCH = 10_000  # rows: some 10 MB of cells; larger ones are not faster
_LINE_ENDS = "\r\n"


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of cells.

    Attributes:
        cells: all cells of rows of one width, one after another, with one more behind each row; None where
            the rows are apart.
        apart: the rows, else.
        width: cells of a row; 0 where they differ.
    """

    cells: Sequence[str] | None
    apart: Sequence[list[str]]
    width: int

    def column(self, number: int) -> Sequence[str]:
        """One column, of rows of one width."""
        if self.cells is not None:
            return self.cells[number :: self.width + 1]
        return [row[number] for row in self.apart]

    def rows(self) -> Sequence[list[str]]:
        if self.cells is None:
            return self.apart
        step = self.width + 1
        return [list(self.cells[n : n + self.width]) for n in range(0, len(self.cells), step)]

    def last(self) -> Sequence[str]:
        """The last row."""
        return self.apart[-1] if self.cells is None else self.cells[-self.width - 1 : -1]


def batches(blocks: Iterator[str], delimiter: str, width: int, line: int) -> Iterator[tuple[Batch, int]]:
    """The rows of blocks of whole lines.

    Args:
        width: cells that a row should have.
        line: the number of the line before the first of them.

    Returns:
        batches, each with the number of the line before it.

    Raises:
        FeedFormatError: the quoting is broken.
    """
    for block in blocks:
        batch = _cut_up(block, delimiter, width)
        if batch is not None:
            yield batch, line
            line += block.count("\n")
        elif '"' not in block:
            yield from _read(iter((block,)), delimiter, line)
            line += block.count("\n")
        else:  # a quoted cell may go on in the next block, so the csv module gets all that follow
            yield from _read(chain((block,), blocks), delimiter, line)


def _read(blocks: Iterator[str], delimiter: str, above: int) -> Iterator[tuple[Batch, int]]:
    # newline="": ends stay as they are, so that those inside quotes do.
    lines = chain.from_iterable(io.StringIO(block, newline="") for block in blocks)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    done = above
    try:
        while rows := list(islice(reader, _BATCH)):
            widths = set(map(len, rows))
            yield Batch(None, rows, widths.pop() if len(widths) == 1 else 0), done
            done = above + reader.line_num
    except csv.Error as e:  # says what is wrong with the quoting, and quotes no cell
        where = f"line {above + reader.line_num}"
        raise FeedFormatError(f"this is not CSV: {display(str(e))}", where=where) from e


def _cut_up(block: str, delimiter: str, width: int) -> Batch | None:
    """A block without quotes whose rows all have the same width; None for any other. A line end becomes a
    cell of its own, so that a row with a cell too few and one too many don't make up for each other."""
    if not block.endswith("\n") or '"' in block or delimiter in _LINE_ENDS:
        return None
    if "\r" in block:
        if block.count("\r") != block.count("\r\n"):
            return None
        block = block.replace("\r\n", "\n")
    cells = block.replace("\n", f"{delimiter}\n{delimiter}").split(delimiter)
    cells.pop()
    lines = block.count("\n")
    if len(cells) != lines * (width + 1) or cells[width :: width + 1] != ["\n"] * lines:
        return None
    return Batch(cells, (), width)
