"""FDDB's DiscROC and ContROC, digit for digit as the official program writes them, and box AP fold by fold.

Example: gluon-mtcnn evaluate fddb --folds FDDB-folds --detections MTCNN.txt --image-sizes image_sizes.txt --out result
         gluon-mtcnn evaluate fddb --folds FDDB-folds --images originalPics --model model --out result

Detections are FDDB text files: image name, count, then `left top width height score` or, for ellipses,
`major minor angle center_x center_y score`. Leaves DiscROC.txt, ContROC.txt, ap.json and detections.txt in --out;
`plot roc` draws them.
"""

from __future__ import annotations

import argparse

from gluon_mtcnn.tools.cli.detector_options import add_detector_options, options_with_detector
from gluon_mtcnn.tools.evaluate.fddb.matcher import FALLBACK_SIZE, MATCHERS
from gluon_mtcnn.tools.evaluate.fddb.run import FddbOptions, evaluate_fddb
from gluon_mtcnn.tools.evaluate.report_output import add_json_option, report
from gluon_mtcnn.tools.evaluate.roc.curves import Method, tpr_table

COMMON = ("num_workers", "quiet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `evaluate fddb`."""
    parser.add_argument(
        "--folds", required=True, metavar="DIR", help="FDDB-fold-01.txt, FDDB-fold-01-ellipseList.txt, ..."
    )
    parser.add_argument(
        "--detections", metavar="FILE_OR_DIR", help="one file, or a folder with fold-01-out.txt, ...; any order"
    )
    parser.add_argument(
        "--images", metavar="DIR", help="the photos: a detector runs on them, or with --detections only sizes are read"
    )
    parser.add_argument(
        "--image-sizes",
        metavar="FILE",
        help="lines of `name width height` (default: from --images, otherwise {}x{} for all)".format(*FALLBACK_SIZE),
    )
    parser.add_argument(
        "--missing-as-empty",
        action="store_true",
        help="an image without entry, without file, or that does not decode counts as one without detections",
    )
    parser.add_argument(
        "--matcher",
        choices=MATCHERS,
        default=FddbOptions.matcher,
        help="match for the greatest total IoU, or as the official program does, byte for byte (default: %(default)s)",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the results")
    add_json_option(parser)
    add_detector_options(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate, write the files, print the rates that people quote and the processor time."""
    result = evaluate_fddb(options_with_detector(FddbOptions, args))
    mean = result.mean_ap
    lines = [
        tpr_table([Method("this detector", result.disc, result.cont)]),
        f"matcher: {result.matcher}",
        f"mean AP of {len(result.ap)} folds: " + ("no face" if mean is None else f"{mean:.4f}"),
    ]
    if result.processor_time:
        lines.append(result.processor_time.line())
    return report("\n".join(lines), result.report(), args.json)
