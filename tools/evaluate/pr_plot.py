"""The precision-recall figure of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from gluon_mtcnn.core.files.atomic import PathLike, replacing

# Okabe and Ito's colours are told apart in every common form of colour blindness, the line styles also in grey.
STYLES = (("#0072B2", "-"), ("#D55E00", "--"), ("#009E73", "-."))


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """One line of the figure.

    Attributes
    ----------
    label : str
    precision, recall : (k,)
    point : dict, optional
        An operating point to mark, with ``precision`` and ``recall``; left out where either is None.
    """

    label: str
    precision: np.ndarray
    recall: np.ndarray
    point: Optional[dict] = None


def ap_text(ap: Optional[float]) -> str:
    """Return an average precision as figures and tables show it."""
    return "no faces" if ap is None else f"AP {ap:.4f}"


def plot_precision_recall(path: PathLike, curves: Sequence[PrecisionRecallCurve], title: str) -> None:
    """Draw curves, marked operating points and a legend into a png file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 5.2), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for curve, (color, style) in zip(curves, STYLES):
        drawn = curve.recall > 0  # before the first hit there is no precision to show
        axes.plot(curve.recall[drawn], curve.precision[drawn], style, color=color, lw=2, label=curve.label)
        point = curve.point or {}
        if point.get("precision") is not None and point.get("recall") is not None:
            axes.plot(point["recall"], point["precision"], "o", color=color, ms=8, mec="black", clip_on=False, zorder=3)
    if any(curve.point for curve in curves):
        threshold = next(curve.point for curve in curves if curve.point)["threshold"]
        axes.plot([], [], "o", color="white", ms=8, mec="black", label=f"score > {threshold:g}")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision", title=title)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
