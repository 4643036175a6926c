"""The figure of ROC curves: several methods, and published ones below them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, replacing
from gluon_mtcnn.tools.cli.options import existing_dir
from gluon_mtcnn.tools.evaluate.roc.curves import Method, curves_in, read_methods

# Okabe and Ito's colours without yellow, which is too faint on white. 7 colours and 4 line styles have no common
# divisor, so going round both gives 28 different lines, neighbours differing in both.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("-", "--", "-.", ":")
FORMATS = (".png", ".svg", ".pdf")
PANELS = (("disc", "Discrete score", "True positive rate"), ("cont", "Continuous score", "IoU per face"))


@dataclass(frozen=True)
class RocPlotOptions:
    """Which curves to draw, and how.

    Attributes
    ----------
    curves : sequence of paths
        Folders with DiscROC.txt and ContROC.txt, or such files; the other one is looked for beside a file.
    labels : sequence of str
        One a method; default: from the names of the files.
    overlay : path, optional
        Folder of published curves, drawn thin below the others.
    max_fp : int
        Right end of the axis of false positives.
    log : bool
        Logarithmic axis of false positives, which begins at 1 instead of 0.
    min_tpr : float
        Lower end of the axis of rates.
    out : path, optional
        Figure to write, ``.png``, ``.svg`` or ``.pdf``. Default: none.
    """

    curves: Sequence[PathLike]
    labels: Sequence[str] = ()
    overlay: Optional[PathLike] = None
    max_fp: int = 2000
    log: bool = False
    min_tpr: float = 0
    out: Optional[PathLike] = None


@dataclass(frozen=True)
class RocPlot:
    """The curves that were drawn.

    Attributes
    ----------
    methods, overlay : lists of Method
    """

    methods: list[Method]
    overlay: list[Method]


def plot_roc(options: RocPlotOptions) -> RocPlot:
    """Read curves, and draw them where a file is named.

    Raises
    ------
    InputError
        A curve is missing or not of its form, labels do not fit, or the figure's format is not known.
    """
    if options.out is not None and Path(options.out).suffix.lower() not in FORMATS:
        raise InputError(f"{options.out}: expected a file name that ends in .png, .svg or .pdf")
    methods = read_methods(options.curves, options.labels)
    overlay = options.overlay
    below = [] if overlay is None else read_methods(curves_in(existing_dir(str(overlay), "folder of curves")))
    if options.out is not None:
        draw_roc(options.out, methods, below, options.max_fp, options.log, options.min_tpr)
    return RocPlot(methods, below)


def draw_roc(
    path: PathLike,
    methods: Sequence[Method],
    overlay: Sequence[Method] = (),
    max_fp: float = 2000,
    log: bool = False,
    min_tpr: float = 0,
) -> None:
    """Draw a panel for each kind of curve that some method has.

    Parameters
    ----------
    path : str or path
        ``.png``, ``.svg`` or ``.pdf``; the same curves give the same bytes.
    methods : sequence of Method
        Drawn thick, on top.
    overlay : sequence of Method
        Drawn thin.
    max_fp : float
        Right end of the axis of false positives.
    log : bool
        Logarithmic axis, which begins at 1 instead of 0.
    min_tpr : float
        Lower end of the axis of rates.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    panels = [panel for panel in PANELS if any(getattr(method, panel[0]) for method in (*methods, *overlay))]
    lines = len(methods) + len(overlay)
    with rc_context({"svg.hashsalt": "roc", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(5.6 * len(panels), 4.6 + 0.2 * -(-lines // 4)), dpi=150, layout="constrained")
        for axes, (kind, title, ylabel) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
            _draw_curves(axes, kind, methods, overlay, max_fp, log)
            axes.set(title=title, xlabel="False positives", ylabel=ylabel, ylim=(min_tpr, 1))
        handles = _legend_handles(methods, overlay)
        figure.legend(handles=handles, loc="outside lower center", ncols=min(4, lines), frameon=False, handlelength=3.2)
        _save(figure, Path(path))


def _style(index: int, thick: bool) -> dict[str, Any]:
    color, dash = COLORS[index % len(COLORS)], DASHES[index % len(DASHES)]
    return {"color": color, "linestyle": dash, "linewidth": 2.4 if thick else 1.2, "zorder": 3 if thick else 2}


def _draw_curves(
    axes: Any, kind: str, methods: Sequence[Method], overlay: Sequence[Method], max_fp: float, log: bool
) -> None:
    left = 1 if log else 0
    for index, method in enumerate((*methods, *overlay)):
        curve = getattr(method, kind)
        if curve is not None:
            x, y = curve.points(max_fp, left)
            alone = "o" if len(x) == 1 else None  # a line of one point would not be seen
            axes.plot(x, y, marker=alone, **_style(index, index < len(methods)))
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(left, max(max_fp, left + 1))
    axes.grid(alpha=0.3)


def _legend_handles(methods: Sequence[Method], overlay: Sequence[Method]) -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], label=method.label, **_style(index, index < len(methods)))
        for index, method in enumerate((*methods, *overlay))
    ]


def _save(figure: Any, path: Path) -> None:
    kind = path.suffix.lower()[1:]
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]  # no date: same bytes again
    with replacing(path) as temporary:
        figure.savefig(temporary, format=kind, metadata=metadata)
