"""AP on WIDER FACE's easy, medium and hard settings by the official protocol, from detections or from photos.

Example: gluon-mtcnn evaluate wider --ground-truth ground_truth --detections detections.json --out result
         gluon-mtcnn evaluate wider --ground-truth ground_truth --images WIDER_val --model model --out result

Leaves wider.json, precision_recall.png, detections.json and evaluation.json in --out. --json gives the same figures
with the processor time of detecting (user and system, children included; reading the photos, not opening the model).
"""

from __future__ import annotations

import argparse

from gluon_mtcnn.tools.cli.detector_options import add_detector_options, options_with_detector
from gluon_mtcnn.tools.cli.options import finite_float
from gluon_mtcnn.tools.evaluate.pr_plot import ap_text
from gluon_mtcnn.tools.evaluate.report_output import add_json_option, report
from gluon_mtcnn.tools.evaluate.wider.protocol import SettingResult
from gluon_mtcnn.tools.evaluate.wider.run import WiderOptions, evaluate_wider

COMMON = ("num_workers", "quiet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``evaluate wider``."""
    parser.add_argument("--ground-truth", required=True, metavar="DIR", help="folder of wider_{face,easy,...}_val.mat")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--detections", metavar="FILE_OR_DIR", help="JSON, or a folder of WIDER's text files")
    source.add_argument("--images", metavar="DIR", help="WIDER_val: find the faces in its photos")
    parser.add_argument("--image-list", metavar="FILE", help="photos to evaluate: names, or a *_bbx_gt.txt")
    parser.add_argument(
        "--missing-as-empty",
        action="store_true",
        help="a photo without entry, without file, or that does not decode counts as one without detections",
    )
    parser.add_argument(
        "--operating-point",
        type=finite_float,
        metavar="SCORE",
        help="also count hits and false positives above this score (with --images: the model's last threshold)",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="where the results go")
    parser.add_argument(
        "--wider", dest="text_out", metavar="DIR", help="also write the detections there, as WIDER's text files"
    )
    add_json_option(parser)
    add_detector_options(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate, write the files and print one line a setting, and one of the processor time."""
    result = evaluate_wider(options_with_detector(WiderOptions, args))
    lines = [_line(setting, at) for setting, at in result.settings.items()]
    if result.processor_time:
        lines.append(result.processor_time.line())
    return report("\n".join(lines), result.report(), args.json)


def _line(setting: str, result: SettingResult) -> str:
    point = result.point
    at = f"  above {point['threshold']:g}: TP {point['TP']}  FP {point['FP']}" if point else ""
    return f"{setting:<6}  {ap_text(result.ap)}  faces {result.faces}{at}"
