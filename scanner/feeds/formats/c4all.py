"""The index files of C4All and C4P (`C4P Index.xml`, `C4M Index.xml`), which X-Ways and Griffeye exchange.

XML in UTF-16: below `ReportIndex` an `Image` or `Movie` for each file, with `id`, `category` and, where the
exporting tool computed it, `hash`, an MD5. Everything else in it belongs to a case (paths, times) and is not
kept. Document types and entities are refused, so nothing in it can grow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO
from xml.parsers import expat

from scanner.feeds.checks import MAX_TEXT, admit, category_text, digest, pass_over
from scanner.feeds.formats.base import FormatOptions
from scanner.model.errors import FeedFormatError
from scanner.model.feeds import Entry, ImportCounts

_ROOT = "reportindex"
_ITEMS = frozenset({"image", "movie"})
_WANTED = frozenset({"id", "category", "hash"})
_CHUNK = 64 * 1024  # bytes given to the parser at once
# Bytes without an element or text: one tag that long is no list, and the parser would hold it whole.
_MAX_SILENT = 1 << 20
_MAX_DEPTH = 16  # real ones have three levels


class C4allFormat:
    """Index files of C4All and C4P: MD5 and category of a case's pictures and films."""

    only_benign = ""
    summary = "index files of C4All and C4P (C4P Index.xml, C4M Index.xml)"
    kinds = ("md5",)
    recognised_by = "XML whose outermost element is ReportIndex"

    @property
    def name(self) -> str:
        return "c4all"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return frozenset({"1", "2"})

    def proposes(self, head: bytes) -> str | None:
        text = head.lstrip()
        if text.startswith(b"<") and b"<reportindex" in text[:4096].lower():
            return "it is XML with a ReportIndex"
        return None

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Entry]:
        # Its declaration speaks of UTF-16; what comes here has been recoded.
        parser = expat.ParserCreate("UTF-8")
        reader = _Reader(parser, counts)
        try:
            while chunk := stream.read(_CHUNK):
                reader.silent += len(chunk)
                if reader.silent > _MAX_SILENT:
                    raise FeedFormatError(f"a single tag or comment of more than {_MAX_SILENT} bytes")
                parser.Parse(chunk, False)
                yield from reader.taken()
            parser.Parse(b"", True)
        except expat.ExpatError as e:
            raise FeedFormatError(
                f"the XML is cut short or broken: {expat.ErrorString(e.code)}",
                where=f"line {e.lineno}",
                remedy="Fetch the list again; if it stays so, tell the publisher",
            ) from e
        except FeedFormatError as e:
            where = e.where or f"line {parser.CurrentLineNumber}"
            raise FeedFormatError(e.what, where=where, remedy=e.remedy) from e
        yield from reader.taken()


class _Reader:
    """Follows the elements and keeps the three texts of the item it is in.

    Attributes:
        silent: bytes since the last element or text.
    """

    def __init__(self, parser: expat.XMLParserType, counts: ImportCounts) -> None:
        self.silent = 0
        self._parser = parser
        self._counts = counts
        self._entries: list[Entry] = []
        self._depth = 0
        self._item_depth = 0  # of the item that is open; 0: none
        self._field = ""
        self._texts: dict[str, str] = {}
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._doctype

    def taken(self) -> list[Entry]:
        """The entries since the last call."""
        entries, self._entries = self._entries, []
        return entries

    def _doctype(self, *_: object) -> None:
        raise FeedFormatError("a document type: lists have none")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.silent = 0
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise FeedFormatError(f"elements more than {_MAX_DEPTH} deep")
        name = name.casefold()
        if self._depth == 1 and name != _ROOT:
            raise FeedFormatError("expected ReportIndex as the outermost element")
        if self._item_depth:
            self._field = name if name in _WANTED and self._depth == self._item_depth + 1 else ""
        elif name in _ITEMS:
            self._item_depth, self._texts = self._depth, {}

    def _text(self, text: str) -> None:
        self.silent = 0
        if self._field:
            whole = self._texts.get(self._field, "") + text
            if len(whole) > MAX_TEXT:
                raise FeedFormatError(f"a text of more than {MAX_TEXT} characters")
            self._texts[self._field] = whole

    def _end(self, name: str) -> None:
        self.silent = 0
        if self._depth == self._item_depth:
            self._take()
            self._item_depth = 0
        self._field = ""
        self._depth -= 1

    def _take(self) -> None:
        where = f"line {self._parser.CurrentLineNumber}"
        texts = {name: text.strip() for name, text in self._texts.items()}
        try:
            if not texts.get("hash"):
                raise FeedFormatError("an item without a hash", where=where)
            value = digest("md5", texts["hash"], where)
        except FeedFormatError as e:
            pass_over(e, self._counts)
            return
        category = category_text(texts.get("category", ""))
        entry = admit((("md5", value),), texts.get("id", ""), category, self._counts)
        if entry is not None:
            self._entries.append(entry)
