"""What each stage of the cascade finds, and thresholds for a target recall.

Example: gluon-mtcnn evaluate stages --wider-images WIDER_val --wider-annotations wider_face_val_bbx_gt.txt
             --model model --out stages --target-recall .97,.95 --write

Each net runs over the photos once, with a low threshold; then its threshold is picked, and the next net sees what
passes it. P: the highest threshold that still finds the first target's share of all counted faces. R: the highest that
keeps the second's share of the faces that P has found. The last net: the best F1, or the lowest threshold that reaches
--target-precision. --thresholds evaluates given thresholds instead. Leaves stages.json, stages.png and
stages_recall.png in --out; --write writes the thresholds into model.json, with --calibrate as the customary ones.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np
from tqdm import tqdm

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import write_json
from gluon_mtcnn.core.ops import image
from gluon_mtcnn.core.types import NETS
from gluon_mtcnn.tools.cli.detector_options import add_detector_options, detector_arguments, open_model
from gluon_mtcnn.tools.cli.options import (
    existing_dir,
    existing_file,
    finite_float,
    fraction,
    output_dir,
    three_thresholds,
)
from gluon_mtcnn.tools.evaluate.boxes.command import read_annotations
from gluon_mtcnn.tools.evaluate.detections import existing_photos
from gluon_mtcnn.tools.evaluate.stages.counts import (
    GRID,
    FaceSet,
    Sweep,
    at_proposals,
    cut,
    pick_by_f1,
    pick_by_precision,
    pick_by_recall,
    stage_scores,
    sweep,
)
from gluon_mtcnn.tools.evaluate.stages.plot import plot_recall, plot_stages
from gluon_mtcnn.tools.evaluate.stages.table import tables

logger = logging.getLogger(__name__)
LOWEST = (0.1, 0.01, 0.01)  # what a stage leaves below these is not worth its time
TIMED_PHOTOS = 30


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
        default=(0.97, 0.95),
        metavar="P,R",
        help="share of all faces that P must find, and of those the share that R must keep; default .97,.95",
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
        default="blur=2,occlusion=2,invalid=1",
        metavar="RULE",
        help="WIDER attributes from which a face is ignored, or none; default %(default)s",
    )
    parser.add_argument(
        "--min-face-px", type=finite_float, metavar="PX", help="ignore faces of a smaller sqrt(w h); default --min-face"
    )
    parser.add_argument(
        "--lowest",
        type=three_thresholds,
        default=LOWEST,
        metavar="P,R,O",
        help="where the curves begin, default .1,.01,.01; lower takes longer",
    )
    add_detector_options(parser, "picked", "detector")


def run_stage(
    detector: Any, kind: str, paths: Sequence[str], candidates: Sequence[np.ndarray], quiet: bool = False
) -> list[np.ndarray]:
    """Run one net over photos; return per photo the calibrated boxes (n, 5) that it leaves.

    Parameters
    ----------
    detector : core.detection.detector.Detector
    kind : {"pnet", "rnet", "onet"}
    paths : of the photos
    candidates : per photo (n, 4)
        What the net before left; the P-Net does not look at it.
    quiet : bool
        No progress bar.
    """
    progress = tqdm(paths, desc=kind, unit="photo", disable=quiet)
    return [detector.stage(kind, image.read(path), before).after for path, before in zip(progress, candidates)]


def time_stages(detector: Any, paths: Sequence[str]) -> dict[str, float]:
    """Return the median milliseconds a photo that each stage takes at the detector's thresholds."""
    times: dict[str, list[float]] = {kind: [] for kind in detector.kinds}
    for path in [paths[0], *paths]:  # the first photo also compiles the nets: its first time is left out below
        photo, boxes = image.read(path), np.zeros((0, 4))
        for kind in detector.kinds:
            start = time.perf_counter()
            boxes = detector.stage(kind, photo, boxes).after[:, :4]
            times[kind].append(1000 * (time.perf_counter() - start))
    return {kind: float(np.median(values[1:])) for kind, values in times.items()}


def pick(kind: str, curve: Sweep, args: argparse.Namespace) -> int:
    """Return the index of the threshold to use after a stage.

    Where no threshold reaches the target, that is logged and the nearest is taken.
    """
    if args.thresholds:
        return int(np.argmin(np.abs(curve.thresholds - args.thresholds[NETS.index(kind)])))
    if kind == "onet":
        best = pick_by_f1(curve.recall, curve.precision)
        if args.target_precision is None:
            return best
        found, target = pick_by_precision(curve.precision, args.target_precision), args.target_precision
        nearest, what = best, f"a precision of {target:g}; taking the best F1"
    else:
        shares = curve.recall if curve.kept is None else curve.kept
        target = args.target_recall[NETS.index(kind)]
        found = pick_by_recall(shares, target)
        nearest, what = 0, f"{target:g} of the faces: {shares[0]:.4f} at the lowest (--lowest goes lower)"
    if found is None:
        logger.warning("%s: no threshold reaches %s", kind, what)
        return nearest
    return found


def evaluate_stages(
    detector: Any, photos: Sequence[str], faces: FaceSet, args: argparse.Namespace
) -> tuple[dict[str, Sweep], dict[str, dict[str, Any]]]:
    """Run the stages one after the other, each on what passes the threshold picked for the one before.

    Parameters
    ----------
    detector : core.detection.detector.Detector
        Its thresholds are where the curves begin.
    photos : paths
    faces : FaceSet of the photos
    args : options of `add_arguments`

    Returns
    -------
    curves : dict of kind to Sweep
    figures : dict of kind to dict
        What stages.json says of each stage, times aside.
    """
    candidates = [np.zeros((0, 4))] * len(photos)
    found: Optional[np.ndarray] = None
    curves, figures = {}, {}
    for kind in detector.kinds:
        lowest = detector.thresholds[NETS.index(kind)]
        rows = run_stage(detector, kind, photos, candidates, args.quiet)
        scores = stage_scores(faces, rows)
        curve = sweep(faces, scores, _grid(lowest, args.thresholds and args.thresholds[NETS.index(kind)]), found)
        chosen = pick(kind, curve, args)
        threshold = cut(curve.thresholds[chosen])
        at = curve.at(chosen)
        if kind == "onet" and detector.look_again:  # at a lower threshold it looks at more faces, and finds more
            exact = detector.with_thresholds((*detector.thresholds[:2], float(threshold)))
            again = stage_scores(faces, run_stage(exact, kind, photos, candidates, args.quiet))
            at = sweep(faces, again, curve.thresholds[[chosen]], found).at(0)
        found = faces.counted & (scores.best > threshold)
        candidates = [boxes[boxes[:, 4] > threshold, :4] for boxes in rows]
        curves[kind] = curve
        figures[kind] = {"lowest": lowest, **at, "at_proposals": at_proposals(faces, scores)}
    return curves, figures


def _grid(lowest: float, fixed: Optional[float]) -> np.ndarray:
    """Return the thresholds to count at: from the lowest on, the given one among them."""
    extra = [lowest] if fixed is None else [lowest, fixed]
    return np.unique([*(value for value in GRID.tolist() if value > lowest), *extra])


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the tables and write the files."""
    out = output_dir(args.out)
    if args.calibrate and not (args.write or args.write_to):
        raise InputError("evaluate stages: --calibrate needs --write or --write-to: it changes weights")
    path = existing_file(args.wider_annotations, "annotations")
    annotations = read_annotations(path, existing_dir(args.wider_images, "photos"), args.ignore)
    existing_photos({photo.name: photo.image for photo in annotations}, missing_as_empty=None)
    min_face_px = args.min_face if args.min_face_px is None else args.min_face_px
    faces = FaceSet.of(annotations, min_face_px)
    if not faces.counted.any():
        raise InputError(f"{path}: expected faces of at least {min_face_px:g} px that are not ignored, got none")
    photos = [photo.image for photo in annotations]
    model = open_model(args)
    from gluon_mtcnn.core.detection.detector import Detector

    options = {**detector_arguments(args), "last_stage": args.last_stage}
    lowest = tuple(map(min, args.lowest, args.thresholds or args.lowest))
    curves, figures = evaluate_stages(Detector(model, thresholds=lowest, **options), photos, faces, args)
    thresholds = tuple(figures[k]["threshold"] if k in figures else model.thresholds[i] for i, k in enumerate(NETS))
    step = -(-len(photos) // TIMED_PHOTOS)
    times = time_stages(Detector(model, thresholds=thresholds, **options), photos[::step])
    for kind, stage in figures.items():
        stage["milliseconds"] = times[kind]
    written = None
    if args.write or args.write_to:
        from gluon_mtcnn.core.detection.score_calibration import write_model

        written = write_model(model.path, thresholds, args.calibrate, tuple(figures), args.write_to)
    result = {
        **_set_figures(annotations, faces),
        "min_face": args.min_face,
        "min_face_px": min_face_px,
        "target_recall": None if args.thresholds else list(args.target_recall),
        "target_precision": args.target_precision,
        "thresholds": list(thresholds),
        "model_thresholds": list(model.thresholds),
        "written": None if written is None else list(written),
        "stages": {kind: {**figures[kind], "curve": curves[kind].as_lists()} for kind in figures},
    }
    _write(out, result, curves)
    print(tables(result))
    return 0


def _set_figures(annotations: Sequence[Any], faces: FaceSet) -> dict[str, Any]:
    return {
        "photos": len(annotations),
        "faces": int(faces.counted.sum()),
        "ignored": int((~faces.counted).sum()),
        "faces_by_size": {label: int(mask.sum()) for label, mask in faces.size_masks().items() if mask.any()},
    }


def _write(out: Path, result: dict[str, Any], curves: dict[str, Sweep]) -> None:
    write_json(out / "stages.json", result)
    plot_stages(out / "stages.png", curves, result)
    plot_recall(out / "stages_recall.png", curves, result)
