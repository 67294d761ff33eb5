"""The pictures of a file: itself first, then frames, previews and what is embedded in it or follows it.

A file costs at most a few times what its picture costs. Whatever was not looked at because a limit was met
is said by the problem "partial", beside the hashes of what was looked at.

Which parts there are, and what their names mean: docs/formats.md.
"""

from __future__ import annotations

import functools
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from PIL import Image

from scanner.hashing import animation, decode, ends, media, previews, svg, truncated
from scanner.hashing.decode import DecodeProblem
from scanner.hashing.embedded import Found, Search, large_enough
from scanner.hashing.previews import Previews
from scanner.hashing.source import Source

MOST = 16  # pictures beside the main one
_PAGES = MOST - 1  # of a TIFF, beside the first
_HEAD = 16  # bytes that every format begins with itself
_PIXELS = (
    400_000_000  # decoded beside the main picture, in sum; no more than that may have for itself, either
)
_SECONDS = 8.0  # of processor time for all that, the frames of an animation included
_DRAWINGS = frozenset({media.SVG, media.SVGZ})


@dataclass(frozen=True, slots=True)
class Part:
    """A decoded picture of a file; `name` is "" for the file's own, else as in a view's name."""

    name: str
    picture: Image.Image


def may_hold_pictures(mime: str) -> bool:
    """Whether a file is looked into: not a film whose end can't be told, nor mail.

    Frames of films are nobody's here, but something may follow a film's end. A file that is no media by its
    first bytes (only read where all files are) may hold pictures anywhere.
    """
    if mime.startswith("video/"):
        return ends.is_known(mime)
    return mime != "application/mbox"


class Parts:
    """The pictures of one file, decoded one by one as they are asked for.

    Args:
        stream: the content.
        data: the same, if it is in memory.
        mime: its type by content.
        max_pixels: width times height above which a picture is not decoded.
        reduced: large pictures may come at a fraction of their size.
        before_more: called once, before anything but the main picture is decoded.

    Attributes:
        problem: once all were taken: one of `scanner.hashing.frames.PROBLEMS`, or "".
    """

    def __init__(
        self,
        stream: IO[bytes],
        data: bytes | None,
        mime: str,
        max_pixels: int,
        *,
        reduced: bool,
        before_more: Callable[[], None] | None = None,
    ) -> None:
        self._stream = stream
        self._source = Source(stream, data)
        self._mime = mime
        self._max_pixels = max_pixels
        self._reduced = reduced
        self._before_more = before_more
        self._effort = animation.Effort(min(_PIXELS, max_pixels), _SECONDS)
        self._deadline = time.process_time() + _SECONDS
        self._given = 0
        self.problem = ""

    def __iter__(self) -> Iterator[Part]:
        """Raises MemoryError where a decoder does."""
        there = False
        if self._mime not in _DRAWINGS and media.is_picture(self._mime):
            try:
                main = Part("", self._main())
            except DecodeProblem as e:
                self.problem = e.code
            else:
                there = True
                yield main
                del main  # its memory is needed for the others
        if self.problem == "out_of_memory":
            return
        try:
            yield from self._further(there)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - as in decode: a hostile file must not take the main picture's hash along
            self._say("partial")

    def incomplete(self) -> None:
        """Say that a picture of the file was left out."""
        self._say("partial")

    def _say(self, problem: str) -> None:
        self.problem = self.problem or problem

    def _main(self) -> Image.Image:
        try:
            return decode.open_picture(self._stream, self._mime, self._max_pixels, reduced=self._reduced)
        except DecodeProblem as e:
            if e.code != "undecodable":
                raise
        return self._rest_of(self._stream, self._mime)

    def _rest_of(self, stream: IO[bytes], mime: str) -> Image.Image:
        """A picture that could not be decoded whole."""

        def opened() -> Image.Image:
            stream.seek(0)
            return decode.open_picture(stream, mime, self._max_pixels, reduced=self._reduced)

        picture = truncated.lenient(opened, blocks=mime == "image/jpeg")
        if picture is None:
            raise DecodeProblem("undecodable")
        self._say("truncated")
        return picture

    def _further(self, there: bool) -> Iterator[Part]:
        mime, source = self._mime, self._source
        if mime in _DRAWINGS:
            yield from self._drawn()
            return
        if there and animation.may_move(mime, source):
            yield from self._frames()
        elif there and mime == "image/tiff":
            yield from self._pages()
        found = previews.of(mime, source)
        if found is not None:
            yield from self._previews(found)
        # Of a RAW picture only previews are looked for: its end can't be told.
        if found is None or not found.raw:
            yield from self._embedded(there, set() if found is None else {f.start for f in found.found})

    def _frames(self) -> Iterator[Part]:
        if self._mime == "image/gif" and self._end is None and self._source.spent:
            self._say("partial")  # so many blocks that Pillow would look for a second frame for minutes
            return
        picture = self._again()
        if not getattr(picture, "is_animated", False):
            return
        self._begin()
        # Numbered as they are looked at: names are stored once each, so there may not be thousands.
        for number, frame in enumerate(animation.key_frames(picture, self._effort), 2):
            yield self._counted(f"frame{number}", decode.plain(frame.picture))
        if self._effort.spent:
            self._say("partial")
        if self._effort.broken:
            self._say("truncated")

    def _pages(self) -> Iterator[Part]:
        picture = self._again()
        for number in range(2, 1 << 31):
            try:
                picture.seek(number - 1)
            except EOFError:
                return
            if number > 1 + _PAGES or not self._affordable(picture):
                self._say("partial")
                return
            self._begin()
            # A copy: what hashers note of a page must not be believed of the next.
            yield self._counted(f"frame{number}", decode.plain(picture).copy())

    def _previews(self, previews: Previews) -> Iterator[Part]:
        given = 0
        for found in previews.found:
            if self._full():
                return
            picture = self._decoded(found)
            if picture is not None:
                given += 1
                yield self._counted(f"preview{given}", picture)
        # A RAW picture is what its preview shows. Without one there is nothing to be compared.
        if previews.raw and given and self.problem in ("undecodable", "unsupported_format"):
            self.problem = ""
        if previews.given_up:
            self._say("partial")

    def _drawn(self) -> Iterator[Part]:
        drawing = svg.Drawing(self._source, self._mime)
        for content in drawing:
            if self._full():
                return
            mime = media.sniff(content[: media.HEADER_SIZE])
            picture = self._decoded(Found(mime, 0, None), Source(io.BytesIO(content), content))
            if picture is not None:
                yield self._counted(f"embedded{self._given + 1}", picture)
        if not drawing.ended:
            self._say("partial")

    def _embedded(self, there: bool, known: set[int]) -> Iterator[Part]:
        source, start = self._source, 0
        if there:
            start = self._end or _start(self._mime, source)
        elif media.is_picture(self._mime):
            start = 1  # what it begins with is known to be of no use
        elif self._mime.startswith("video/"):
            start = self._end or source.size
        if start >= source.size:
            return
        search, number = Search(source, start), 0
        for found in search:
            if self._full():
                return
            picture = self._decoded(found) if found.start not in known else None
            if picture is None:
                continue
            number += 1
            yield self._counted(f"embedded{number}", picture)
        if not search.ended:
            self._say("partial")

    # Bounds

    def _begin(self) -> None:
        if self._before_more is not None:
            self._before_more()
            self._before_more = None

    def _full(self) -> bool:
        """Whether no more parts may be given; says so."""
        if self._given < MOST and time.process_time() < self._deadline:
            return False
        self._say("partial")
        return True

    def _affordable(self, picture: Image.Image) -> bool:
        """Whether a picture that is opened may be decoded, too."""
        self._effort.pixels -= picture.width * picture.height
        return self._effort.pixels >= 0 and time.process_time() < self._deadline

    def _counted(self, name: str, picture: Image.Image) -> Part:
        self._given += 1
        return Part(name, picture)

    @functools.cached_property
    def _end(self) -> int | None:
        """Where the file's own picture or film ends: walked to once, since that takes of the steps."""
        return ends.end_of(self._mime, self._source, 0)

    def _again(self) -> Image.Image:
        self._stream.seek(0)
        return decode.opened(self._stream, self._mime, self._max_pixels)

    def _decoded(self, found: Found, source: Source | None = None) -> Image.Image | None:
        """A picture within the file; None for what is none, and for what can't or may not be decoded."""
        source = source or self._source
        stream = source.window(found.start, found.end)
        try:
            picture = decode.opened(stream, found.mime, self._max_pixels)
            if not large_enough(picture.width, picture.height):
                return None
        except DecodeProblem as e:
            if e.code == "too_many_pixels":
                self._say("partial")
            return None
        if not self._affordable(picture):
            self._say("partial")
            return None
        self._begin()
        try:
            stream.seek(0)
            return decode.open_picture(stream, found.mime, self._max_pixels, reduced=self._reduced)
        except DecodeProblem as e:
            if e.code == "undecodable":
                return self._rest_or_none(stream, found.mime)
            if e.code == "out_of_memory":
                raise MemoryError from None
            self._say("partial")
            return None

    def _rest_or_none(self, stream: IO[bytes], mime: str) -> Image.Image | None:
        try:
            return self._rest_of(stream, mime)
        except DecodeProblem:
            self._say("partial")
            return None


def _start(mime: str, source: Source) -> int:
    """Where to begin a search in a picture whose end can't be told: after its own beginning."""
    return previews.resources_end(source) if mime == "image/vnd.adobe.photoshop" else _HEAD
