"""Line charts as SVG text for a page: they take the page's colours and stay sharp on a phone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.tools.report.page import escape

WIDTH, HEIGHT = 400, 270
LEFT, RIGHT, TOP, BOTTOM = 54, 12, 10, 42  # room for the axes
COLORS, DASHES = 7, 4  # classes of the style sheet; no common divisor, so 28 different lines
STEP = 0.5  # of a unit: points nearer than that to the one before are left out


@dataclass(frozen=True)
class Line:
    """A line of a chart: its name, its points (n,), in order, and the index of a point to mark."""

    label: str
    x: Any
    y: Any
    mark: Optional[int] = None


@dataclass(frozen=True)
class Axis:
    """An axis: its name, its ends (default: round numbers around the data), logarithmic or not, whole numbers only."""

    label: str
    low: Optional[float] = None
    high: Optional[float] = None
    log: bool = False
    whole: bool = False


def line_chart(title: str, lines: Sequence[Line], x: Axis, y: Axis) -> str:
    """Return a figure with lines, axes, legend and title; no figure where there is nothing to draw.

    Points that are not finite, or not positive on a logarithmic axis, are left out.
    """
    clean = [_finite(line, x.log) for line in lines]
    kept = [line for line in clean if len(line.x)]
    if not kept:
        return ""
    across = _Scale(x, [line.x for line in kept], LEFT, WIDTH - RIGHT)
    up = _Scale(y, [line.y for line in kept], HEIGHT - BOTTOM, TOP)
    names = ", ".join(line.label for line in kept)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{title}: {names}")}">',
        *_axes(across, up, x.label, y.label),
        *(_path(line, i, across, up) for i, line in enumerate(kept)),
        *(_mark(line, i, across, up) for i, line in enumerate(kept) if line.mark is not None),
        "</svg>",
    ]
    keys = "".join(f"<li>{_key(i)}{escape(line.label)}</li>" for i, line in enumerate(kept))
    legend = f'<ul class="legend">{keys}</ul>' if len(kept) > 1 else ""
    return f"<figure><figcaption>{escape(title)}</figcaption>{''.join(parts)}{legend}</figure>"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers from low to high: steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return the powers of ten from low to high; with 2 and 5 times them where there are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if len(powers) > 3 else (1, 2, 5)
    values = (factor * 10.0**power for power in powers for factor in factors)
    return [value for value in values if low * 0.999 <= value <= high * 1.001]


class _Scale:
    """From numbers to places on the page."""

    def __init__(self, axis: Axis, data: Sequence[np.ndarray], start: float, end: float) -> None:
        values = np.concatenate(data)
        low = float(values.min()) if axis.low is None else axis.low
        high = float(values.max()) if axis.high is None else axis.high
        if not high > low:
            pad = 1.0 if axis.whole else abs(low) * 0.1 or 1.0
            low, high = (low / 2, low * 2) if axis.log else (low - pad, high + pad)
        if not (axis.log or axis.whole):
            round_numbers = ticks(low, high)
            step = round_numbers[1] - round_numbers[0] if len(round_numbers) > 1 else 0
            low = round_numbers[0] - step * (round_numbers[0] > low + step / 1e6) if axis.low is None else low
            high = round_numbers[-1] + step * (round_numbers[-1] < high - step / 1e6) if axis.high is None else high
        self.low, self.high, self.log, self.start, self.end = low, high, axis.log, start, end
        self.whole = axis.whole

    def __call__(self, values: Any) -> np.ndarray:
        values = np.clip(np.asarray(values, np.float64), self.low, self.high)
        low, high = self.low, self.high
        if self.log:
            values, low, high = np.log(values), math.log(low), math.log(high)
        return self.start + (values - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        values = log_ticks(self.low, self.high) if self.log else ticks(self.low, self.high)
        return [value for value in values if not self.whole or value == round(value)]


def _finite(line: Line, log: bool) -> Line:
    x, y = np.asarray(line.x, np.float64), np.asarray(line.y, np.float64)
    good = np.isfinite(x) & np.isfinite(y) & ((x > 0) | (not log))
    mark = None if line.mark is None or not good[line.mark] else int(np.count_nonzero(good[: line.mark]))
    return Line(line.label, x[good], y[good], mark)


def _axes(across: _Scale, up: _Scale, xlabel: str, ylabel: str) -> list[str]:
    parts = []
    for value in up.ticks():
        place = float(up(value))
        parts.append(f'<path class="rule" d="M{LEFT} {place:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="soft" x="{LEFT - 6}" y="{place + 4:.1f}" text-anchor="end">{value:.4g}</text>')
    for value in across.ticks():
        place = float(across(value))
        parts.append(f'<path class="rule" d="M{place:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(
            f'<text class="soft" x="{place:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{value:.4g}</text>'
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle:g}" y="{HEIGHT - 8}" text-anchor="middle">{escape(xlabel)}</text>')
    turned = f'transform="rotate(-90) translate({-(TOP + HEIGHT - BOTTOM) / 2:g} 12)"'
    parts.append(f'<text {turned} text-anchor="middle">{escape(ylabel)}</text>')
    return parts


def _style(index: int) -> str:
    return f"c{index % COLORS} d{index % DASHES}"


def _path(line: Line, index: int, across: _Scale, up: _Scale) -> str:
    places = np.round(np.stack([across(line.x), up(line.y)], axis=1) / STEP) * STEP
    new = np.append(True, (np.diff(places, axis=0) != 0).any(axis=1))
    points = " ".join(f"{x:g},{y:g}" for x, y in places[new].tolist())
    if np.count_nonzero(new) == 1:  # a line of one point would not be seen
        return _dot(places[0], index)
    return f'<polyline class="line {_style(index)}" points="{points}"/>'


def _mark(line: Line, index: int, across: _Scale, up: _Scale) -> str:
    return _dot(np.array([across(line.x[line.mark]), up(line.y[line.mark])]), index)


def _dot(place: np.ndarray, index: int) -> str:
    return f'<circle class="dot c{index % COLORS}" cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="5"/>'


def _key(index: int) -> str:
    return f'<svg viewBox="0 0 32 11" aria-hidden="true"><path class="line {_style(index)}" d="M1 6H31"/></svg>'
