"""XML from outside, read as a stream with hard limits: no document type declaration, so no entities at all.

Names come without their prefix: which one a publisher binds to its namespace is its own affair.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import BinaryIO
from xml.parsers import expat

from scanner.model.errors import FeedFormatError

_CHUNK = 64 * 1024  # bytes given to the parser at once
# Bytes without any event: one tag, comment or attribute this long is no list, and the parser holds it whole.
_MAX_SILENCE = 1024 * 1024
_MAX_TEXT = 64 * 1024  # characters of one element; a PhotoDNA value has 192
_MAX_DEPTH = 16  # NCMEC's feedback is eight deep
_MAX_NODES = 10_000  # of one element that is kept: some hundred members may have given feedback


class Node:
    """An element with all below it.

    Attributes:
        name: without prefix.
        parent: name of the element it stands in.
        line: where it begins, 0 for those within another.
    """

    __slots__ = ("attributes", "children", "line", "name", "parent", "text")

    def __init__(self, name: str, attributes: dict[str, str], parent: str, line: int) -> None:
        self.name = name
        self.attributes = attributes
        self.parent = parent
        self.line = line
        self.text = ""
        self.children: list[Node] = []

    def child(self, name: str) -> Node | None:
        for node in self.children:
            if node.name == name:
                return node
        return None

    def text_of(self, name: str) -> str:
        """The text of a child, "" where there is none."""
        node = self.child(name)
        return node.text.strip() if node is not None else ""


def nodes(stream: BinaryIO, root: str, within: Collection[str]) -> Iterator[Node]:
    """The children of elements of some names, each finished, in the order of the document.

    Args:
        root: name of the outermost element.
        within: names of the elements whose children are wanted.

    Raises:
        FeedFormatError: the XML is broken, cut short, or beyond a limit; `where` has the line.
    """
    reader = _Reader(root, within)
    try:
        while piece := stream.read(_CHUNK):
            yield from reader.feed(piece)
        yield from reader.feed(b"")
    except expat.ExpatError as e:
        raise FeedFormatError(
            "here the XML is cut short or broken",
            where=f"line {e.lineno}",
            remedy="Fetch the list again; if it stays so, tell the publisher",
        ) from e


class _Reader:
    def __init__(self, root: str, within: Collection[str]) -> None:
        self._root = root
        self._within = within
        self._path: list[str] = []
        self._open: list[Node] = []
        self._nodes = 0
        self._silent = 0
        self._finished: list[Node] = []
        # The streams of lists are UTF-8 already, whatever a declaration says.
        self._parser = expat.ParserCreate("utf-8")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._doctype

    def feed(self, piece: bytes) -> list[Node]:
        self._silent += len(piece)
        self._parser.Parse(piece, not piece)
        if self._silent > _MAX_SILENCE:
            raise self._error(f"more than {_MAX_SILENCE} bytes without the end of a tag")
        finished, self._finished = self._finished, []
        return finished

    def _error(self, what: str) -> FeedFormatError:
        return FeedFormatError(what, where=f"line {self._parser.CurrentLineNumber}")

    def _doctype(self, *_: object) -> None:
        raise self._error("a document type declaration: no list needs one, and it may hold entities")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._silent = 0
        local = name.rpartition(":")[2]
        if not self._path and local != self._root:
            raise self._error(f"expected <{self._root}>, found another element")
        if self._open:
            self._nodes += 1
            if self._nodes > _MAX_NODES:
                raise self._error(f"more than {_MAX_NODES} elements in one record")
            self._push(local, attributes)
        elif self._path and self._path[-1] in self._within:
            self._nodes = 1
            self._push(local, attributes)
        self._path.append(local)
        if len(self._path) > _MAX_DEPTH:
            raise self._error(f"the XML is nested deeper than {_MAX_DEPTH} levels")

    def _push(self, name: str, attributes: dict[str, str]) -> None:
        if self._open:
            node = Node(name, attributes, self._path[-1], 0)
            self._open[-1].children.append(node)
        else:
            node = Node(name, attributes, self._path[-1], self._parser.CurrentLineNumber)
        self._open.append(node)

    def _characters(self, text: str) -> None:
        self._silent = 0
        if not self._open:
            return
        node = self._open[-1]
        node.text += text
        if len(node.text) > _MAX_TEXT:
            raise self._error(f"a text of more than {_MAX_TEXT} characters")

    def _end(self, name: str) -> None:
        self._silent = 0
        self._path.pop()
        if self._open:
            node = self._open.pop()
            if not self._open:
                self._finished.append(node)
