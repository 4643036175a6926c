"""DiscROC and ContROC curves of several methods in one figure, and their rates as a table on stdout.

Example: gluon-mtcnn plot roc result published/pico-DiscROC.txt --labels ours Pico --max-fp 1000 --out roc.png
         gluon-mtcnn plot roc result --overlay published --log --out roc.svg

CURVE is a folder that `evaluate fddb` left, or a file whose name says Disc or Cont; the other one is found beside it.
"""

from __future__ import annotations

import argparse

from gluon_mtcnn.tools.cli.options import fraction, positive_int
from gluon_mtcnn.tools.evaluate.roc.curves import tpr_table
from gluon_mtcnn.tools.evaluate.roc.plot import RocPlotOptions, plot_roc

COMMON = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `plot roc`."""
    parser.add_argument("curves", nargs="+", metavar="CURVE", help="folder with DiscROC.txt and ContROC.txt, or a file")
    parser.add_argument("--labels", nargs="+", default=[], metavar="NAME", help="one a method (default: file names)")
    parser.add_argument("--overlay", metavar="DIR", help="folder of published curves, drawn thin below the others")
    parser.add_argument(
        "--max-fp",
        type=positive_int,
        default=RocPlotOptions.max_fp,
        metavar="N",
        help="end of the axis, say 500, 1000 or %(default)s",
    )
    parser.add_argument("--log", action="store_true", help="logarithmic axis of false positives, from 1")
    parser.add_argument(
        "--min-tpr",
        type=fraction,
        default=RocPlotOptions.min_tpr,
        metavar="F",
        help="begin of the rate axis, default %(default)s",
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="figure: png, svg or pdf by its extension")


def run(args: argparse.Namespace) -> int:
    """Draw the figure and print the table."""
    options = RocPlotOptions(args.curves, args.labels, args.overlay, args.max_fp, args.log, args.min_tpr, args.out)
    drawn = plot_roc(options)
    print(tpr_table([*drawn.methods, *drawn.overlay]))
    return 0
