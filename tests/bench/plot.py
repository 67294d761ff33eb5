"""How a cost grows with a size, as a picture: both axes logarithmic."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

_WIDTH, _HEIGHT, _LEFT, _BELOW, _ABOVE = 720, 420, 80, 50, 20
_COLOURS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad")


def growth_plot(
    lines: Mapping[str, Sequence[tuple[int, float]]],
    across: str = "entries",
    label: Callable[[int], str] | None = None,
) -> str:
    """An SVG of lines by name, each of (size, cost).

    Args:
        across: what the sizes are of.
        label: of a power of ten of the cost; as of seconds if it is left out.
    """
    points = [point for line in lines.values() for point in line]
    (x0, x1), (y0, y1) = (_decades([p[i] for p in points]) for i in (0, 1))

    def place(size: float, cost: float) -> tuple[float, float]:
        right = (math.log10(size) - x0) / (x1 - x0)
        up = (math.log10(cost) - y0) / (y1 - y0)
        return _LEFT + right * (_WIDTH - _LEFT - 20), _HEIGHT - _BELOW - up * (_HEIGHT - _BELOW - _ABOVE)

    parts = []
    for x in range(x0, x1 + 1):
        at, _ = place(10**x, 10.0**y0)
        parts.append(f'<path d="M{at:.0f} {_ABOVE}V{_HEIGHT - _BELOW}" stroke="#ddd"/>')
        parts.append(_text(at, _HEIGHT - _BELOW + 18, f"{10**x:,}", "middle"))
    for y in range(y0, y1 + 1):
        _, at = place(10**x0, 10.0**y)
        parts.append(f'<path d="M{_LEFT} {at:.0f}H{_WIDTH - 20}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 8, at + 4, (label or _seconds)(y), "end"))
    for i, (name, line) in enumerate(lines.items()):
        colour = _COLOURS[i % len(_COLOURS)]
        if line:
            way = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
            parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(_LEFT + 12, _ABOVE + 16 + 16 * i, name, "start", colour))
    parts.append(_text((_LEFT + _WIDTH) / 2, _HEIGHT - 10, across, "middle"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" font-size="12">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>", ""])


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _seconds(decade: int) -> str:
    for power, unit in ((0, "s"), (-3, "ms"), (-6, "us"), (-9, "ns")):
        if decade >= power:
            return f"{10 ** (decade - power)} {unit}"
    return f"1e{decade} s"


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#333") -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-family="sans-serif" '
        f'fill="{colour}">{text}</text>'
    )
