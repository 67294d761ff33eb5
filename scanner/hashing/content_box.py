"""Where the picture proper lies in a picture: without uniform borders, letterbox bars, screen furniture.

A line of a border is flat: of one colour all along. So are the lines between a caption's or a tool bar's
lines of text, where a photograph's lines hardly ever are. The box is what is left when the picture is cut
at its flat rows, then what is kept at its flat columns, and so on until nothing changes, the longest piece
being kept each time (the recursive X-Y cut of document analysis: Nagy and Seth, 1984).

An edge counts only where most of the line changes at once: the sky over a skyline is flat, too. Where it
doesn't, that side stays as it was. A picture may have flat lines within, and at its edges the colour of the
bars. So there is a second reading: only lines of the outermost colours are a border, and less has to change
at its end. And a third: bars at opposite sides are of one width. Mostly all three are the same box.

Only some pixels of each line are looked at, but each line is: edges have to be right to a few thousandths of
the side for PDQ to agree.

Here are only numbers. `scanner.hashing.pdq_numbers` says why.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.uint8]

NAMES = ("box", "boxb", "boxc")  # before the family, of views of the first, second and third box
SAMPLES = 128  # pixels of a line that are looked at, evenly spread
_FLAT = (
    3  # levels around its middle that nearly all pixels of a flat line have: what JPEG leaves of one colour
)
_NEARLY_ALL = 0.95
_PROBES = 7
_MOST_CHANGE, _FEW_CHANGE = 0.4, 0.1  # of a line, which becomes another colour at an edge
_BLUR = 10  # lines at an edge that may be neither: those of a block of JPEG, and of scaling
_ABRUPT = 3  # lines in which the change at an edge happens: a skyline takes longer
OUTERMOST = 3  # lines at each side, of which one is flat where there is anything to cut
_ENDS = 8  # of a border, at most, that are tried
_ROUNDS = 4
_LEAST_CUT, _LEAST_LEFT = 0.01, 0.12  # of the area: less than the first is no other picture to PDQ
_SMALLEST = 32  # pixels of a side that are left at least
_EMPTY = 0.8  # of the lines of a bar in which nothing is
_SAME = 0.004  # of a side, within which two boxes have the same hash or nearly


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a picture, in pixels as decoded: columns left..right and rows top..bottom, ends excluded."""

    left: int
    top: int
    right: int
    bottom: int


def seen_in(name: str, view: str) -> bool:
    """Whether the second and third box are seen in a view, too: in turned ones only the first is."""
    return name == NAMES[0] or "." not in view


def content_boxes(rows: Samples, columns: Samples) -> tuple[Box, ...]:
    """The boxes that a picture may have, the likeliest first; none where it has nothing to cut off. Asked
    only where `flat_ends` is true.

    Args:
        rows: height x min(width, SAMPLES): every row, some pixels of each, in grey.
        columns: width x min(height, SAMPLES): every column likewise.
    """
    if min(len(rows), len(columns)) < _SMALLEST:
        return ()
    found: list[Box] = []
    _add(found, _box(rows, columns, _Reading(False, _MOST_CHANGE, _ROUNDS)), rows, columns)
    reading = _Reading(True, _FEW_CHANGE, 1)
    outer = _box(rows, columns, reading)
    _add(found, outer, rows, columns)
    if _nothing_but(reading, rows[: outer.top], rows[outer.bottom :]):
        _add(found, _centred(outer, rows, columns, reading), rows, columns)
    return tuple(found)


def content_boxes_of_small(grey: Samples) -> tuple[Box, ...]:
    """The boxes of a picture of at most SAMPLES pixels a side, from all of them."""
    k = min(OUTERMOST, *grey.shape)
    if not flat_ends(grey[:k], grey[-k:], grey[:, :k].T, grey[:, -k:].T):
        return ()
    return content_boxes(grey, grey.T)


@dataclass(frozen=True, slots=True)
class _Reading:
    """How lines are read: what is taken for a border, and for its end.

    Attributes:
        outermost: only lines of a colour that the first or the last has; else flat ones of any colour.
        changes: the part of a line that becomes another colour at an edge, at least.
        rounds: how often rows and then columns are looked at.
    """

    outermost: bool
    changes: float
    rounds: int

    def border(self, lines: Samples) -> NDArray[np.bool_]:
        """Which of some lines may be of a border."""
        lowest, flat = _flat(lines)
        if not self.outermost or not flat.any():
            return flat
        near = np.zeros(len(flat), dtype=bool)
        middle = lowest.astype(np.int16) + _FLAT
        for end in (0, -1):
            if flat[end]:
                near |= np.abs(middle - np.median(lines[end])) <= _FLAT
        return np.asarray(flat & near)


def _box(rows: Samples, columns: Samples, reading: _Reading) -> Box:
    height, width = rows.shape[0], columns.shape[0]
    top, bottom, left, right = 0, height, 0, width
    for _ in range(reading.rounds):
        before = top, bottom, left, right
        top, bottom = _longest(rows[:, _sampled(left, right, width)], top, bottom, reading)
        left, right = _longest(columns[:, _sampled(top, bottom, height)], left, right, reading)
        if before == (top, bottom, left, right):
            break
    return Box(left, top, right, bottom)


def _nothing_but(reading: _Reading, *bars: Samples) -> bool:
    """Whether bars are empty: without text, and without a part of the picture."""
    return all(reading.border(bar).mean() >= _EMPTY for bar in bars if len(bar))


def _centred(box: Box, rows: Samples, columns: Samples, reading: _Reading) -> Box:
    """As if bars at opposite sides were of one width: a picture's own edge may be as dark as the bar is."""
    top, bottom = _same_bars(box.top, box.bottom, rows, reading)
    left, right = _same_bars(box.left, box.right, columns, reading)
    return Box(left, top, right, bottom)


def _same_bars(start: int, end: int, lines: Samples, reading: _Reading) -> tuple[int, int]:
    """What is between two bars of one width: of the narrower one's, or of the other's if it wasn't found."""
    count = len(lines)
    bars = start, count - end
    if not all(bars) and not reading.border(lines[[0, -1]]).all():
        return start, end
    bar = min(bars) or max(bars)
    return (bar, count - bar) if 2 * bar < count else (start, end)


def _add(found: list[Box], box: Box, rows: Samples, columns: Samples) -> None:
    """Add a box if something is cut off, enough is left, and it isn't known."""
    width, height = box.right - box.left, box.bottom - box.top
    kept = width * height / (len(rows) * len(columns))
    if not _LEAST_LEFT <= kept <= 1 - _LEAST_CUT or min(width, height) < _SMALLEST:
        return
    for other in found:
        across = max(abs(box.left - other.left), abs(box.right - other.right)) / width
        if max(across, max(abs(box.top - other.top), abs(box.bottom - other.bottom)) / height) < _SAME:
            return
    found.append(box)


def flat_ends(*ends: Samples) -> bool:
    """Whether anything could be cut off: whether a line at one of the ends is flat.

    Args:
        ends: the outermost lines of each side, `OUTERMOST` or fewer, each a row of its own.
    """
    places = np.arange(1, 2 * SAMPLES, 2)
    lines = [end[:, places * end.shape[1] // (2 * SAMPLES)] for end in ends]
    return bool(_flat(np.concatenate(lines))[1].any())


def _flat(lines: Samples) -> tuple[Samples, NDArray[np.bool_]]:
    """For each line the darkest that a pixel may be, and whether nearly all its pixels are of one colour."""
    # Where they have, the middle one of a few has it, too; sorting all would take most of the time.
    few = np.sort(lines[:, np.arange(1, 2 * _PROBES, 2) * lines.shape[1] // (2 * _PROBES)], axis=1)
    lowest = np.clip(few[:, _PROBES // 2], _FLAT, 255 - _FLAT) - np.uint8(_FLAT)
    near = lines - lowest[:, None] <= 2 * _FLAT  # of bytes: what is darker than the lowest becomes large
    return lowest, np.asarray(np.count_nonzero(near, axis=1) >= _NEARLY_ALL * lines.shape[1])


def _sampled(start: int, end: int, side: int) -> slice:
    """The samples that lie between two pixels of a side."""
    count = min(side, SAMPLES)
    # Sample i is pixel floor((i + 1/2) side / count).
    first = -(-(start * count * 2 - side) // (2 * side))
    last = -(-(end * count * 2 - side) // (2 * side))
    return slice(max(first, 0), max(last, first + 1, 1))


def _longest(lines: Samples, start: int, end: int, reading: _Reading) -> tuple[int, int]:
    """The longest run without lines of a border between two lines, where it ends at edges."""
    flat = np.flatnonzero(reading.border(lines[start:end])) + start
    if not flat.size:
        return start, end
    bounds = np.concatenate(([start - 1], flat, [end]))
    i = int(np.argmax(np.diff(bounds)))
    first, last = int(bounds[i]) + 1, int(bounds[i + 1])
    first_kept = start + _cut(lines[start : min(first + _BLUR, last)], first - start, reading)
    last_kept = end - _cut(lines[max(last - _BLUR, first) : end][::-1], end - last, reading)
    return first_kept, last_kept


def _cut(lines: Samples, outside: int, reading: _Reading) -> int:
    """How many lines to cut off at one side: all outside, else up to another end of a border, else none.

    Args:
        lines: those outside the longest run, from the outermost on, and some of the run.
        outside: how many lie outside.
    """
    if not outside:
        return 0
    # A picture may begin with flat lines of its own, of another colour than the border.
    middle = int(np.median(lines[0]))
    other = np.flatnonzero(np.abs(lines[:outside].astype(np.int16) - middle).mean(axis=1) > _FLAT)
    if reading.outermost:  # the bar may go on after some text
        ends = other[np.diff(other, prepend=-1) > 1][: -_ENDS - 1 : -1]
    else:
        ends = other[:1]
    for border in (outside, *map(int, ends)):
        edge = _edge(lines[border - 1 : border + _BLUR], reading.changes) if border else None
        if edge is not None:
            return border - 1 + edge
    return 0


def _edge(lines: Samples, least: float) -> int | None:
    """How many lines belong to the border, which is the first; None if it doesn't end here at once."""
    apart = np.abs(lines[1:].astype(np.int16) - int(np.median(lines[0])))
    changed = (apart > 2 * _FLAT).mean(axis=1)
    before = np.concatenate((np.zeros(_ABRUPT), changed))[: changed.size]
    if (changed - before).max(initial=0.0) < least:
        return None
    # Rings and blur come before the edge: it is where half of the change has been made.
    step = apart.mean(axis=1)
    return 1 + int(np.argmax(step >= step.max() / 2))
