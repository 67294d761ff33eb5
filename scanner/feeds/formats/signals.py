"""Files of Meta's open tools: lines of `<signal type> <value>`, and the CSV of `threatexchange dataset`.

python-threatexchange's `local_file` exchange reads and appends such lines: no comments, one blank between.
Its command `threatexchange dataset -P --csv` prints collab, signal_type, signal_str, category and tags.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from scanner.feeds.checks import admit, kind_name, pass_over
from scanner.feeds.formats.base import FormatOptions
from scanner.feeds.formats.sharing import labels_of, value_of
from scanner.model.errors import FeedFormatError
from scanner.model.feeds import LISTED, About, Entry, ImportCounts
from scanner.model.hashes import KINDS

_HEADER = ["collab", "signal_type", "signal_str", "category", "tags"]
_FIRST = ",".join(_HEADER).encode()
_MAX_LINE = 1024 * 1024  # bytes: vPDQ values, a JSON array for each video, have some 100 KiB
# Names of the signal types that come with the tools and its extensions.
_TYPES = frozenset(
    {"pdq", "video_md5", "video_sha256", "md5", "sha1", "sha256", "photodna", "vpdq", "video_tmk_pdqf"}
    | {"pdq_ocr", "text_tlsh", "pdf_tlsh", "raw_text", "trend_query", "url", "url_md5"}
)
_LINE = re.compile(rb"([a-z][a-z0-9_]{1,40}) +([^ ].*)", re.DOTALL)


class SignalsFormat:
    """Signals of python-threatexchange. Only the CSV has a category: POSITIVE_CLASS acts by default."""

    @property
    def name(self) -> str:
        return "signals"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return frozenset({"POSITIVE_CLASS", LISTED})

    def proposes(self, head: bytes) -> str | None:
        first = head.lstrip().split(b"\n", 1)[0].rstrip(b"\r")
        if first == _FIRST:
            return "its header is that of `threatexchange dataset --csv`"
        found = _LINE.fullmatch(first)
        if found and found[1].decode() in _TYPES:
            return "line 1 begins with a signal type of python-threatexchange"
        return None

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Entry]:
        is_table = False
        for number, line in _lines(stream):
            if number == 1 and line == _FIRST:
                is_table = True
            elif line:
                entry = _admitted(line, f"line {number}", is_table, options.hash, counts)
                if entry is not None:
                    yield entry


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := stream.readline(_MAX_LINE + 1):
        number += 1
        if len(line) > _MAX_LINE:
            raise FeedFormatError(f"a line of more than {_MAX_LINE} bytes", where=f"line {number}")
        yield number, line.strip()


def _admitted(
    line: bytes, where: str, is_table: bool, hash: str | None, counts: ImportCounts
) -> Entry | None:
    """The entry of a line; None where it has nothing that can be used, which is counted.

    A line of the table is a row: none of its values holds a line's end.
    """
    try:
        return _row(line, where, counts) if is_table else _signal(line, where, hash, counts)
    except FeedFormatError as e:
        pass_over(e, counts)
        return None


def _signal(line: bytes, where: str, hash: str | None, counts: ImportCounts) -> Entry | None:
    found = _LINE.fullmatch(line)
    if found is not None:
        kind, value = _kind(found[1].decode()), found[2].decode("utf-8", "replace").strip()
    elif hash in KINDS:  # values alone, of a kind that was declared
        kind, value = str(hash), line.decode("utf-8", "replace")
    else:
        raise FeedFormatError("expected a signal type, a blank and a value", where=where)
    pair = value_of(kind, value, where, counts)
    return admit([pair], "", LISTED, counts) if pair else None


def _row(line: bytes, where: str, counts: ImportCounts) -> Entry | None:
    try:
        cells = next(csv.reader(io.StringIO(line.decode("utf-8", "replace"), newline=""), strict=True), [])
    except csv.Error as e:
        raise FeedFormatError("here the CSV is broken", where=where) from e
    if len(cells) != len(_HEADER):
        raise FeedFormatError(f"expected {len(_HEADER)} cells, found {len(cells)}", where=where)
    collab, type, value, category, tags = (cell.strip() for cell in cells)
    pair = value_of(_kind(type), value, where, counts)
    if pair is None:
        return None
    about = About(labels=labels_of(tags.split()), source=collab[:100])
    return admit([pair], "", category[:100], counts, about=about)


def _kind(type: str) -> str:
    """The hash kind of a signal type. The hash of an address is no hash of a file."""
    if type in ("url_md5", "pdq_ocr"):
        return "other"
    return kind_name(type.removeprefix("video_").removeprefix("text_").removeprefix("pdf_"))
