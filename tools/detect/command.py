"""Find faces in photos, videos and what a webcam sees.

Example: gluon-mtcnn detect photos/ --model model/seanlinx --json faces.json --draw drawn/

Without an output option the JSON goes to stdout: {"PATH": {"faces": [{"box": [x1, y1, x2, y2], "score": s, "landmarks":
[[x, y], ...]}]}}, boxes in inclusive pixels of the image as decoded, neither rounded nor clipped; of a video {"PATH":
{"fps": f, "frames": [{"index": i, "faces": [...]}]}}. What cannot be read is listed at the end, has {"error": "..."} in
its place, and makes the exit code 2.
"""

from __future__ import annotations

import argparse
import logging
from contextlib import nullcontext

from gluon_mtcnn.core.types import NETS
from gluon_mtcnn.tools.cli.detector_options import DetectorOptions, add_detector_options
from gluon_mtcnn.tools.cli.options import finite_float, fraction, options_from, positive_int
from gluon_mtcnn.tools.detect.chips import DEFAULT_MARGIN
from gluon_mtcnn.tools.detect.frames import Choice
from gluon_mtcnn.tools.detect.output_options import OutputOptions
from gluon_mtcnn.tools.detect.outputs import stdout_file
from gluon_mtcnn.tools.detect.run import DetectOptions, detect_to_files

COMMON = ("num_workers", "quiet")
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="pictures, videos, folders (recursive), globs, or a webcam's index"
    )
    add_detector_options(parser, "the model's own", "detector")
    parser.add_argument("--last-stage", choices=NETS, help="stop after this net (default: the last the model has)")
    parser.add_argument(
        "--max-size",
        type=positive_int,
        metavar="PX",
        help="shrink larger pictures to this longer side before detecting",
    )
    _add_outputs(parser)
    choice = parser.add_argument_group("which faces")
    choice.add_argument(
        "--min-score", type=fraction, default=Choice.min_score, metavar="S", help="drop faces below this score"
    )
    choice.add_argument("--top-k", type=positive_int, metavar="K", help="keep the K best of each picture")
    choice.add_argument("--largest", action="store_true", help="keep the largest face of each picture")
    choice.add_argument("--clip", action="store_true", help="clip boxes to the picture")
    media = parser.add_argument_group("reading")
    media.add_argument(
        "--every",
        type=positive_int,
        default=DetectOptions.every,
        metavar="N",
        help="of videos, take every Nth frame only",
    )
    media.add_argument(
        "--max-frames", type=positive_int, metavar="N", help="take at most N frames of a video or webcam"
    )
    media.add_argument("--no-exif", action="store_true", help="do not turn pictures as their EXIF data say")
    media.add_argument("--strict", action="store_true", help="stop at the first picture that cannot be read")


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    out = parser.add_argument_group("output")
    out.add_argument("--json", metavar="FILE", help="write faces as JSON")
    out.add_argument("--csv", metavar="FILE", help="write one row a face: path, box, score, landmarks")
    out.add_argument("--draw", metavar="DIR", help="write the pictures and videos with faces drawn in")
    out.add_argument("--chips", metavar="DIR", help="write every face as a picture, aligned by its five landmarks")
    out.add_argument(
        "--chip-size", type=positive_int, default=OutputOptions.chip_size, metavar="PX", help="default %(default)s"
    )
    out.add_argument(
        "--chip-margin",
        type=finite_float,
        metavar="F",
        help="chips that are not aligned but squares around the box, F of its side added on each side "
        f"(default without landmarks: {DEFAULT_MARGIN})",
    )
    out.add_argument("--fddb", metavar="FILE", help="write FDDB's text, for evaluate fddb --detections")
    out.add_argument("--wider", metavar="DIR", help="write WIDER's text files, for evaluate wider --detections")
    out.add_argument("--stages", metavar="FILE", help="write the boxes after each net as JSON")


def run(args: argparse.Namespace) -> int:
    """Detect and write; return 0, or 2 when something could not be read."""
    outputs = _output_options(args)
    with nullcontext() if outputs.files() or outputs.folders() else stdout_file() as file:
        result = detect_to_files(_detect_options(args), outputs, file)
    log.info("%d faces in %d of %d inputs", result.faces, result.inputs - len(result.problems), result.inputs)
    for problem in result.problems:
        log.error("%s", problem)
    if result.stopped:
        raise KeyboardInterrupt
    return 2 if result.problems else 0


def _detect_options(args: argparse.Namespace) -> DetectOptions:
    return DetectOptions(
        args.inputs,
        options_from(DetectorOptions, args),
        args.last_stage,
        args.max_size,
        Choice(args.min_score, args.top_k, args.largest, args.clip),
        args.every,
        args.max_frames,
        args.no_exif,
        args.strict,
        args.num_workers,
        args.quiet,
    )


def _output_options(args: argparse.Namespace) -> OutputOptions:
    names = ("json", "csv", "stages", "fddb", "draw", "chips", "wider", "chip_size", "chip_margin")
    return OutputOptions(**{name: getattr(args, name) for name in names})
