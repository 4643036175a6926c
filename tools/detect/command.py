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
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Optional

import cv2
import numpy as np
from tqdm import tqdm

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import replacing_text
from gluon_mtcnn.core.files.threads import map_clones
from gluon_mtcnn.core.ops.boxes import area, clip, rescale
from gluon_mtcnn.core.types import NETS, Detections
from gluon_mtcnn.tools.cli.detector_options import DetectorOptions, add_detector_options, open_model
from gluon_mtcnn.tools.cli.options import finite_float, fraction, output_dir, output_file, positive_int
from gluon_mtcnn.tools.detect.chips import CHIP_SIZE, DEFAULT_MARGIN
from gluon_mtcnn.tools.detect.media import Frame, Source, count_frames, find_sources, quiet_opencv, read_frames
from gluon_mtcnn.tools.detect.outputs import (
    CsvOutput,
    FddbOutput,
    Found,
    JsonOutput,
    Output,
    Outputs,
    WiderOutput,
    check_files,
    faces_entry,
    stages_entry,
    stdout_file,
)
from gluon_mtcnn.tools.detect.pictures import ChipsOutput, DrawOutput

log = logging.getLogger(__name__)
FILES = ("json", "csv", "stages", "fddb")  # options that name a file
MOST_CHIP_SIZE = 4096  # a chip is 3 bytes a pixel, and a picture's chips are in memory together
FOLDERS = ("draw", "chips", "wider")  # options that name a folder


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
    choice.add_argument("--min-score", type=fraction, default=0, metavar="S", help="drop faces below this score")
    choice.add_argument("--top-k", type=positive_int, metavar="K", help="keep the K best of each picture")
    choice.add_argument("--largest", action="store_true", help="keep the largest face of each picture")
    choice.add_argument("--clip", action="store_true", help="clip boxes to the picture")
    media = parser.add_argument_group("reading")
    media.add_argument(
        "--every", type=positive_int, default=1, metavar="N", help="of videos, take every Nth frame only"
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
    out.add_argument("--chips", metavar="DIR", help="write every face as a picture, aligned by its five points")
    out.add_argument("--chip-size", type=positive_int, default=CHIP_SIZE, metavar="PX", help="default %(default)s")
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
    """Detect; return 0, or 2 when something could not be read."""
    quiet_opencv()
    _check_outputs(args)
    sources = find_sources(args.inputs, [folder for folder in (args.draw, args.chips) if folder])
    check_files({f"--{name}": getattr(args, name) for name in FILES if getattr(args, name)}, sources)
    alone = len(sources) == 1  # one named input that is bad ends the command
    if sources[0].problem and (alone or args.strict):
        raise InputError(sources[0].problem)
    model = open_model(args.model)
    from gluon_mtcnn.core.detection.detector import Detector

    detector = Detector(
        model,
        thresholds=args.thresholds,
        last_stage=args.last_stage,
        **DetectorOptions.from_values(vars(args)).detector_arguments(),
    )
    landmarks = model.nets[detector.kinds[-1]].spec.landmarks
    with ExitStack() as stack:
        outputs = Outputs(_open_outputs(args, sources, landmarks, stack))
        stopped = stack.enter_context(ctrl_c_noted()) if any(source.kind == "camera" for source in sources) else None
        for found in _progress(args, sources, detector):
            if found.frame.problem and (args.strict or (alone and not found.frame.index)):
                raise InputError(found.frame.problem)
            outputs.add(found)
            if stopped and stopped.is_set():
                break
        outputs.finish()
    log.info("%d faces in %d of %d inputs", outputs.faces, len(sources) - len(outputs.problems), len(sources))
    for problem in outputs.problems:
        log.error("%s", problem)
    if stopped and stopped.is_set():
        raise KeyboardInterrupt
    return 2 if outputs.problems else 0


def _progress(args: argparse.Namespace, sources: Sequence[Source], detector: Any) -> Iterator[Found]:
    """Read, detect and select under a progress bar."""
    total = None if args.quiet else count_frames(sources, args.every, args.max_frames)
    frames = read_frames(sources, not args.no_exif, args.every, args.max_frames)
    live = any(source.kind == "camera" for source in sources)  # its frames are not to wait for the next ones
    workers = 1 if live or total == 1 else args.num_workers
    found = detect_frames(detector, frames, args.max_size, bool(args.stages), workers)
    hidden = args.quiet or total == 1
    for one in tqdm(found, total=total, desc="detect", unit="image", disable=hidden, delay=0.5):
        yield _select(one, args)


@contextmanager
def ctrl_c_noted() -> Iterator[threading.Event]:
    """Let Ctrl-C set an event, so that the frame at hand is finished; a second one interrupts."""
    noted = threading.Event()

    def note(*_: Any) -> None:
        if noted.is_set():
            raise KeyboardInterrupt
        noted.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


def _check_outputs(args: argparse.Namespace) -> None:
    """Refuse, before the work, files and folders that cannot be written, and a chip's margin that leaves nothing."""
    for path in filter(None, (getattr(args, name) for name in FILES)):
        output_file(path)
    for path in filter(None, (getattr(args, name) for name in FOLDERS)):
        output_dir(path)
    if args.chip_margin is not None and not -0.5 < args.chip_margin <= 10:
        raise InputError(f"--chip-margin: expected more than -.5 and at most 10, got {args.chip_margin:g}")
    if args.chip_size > MOST_CHIP_SIZE:
        raise InputError(f"--chip-size: expected at most {MOST_CHIP_SIZE}, got {args.chip_size}")


def _open_outputs(
    args: argparse.Namespace, sources: Sequence[Source], landmarks: bool, stack: ExitStack
) -> list[Output]:
    """Return what the options ask for; files take their place when the stack closes without an error."""
    outputs: list[Output] = []
    if args.draw:  # first, since it may refuse
        files = [getattr(args, name) for name in FILES if getattr(args, name)]
        outputs.append(stack.enter_context(DrawOutput(args.draw, sources, args.every, files)))
    if args.json:
        outputs.append(JsonOutput(stack.enter_context(replacing_text(args.json)), faces_entry))
    if args.stages:
        outputs.append(JsonOutput(stack.enter_context(replacing_text(args.stages)), stages_entry))
    if args.csv:
        videos = any(source.kind != "image" for source in sources)
        outputs.append(CsvOutput(stack.enter_context(replacing_text(args.csv)), landmarks, videos))
    if args.fddb:
        outputs.append(FddbOutput(stack.enter_context(replacing_text(args.fddb)), sources))
    if args.wider:
        outputs.append(WiderOutput(args.wider, sources))
    if args.chips:
        outputs.append(ChipsOutput(args.chips, sources, args.chip_size, args.chip_margin))
    return outputs or [JsonOutput(stack.enter_context(stdout_file()), faces_entry)]


def detect_frames(
    detector: Any,
    frames: Iterable[Frame],
    max_size: Optional[int] = None,
    with_stages: bool = False,
    workers: int = 1,
) -> Iterator[Found]:
    """Run a detector over frames, in their order.

    Parameters
    ----------
    detector : gluon_mtcnn.core.detection.detector.Detector
    frames : iterable of Frame
        Those without an image pass as they are.
    max_size : int, optional
        Longer side to which larger images are shrunk first; boxes and points are those in the image as it came.
    with_stages : bool
        Also give what every net left.
    workers : int
        Threads, each with a clone of the detector.

    Yields
    ------
    Found
    """

    def detect(detector: Any, frame: Frame) -> Found:
        if frame.image is None:
            return Found(frame, Detections.empty())
        image = shrink(frame.image, max_size)
        stages = detector.stages(image) if with_stages else None
        faces = stages[detector.kinds[-1]].detections() if stages else detector.detect(image)
        x, y = frame.image.shape[1] / image.shape[1], frame.image.shape[0] / image.shape[0]
        if image.shape != frame.image.shape:
            faces, stages = enlarge(faces, x, y), stages and _enlarge_stages(stages, x, y)
        return Found(frame, faces, stages)

    return map_clones(detect, frames, detector, workers)


def shrink(image: np.ndarray, max_size: Optional[int]) -> np.ndarray:
    """Return an image (h, w, 3) with a longer side of at most `max_size` pixels."""
    longer = max(image.shape[:2])
    if max_size is None or longer <= max_size:
        return image
    height, width = (max(1, round(side * max_size / longer)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def enlarge(faces: Detections, x: float, y: float) -> Detections:
    """Return the faces as they lie in an image x times as wide and y times as high."""
    points = None if faces.landmarks is None else faces.landmarks * np.array([x, y], np.float32)
    return Detections(rescale(faces.boxes, x, y), faces.scores, points)


def _enlarge_stages(stages: dict[str, Any], x: float, y: float) -> dict[str, Any]:
    def larger(rows: np.ndarray) -> np.ndarray:
        return np.concatenate([rescale(rows[:, :4], x, y), rows[:, 4:]], axis=1)

    return {net: type(stage)(larger(stage.before), larger(stage.after)) for net, stage in stages.items()}


def _select(found: Found, args: argparse.Namespace) -> Found:
    """Return a frame with the faces that the options ask for."""
    faces = found.faces[found.faces.scores >= args.min_score]
    if args.largest and len(faces):
        faces = faces[[int(np.argmax(area(faces.boxes)))]]
    if args.top_k:
        faces = faces[: args.top_k]
    if args.clip and found.frame.image is not None:
        faces = Detections(clip(faces.boxes, *found.frame.image.shape[:2]), faces.scores, faces.landmarks)
    return Found(found.frame, faces, found.stages)
