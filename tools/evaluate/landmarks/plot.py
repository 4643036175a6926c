"""The figure of ``evaluate landmarks``."""

from __future__ import annotations

import numpy as np

from gluon_mtcnn.core.files.atomic import PathLike, replacing
from gluon_mtcnn.tools.evaluate.landmarks.errors import FAILURE


def plot_errors(path: PathLike, errors: np.ndarray, title: str, limit: float = 0.2) -> None:
    """Draw the share of all faces, misses included, whose error is at most x, into a png file.

    Parameters
    ----------
    path : path
    errors : (n,)
        NaN for a miss.
    title : str
    limit : float
        Right end of the axis.
    """
    from matplotlib.figure import Figure

    found = np.sort(errors[~np.isnan(errors)])
    share = np.arange(len(found) + 1) / max(len(errors), 1)
    figure = Figure(figsize=(6.4, 4.6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.step(np.concatenate([[0], found, [max(limit, 1)]]), [*share, share[-1]], where="post", color="#0072B2", lw=2)
    axes.axvline(FAILURE, color="#D55E00", ls="--", lw=1.2, label=f"counts as failed above {FAILURE:g}")
    axes.set(xlim=(0, limit), ylim=(0, 1.02), title=title)
    axes.set(xlabel="error / inter-ocular distance", ylabel="share of the annotated faces")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
