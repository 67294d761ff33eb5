"""Pictures after the end of another picture, or anywhere in a file that is none.

A signature is where to look, nothing more: what a decoder then can't open was chance. Formats whose
signature is two bytes of text (BMP, PNM) are not looked for, nor is TIFF within TIFF.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scanner.hashing import ends, media
from scanner.hashing.source import SEARCHED, Source

_CANDIDATES = 256  # signatures looked at in a file
_MOST_SMALL = 16  # pixels of a side below which an embedded picture is an ornament

# (signature, bytes before it where the picture begins)
_SIGNATURES = (
    (b"\xff\xd8\xff", 0),
    (b"\x89PNG\r\n\x1a\n", 0),
    (b"GIF87a", 0),
    (b"GIF89a", 0),
    (b"WEBPVP8", 8),
    (b"ftypheic", 4),
    (b"ftypheix", 4),
    (b"ftypmif1", 4),
    (b"ftypavif", 4),
    (b"ftypavis", 4),
    (b"jP  \r\n\x87\n", 4),
    (b"JXL \r\n\x87\n", 4),
    (b"II*\x00\x08\x00\x00\x00", 0),
    (b"MM\x00*\x00\x00\x00\x08", 0),
)


@dataclass(frozen=True, slots=True)
class Found:
    """Where a picture may be: `end` is None where its own end can't be told."""

    mime: str
    start: int
    end: int | None


class Search:
    """Looks for pictures in a part of a file, from front to back.

    Args:
        source: the file.
        start: where to begin.

    Attributes:
        ended: nothing is left that was not searched; False once a limit was met.
    """

    def __init__(self, source: Source, start: int) -> None:
        self._source = source
        self._start = start
        self._end = min(source.size, start + SEARCHED)
        self.ended = True

    def __iter__(self) -> Iterator[Found]:
        """Candidates in ascending order; none begins within one whose end is known."""
        source, at = self._source, self._start
        # The next place of each signature. Each is searched for once, however many are found.
        ahead = [(self._next(i, at), i) for i in range(len(_SIGNATURES))]
        for _ in range(_CANDIDATES):
            place, which = min(ahead)
            if place == source.size:
                self.ended = self.ended and self._end == source.size
                return
            signature, before = _SIGNATURES[which]
            start, after = place - before, place + len(signature)
            mime = media.sniff(source.read(start, 64)) if start >= self._start else ""
            if media.is_picture(mime) and (mime != "image/jpeg" or self._has_scan(start)):
                end = ends.end_of(mime, source, start)
                if source.spent:
                    break
                yield Found(mime, start, end)
                after = end or after
            ahead = [(p if p >= after else self._next(i, after), i) for p, i in ahead]
        self.ended = False

    def _has_scan(self, start: int) -> bool:
        """Whether the header of a JPEG leads to pixels: three bytes are soon found by chance."""
        segments = list(ends.jpeg_segments(self._source, start))
        self.ended = self.ended and len(segments) < ends.SEGMENTS and not self._source.spent
        return bool(segments) and segments[-1][0] == ends.SOS

    def _next(self, which: int, start: int) -> int:
        """Where a signature is next; the file's size if nowhere."""
        found = self._source.find(_SIGNATURES[which][0], start, self._end)
        return found if found >= 0 else self._source.size


def large_enough(width: int, height: int) -> bool:
    """Whether an embedded picture is more than a dot or a rule."""
    return min(width, height) >= _MOST_SMALL
