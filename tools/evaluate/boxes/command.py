"""AP, recall and false positives on photos of one's own, annotated as WIDER's text or as CSV.

Example: gluon-mtcnn evaluate boxes --annotations faces.csv --images photos --model model --out result

A face is found by a box with IoU of at least 0.5; a second box on it is a false positive. Ignored faces count neither
as found nor as false. AP is the area under the curve over all scores; recall and false positives are those above the
model's own last threshold. Leaves boxes.json, precision_recall.png, detections.json and evaluation.json in --out.
"""

from __future__ import annotations

import argparse

from gluon_mtcnn.tools.cli.detector_options import add_detector_options, options_with_detector
from gluon_mtcnn.tools.cli.options import finite_float, non_negative_int
from gluon_mtcnn.tools.data.photos import add_max_left_out
from gluon_mtcnn.tools.evaluate.boxes.run import BoxesOptions, evaluate_boxes
from gluon_mtcnn.tools.evaluate.pr_plot import ap_text
from gluon_mtcnn.tools.evaluate.report_output import add_json_option, report

COMMON = ("num_workers", "quiet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``evaluate boxes``."""
    parser.add_argument("--annotations", required=True, metavar="FILE", help="WIDER text, or CSV (suffix .csv)")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--images", metavar="DIR", help="folder that the annotated paths start from")
    source.add_argument("--detections", metavar="FILE", help="evaluate these (JSON) instead of detecting")
    parser.add_argument(
        "--missing-as-empty",
        action="store_true",
        help="a photo without entry, without file, or that does not decode counts as one without detections",
    )
    parser.add_argument(
        "--ignore",
        default=BoxesOptions.ignore,
        metavar="RULE",
        help="WIDER attributes from which a face is ignored, or none; default %(default)s",
    )
    _add_min_side(parser)
    add_max_left_out(parser)
    parser.add_argument(
        "--operating-point",
        type=finite_float,
        metavar="SCORE",
        help="recall and false positives above this score (default: the model's last threshold; with --detections all)",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="where the results go")
    add_json_option(parser)
    add_detector_options(parser)


def _add_min_side(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--min-face-shorter-side",
        dest="min_shorter_side",
        type=non_negative_int,
        default=BoxesOptions.min_shorter_side,
        metavar="PX",
        help="ignore faces whose shorter side is below this",
    )
    parser.add_argument(  # the old spelling
        "--min-face-px",
        dest="min_shorter_side",
        type=non_negative_int,
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate, write the files and print one line, and one of the processor time."""
    result = evaluate_boxes(options_with_detector(BoxesOptions, args))
    summary, taken = result.summary, result.processor_time
    recall = "" if summary["recall"] is None else f"  recall {summary['recall']:.4f}"
    figures = f"false positives {summary['false_positives']}  faces {summary['faces']}"
    line = f"{ap_text(summary['AP'])}{recall}  {figures}"
    return report(line + (f"\n{taken.line()}" if taken else ""), result.report(), args.json)
