"""What each stage of the cascade finds, and thresholds for a target recall.

Example: gluon-mtcnn evaluate stages --wider-images WIDER_val --wider-annotations wider_face_val_bbx_gt.txt
             --model model --out stages --target-recall .97,.95 --write

Each net runs over the photos once, with a low threshold; then its threshold is picked, and the next net gets what
passes it. P: the highest threshold that still finds the first target's share of all counted faces. R: the highest that
keeps the second's share of the faces that P has found. The last net: the best F1, or the lowest threshold that reaches
--target-precision. --thresholds evaluates given thresholds instead. Leaves stages.json, stages.png and
stages_recall.png in --out; --write writes the thresholds into model.json, with --calibrate as the customary ones.
"""

from __future__ import annotations

import argparse

from gluon_mtcnn.core.types import NETS
from gluon_mtcnn.tools.cli.detector_options import add_detector_options, options_with_detector
from gluon_mtcnn.tools.cli.options import finite_float, fraction, three_thresholds
from gluon_mtcnn.tools.data.photos import add_max_left_out
from gluon_mtcnn.tools.evaluate.stages.run import StagesOptions, evaluate_stages
from gluon_mtcnn.tools.evaluate.stages.table import tables

COMMON = ("quiet",)


def recalls(text: str) -> tuple[float, ...]:
    """Parse ``.97,.95``, a target for P and one for R (an argparse type)."""
    values = tuple(fraction(part) for part in text.split(","))
    if len(values) != 2:
        raise argparse.ArgumentTypeError(f"expected two numbers like .97,.95, got {text!r}")
    return values


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``evaluate stages``."""
    parser.add_argument("--wider-images", required=True, metavar="DIR", help="folder of the photos")
    parser.add_argument("--wider-annotations", required=True, metavar="FILE", help="*_bbx_gt.txt, or CSV (suffix .csv)")
    parser.add_argument("--out", required=True, metavar="DIR", help="where the results go")
    parser.add_argument(
        "--target-recall",
        type=recalls,
        default=StagesOptions.target_recall,
        metavar="P,R",
        help="share of all faces that P must find, and of those the share that R must keep; default 0.97,0.95",
    )
    parser.add_argument(
        "--target-precision", type=fraction, metavar="F", help="for the last threshold (default: the best F1)"
    )
    written = parser.add_mutually_exclusive_group()
    written.add_argument("--write", action="store_true", help="write the thresholds into model.json")
    written.add_argument("--write-to", metavar="DIR", help="write a copy of the model with these thresholds")
    parser.add_argument(
        "--calibrate",
        type=three_thresholds,
        metavar="P,R,O",
        help="with --write or --write-to: move the nets' scores so that the thresholds become these, say .6,.7,.7",
    )
    parser.add_argument("--last-stage", choices=NETS, help="evaluate the nets up to this (default: all of the model)")
    parser.add_argument(
        "--ignore",
        default=StagesOptions.ignore,
        metavar="RULE",
        help="WIDER attributes from which a face is ignored, or none; default %(default)s",
    )
    _add_min_size(parser)
    add_max_left_out(parser)
    parser.add_argument(
        "--lowest",
        type=three_thresholds,
        default=StagesOptions.lowest,
        metavar="P,R,O",
        help="where the curves begin, default 0.1,0.01,0.01; lower takes longer",
    )
    add_detector_options(parser, "picked", "detector")


def _add_min_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--min-face-sqrt-area",
        dest="min_sqrt_area",
        type=finite_float,
        metavar="PX",
        help="ignore faces whose square root of the area, sqrt(w h), is below this; default --min-face",
    )
    parser.add_argument(  # the old spelling
        "--min-face-px", dest="min_sqrt_area", type=finite_float, default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate, write the files and print the tables."""
    print(tables(evaluate_stages(options_with_detector(StagesOptions, args)).summary))
    return 0
