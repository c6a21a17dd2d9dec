"""A line chart as SVG: what an operation costs over a size, both axes logarithmic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 560, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 168, 40, 44
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2", "#7f7f7f")
_LABEL_HEIGHT = 13.0


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: `lines` maps a label to its points (size, milliseconds)."""

    title: str
    x_label: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def svg(panels: Sequence[Panel]) -> str:
    """Draw panels side by side, two in a row."""
    drawn = [panel for panel in panels if any(panel.lines.values())]
    columns = min(2, max(1, len(drawn)))
    rows = max(1, math.ceil(len(drawn) / columns))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{columns * _WIDTH}" height="{rows * _HEIGHT}" '
        f'viewBox="0 0 {columns * _WIDTH} {rows * _HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{columns * _WIDTH}" height="{rows * _HEIGHT}" fill="white"/>',
    ]
    for index, panel in enumerate(drawn):
        parts.append(f'<g transform="translate({index % columns * _WIDTH},{index // columns * _HEIGHT})">')
        parts.extend(_panel(panel))
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: Panel) -> list[str]:
    points = [point for line in panel.lines.values() for point in line]
    low_x, high_x = _decades([x for x, _ in points])
    low_y, high_y = _decades([y for _, y in points])
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def at_x(value: float) -> float:
        return _LEFT + (math.log10(value) - low_x) / (high_x - low_x) * (right - _LEFT)

    def at_y(value: float) -> float:
        return bottom - (math.log10(value) - low_y) / (high_y - low_y) * (bottom - _TOP)

    parts = [
        f'<text x="{_LEFT}" y="20" font-size="14" font-weight="bold">{escape(panel.title)}</text>',
        f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(panel.x_label)}</text>',
        f'<text transform="translate(14,{(_TOP + bottom) / 2}) rotate(-90)" text-anchor="middle">ms/operation</text>',
    ]
    for exponent in range(low_x, high_x + 1):
        x = at_x(10.0**exponent)
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{10**exponent:,}</text>')
    for exponent in range(low_y, high_y + 1):
        y = at_y(10.0**exponent)
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**exponent:g}</text>')
    lines = [(label, line) for label, line in panel.lines.items() if line]
    labels = _spread([at_y(line[-1][1]) for _, line in lines])
    for index, (label, line) in enumerate(lines):
        colour = _COLOURS[index % len(_COLOURS)]
        path = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.extend(f'<circle cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="3" fill="{colour}"/>' for x, y in line)
        parts.append(f'<text x="{right + 10}" y="{labels[index] + 4:.1f}" fill="{colour}">{escape(label)}</text>')
    return parts


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten around all values, at least one apart."""
    low = math.floor(math.log10(min(values)))
    return low, max(low + 1, math.ceil(math.log10(max(values))))


def _spread(wanted: Sequence[float]) -> list[float]:
    """Where labels stand that want to stand at `wanted`, so that none covers another; in the order given."""
    placed = [0.0] * len(wanted)
    last = -math.inf
    for index in sorted(range(len(wanted)), key=wanted.__getitem__):
        last = placed[index] = max(wanted[index], last + _LABEL_HEIGHT)
    return placed
