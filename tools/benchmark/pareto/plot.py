"""The figure of a comparison: mean AP over processor time a photo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gluon_mtcnn.core.files.atomic import PathLike, replacing
from gluon_mtcnn.tools.benchmark.pareto.measured import Point

# Okabe and Ito's colours are told apart in every common form of colour blindness, the markers also in grey.
STYLES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#E69F00", "v"), ("#56B4E9", "P"))
NAMED = 12  # most points that are labelled one by one; of more, those on the front are


def plot_points(path: PathLike, points: Sequence[Point], places: Sequence[int]) -> None:
    """Draw the points, a colour for each group, and a line through those on the front."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    figure = Figure(figsize=(8, 5.6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    shown = [i for i, point in enumerate(points) if point.mean_ap is not None]
    groups = list(dict.fromkeys(points[i].group for i in shown))
    for number, group in enumerate(groups):
        color, marker = STYLES[number % len(STYLES)]
        own = [points[i] for i in shown if points[i].group == group]
        axes.plot(
            [point.processor_ms for point in own],
            [point.mean_ap for point in own],
            marker,
            color=color,
            ms=6,
            label=group,
        )
    front = [points[i] for i in places]
    axes.plot([p.processor_ms for p in front], [p.mean_ap for p in front], "-", color="grey", lw=1, zorder=0)
    for i in shown if len(shown) <= NAMED else places:
        text = points[i].label.removeprefix(points[i].group).strip()
        axes.annotate(
            text, (points[i].processor_ms, points[i].mean_ap), (4, -8), textcoords="offset points", fontsize=7
        )
    axes.set(xscale="log", xlabel="processor time a photo, ms", ylabel="mean AP")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.grid(alpha=0.3, which="both")
    axes.margins(x=0.1)
    axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, format=Path(path).suffix[1:].lower() or "png")
