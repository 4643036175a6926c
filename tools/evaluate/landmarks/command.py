"""Error of the five landmarks on annotated photos: their mean distance over the inter-ocular distance.

Example: gluon-mtcnn evaluate landmarks --landmark-images images --landmark-annotations testImageList.txt
         --model model --out result

The detector searches the whole photo. Of its detections the one with the greatest IoU with the annotated box counts.
None, or an IoU below 0.4, is a miss, left out of the errors and reported. Leaves landmarks.json and landmarks.png.
"""

from __future__ import annotations

import argparse

from gluon_mtcnn.tools.cli.detector_options import add_detector_options, options_with_detector
from gluon_mtcnn.tools.data.photos import add_max_left_out
from gluon_mtcnn.tools.evaluate.landmarks.run import THRESHOLDS, LandmarkOptions, evaluate_landmarks
from gluon_mtcnn.tools.evaluate.report_output import add_json_option, report

COMMON = ("num_workers", "quiet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``evaluate landmarks``."""
    parser.add_argument("--landmark-images", required=True, metavar="DIR", help="folder that listed paths start from")
    parser.add_argument("--landmark-annotations", required=True, metavar="FILE", help="list of CNN_FacePoint or CelebA")
    parser.add_argument(
        "--missing-as-empty",
        action="store_true",
        help="the faces of a photo without file, or that does not decode, count as misses",
    )
    add_max_left_out(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="where the results go")
    add_json_option(parser)
    add_detector_options(parser, ",".join(map(str, THRESHOLDS)), "detector")


def run(args: argparse.Namespace) -> int:
    """Evaluate, write the files and print one line, and one of the processor time."""
    result = evaluate_landmarks(options_with_detector(LandmarkOptions, args))
    lines = [f"{result.figures()}  missed {result.missed} of {result.n}"]
    if result.processor_time:
        lines.append(result.processor_time.line())
    return report("\n".join(lines), result.report(), args.json)
