"""The objects that matter in a JSON document of any size, each with its plain members and nothing below.

For documents whose records are small objects at known places, such as the `objects` of a STIX bundle. What is
not asked for is passed over and not kept, however deep it goes; memory is that of one record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ijson

from scanner.feeds.checks import shown
from scanner.feeds.json_events import BEGINS, CHUNK, ENDS, MAX_VALUE, Guarded, located
from scanner.feeds.layers import Readable
from scanner.model.errors import FeedFormatError

MAX_DEPTH = 100  # levels; real documents have some ten
_MAX_WORDS = 100  # elements of a list of plain values that are kept: labels and the like

ANY = "*"
"""In a path: an element of a list."""

Path = tuple[str, ...]
Record = dict[str, Any]


@dataclass(slots=True)
class _Place:
    """What is open and followed.

    Attributes:
        path: where it is.
        record: its plain members, where it is a wanted object.
        wanted: which of them are.
        inner: members that are lists or objects on the way to wanted ones.
        at: of a list, the element it has come to.
    """

    path: Path
    is_list: bool
    record: Record | None = None
    wanted: frozenset[str] = frozenset()
    inner: frozenset[str] = frozenset()
    at: int = -1
    key: str = ""


class Shallow:
    """Reads one document.

    Args:
        places: the path of each object that is wanted, with the members of it that are. ``()`` is the
            outermost value, ``("objects", ANY)`` each element of its member `objects`.
        max_value: bytes that one value may have.

    Attributes:
        lists: paths of the lists on the way to wanted objects that were met so far.
    """

    def __init__(self, places: Mapping[Path, frozenset[str]], *, max_value: int = MAX_VALUE) -> None:
        self._wanted = places
        ways = {path[:n] for path in places for n in range(len(path) + 1)}
        self.lists: set[Path] = set()
        self._on_the_way = {way[:-1] for way in ways if way[-1:] == (ANY,)}
        self._objects = {way[:-1] for way in ways if way and way[-1] != ANY} | places.keys()
        self._inner = {path: frozenset(way[-1] for way in ways if way and way[:-1] == path) for path in ways}
        self._max_value = max_value
        self._open: list[_Place] = []
        self._below = 0  # levels open below what is passed over
        self._words: list[Any] | None = None  # a list of plain values that is wanted

    def read(self, stream: Readable) -> Iterator[tuple[Path, list[Record]]]:
        """Each wanted object when it ends: its path, and the wanted objects that are open, itself the last.

        An element of a wanted list that is no object comes as an empty record. What is outside may not have
        come to its end yet. Lists of plain values are lists, cut after a hundred elements.

        Raises:
            FeedFormatError: it is no JSON, cut short, too deep, or has a value that is too large.
        """
        guarded = Guarded(stream, self._max_value)
        with located(lambda: self.where):
            for event, value in ijson.basic_parse(guarded, buf_size=CHUNK, use_float=True):
                guarded.silent = 0
                if self._below:
                    self._passing(event, value)
                elif event == "map_key":
                    self._open[-1].key = value
                elif event in BEGINS:
                    self._begin(event == "start_array")
                elif event in ENDS:
                    if self._open[-1].record is not None:
                        yield self._open[-1].path, self._records()
                    self._open.pop()
                else:
                    path = self._plain(value)
                    if path is not None:
                        yield path, [*self._records(), {}]

    @property
    def where(self) -> str:
        """The JSON path that reading has come to; never a value."""
        text = ""
        for place in self._open:
            if place.is_list:
                text += f"[{max(place.at, 0)}]"
            elif place.key:
                text += f".{shown(place.key)}" if text else shown(place.key)
        return text or "the beginning"

    def _records(self) -> list[Record]:
        return [place.record for place in self._open if place.record is not None]

    def _begin(self, is_list: bool) -> None:
        place = self._open[-1] if self._open else None
        path = self._child(place)
        if path in (self._on_the_way if is_list else self._objects):
            if is_list:
                self.lists.add(path)
            wanted = None if is_list else self._wanted.get(path)
            record: Record | None = None if wanted is None else {}
            self._open.append(_Place(path, is_list, record, wanted or frozenset(), self._inner[path]))
        elif path in self._on_the_way or path in self._objects:
            raise FeedFormatError("expected an object, found a list" if is_list else "expected a list")
        else:
            self._below = 1
            if is_list and place is not None and place.record is not None and place.key in place.wanted:
                self._words = place.record[place.key] = []

    @staticmethod
    def _child(place: _Place | None) -> Path:
        """The path of the value that comes now; a list counts its elements."""
        if place is None:
            return ()
        if place.is_list:
            place.at += 1
            return (*place.path, ANY)
        return (*place.path, place.key)

    def _plain(self, value: Any) -> Path | None:
        """Take a plain value; the path of a record that it stands in place of."""
        place = self._open[-1] if self._open else None
        if place is not None and place.record is not None:
            if place.key in place.wanted:
                place.record[place.key] = value
            if value is None or place.key not in place.inner:
                return None
        path = self._child(place)
        if path in self._wanted and place is not None:
            return path
        if value is not None and (path in self._on_the_way or path in self._objects):
            raise FeedFormatError("expected an object or a list, found a plain value")
        return None

    def _passing(self, event: str, value: Any) -> None:
        if event in BEGINS:
            self._below += 1
            if self._below > MAX_DEPTH:
                raise FeedFormatError(f"nested deeper than {MAX_DEPTH} levels")
        elif event in ENDS:
            self._below -= 1
            if not self._below:
                self._words = None
        elif self._below > 1 or event == "map_key" or self._words is None:
            return
        elif len(self._words) < _MAX_WORDS:
            self._words.append(value)
