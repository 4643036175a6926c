"""The figures of ``evaluate stages``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gluon_mtcnn.core.files.atomic import PathLike, replacing
from gluon_mtcnn.tools.evaluate.stages.counts import Sweep

# Okabe and Ito's colours, told apart in every common form of colour blindness; faint yellow is left out.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
DASHES = ("-", "--", "-.")


def plot_stages(path: PathLike, curves: Mapping[str, Sweep], result: Mapping[str, Any]) -> None:
    """Draw recall over the threshold, a panel a stage, a line a class of size, into a png file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(curves), 4.6), dpi=150, layout="constrained")
    for axes, (kind, curve) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items()):
        for color, (label, recall) in zip(COLORS, curve.recall_by_size.items()):
            axes.plot(curve.thresholds, recall, color=color, lw=1.5, label=f"{label} px")
        axes.plot(curve.thresholds, curve.recall, color="black", lw=2.5, label="all")
        axes.axvline(result["stages"][kind]["threshold"], color="#666666", ls=":", lw=1.5, label="threshold")
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=f"threshold of {kind}", ylabel="recall", title=f"after {kind}")
        axes.grid(alpha=0.3)
        axes.legend(loc="lower left", fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def plot_recall(path: PathLike, curves: Mapping[str, Sweep], result: Mapping[str, Any]) -> None:
    """Draw recall over boxes and over false positives a photo, a line a stage, into a png file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 4.6), dpi=150, layout="constrained")
    panels = (("boxes", "boxes_per_photo", "boxes"), ("false", "false_positives_per_photo", "false positives"))
    for axes, (attribute, key, name) in zip(figure.subplots(1, 2), panels):
        for color, dash, (kind, curve) in zip(COLORS, DASHES, curves.items()):
            at = result["stages"][kind]
            axes.plot(getattr(curve, attribute), curve.recall, dash, color=color, lw=2, label=kind)
            axes.plot(at[key], at["recall"], "o", color=color, mec="black", ms=8, zorder=3)
        axes.set_xscale("symlog", linthresh=0.1)
        axes.set(ylim=(0, 1.02), xlabel=f"{name} a photo", ylabel="recall")
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
