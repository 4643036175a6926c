"""AP on WIDER FACE's easy, medium and hard settings by the official protocol, from detections or from photos.

Example: gluon-mtcnn evaluate wider --ground-truth ground_truth --detections detections.json --out result
         gluon-mtcnn evaluate wider --ground-truth ground_truth --images WIDER_val --model model --out result

Leaves wider.json, precision_recall.png, detections.json and evaluation.json in --out.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import write_json
from gluon_mtcnn.prepare_data.annotations.wider import image_root
from gluon_mtcnn.tools.cli.detector_options import add_detector_options, open_detector
from gluon_mtcnn.tools.cli.options import existing_dir, existing_file, finite_float, output_dir
from gluon_mtcnn.tools.evaluate.detections import detect_photos, existing_photos, read_detections, write_detections
from gluon_mtcnn.tools.evaluate.matching import average_precision, match, operating_point, outcomes, precision_recall
from gluon_mtcnn.tools.evaluate.origin import Origin, write_origin
from gluon_mtcnn.tools.evaluate.pr_plot import Curve, plot_precision_recall
from gluon_mtcnn.tools.evaluate.wider.files import (
    SETTINGS,
    GroundTruth,
    plain_name,
    read_ground_truth,
    read_image_list,
    read_official,
    write_official,
)

STEPS = 1000
THRESHOLDS = 1 - np.arange(1, STEPS + 1) / STEPS


@dataclass
class Result:
    """What the protocol says of one setting.

    Attributes
    ----------
    faces : int
        How many faces the setting counts in the evaluated photos.
    ap : float or None
        None when there is no face.
    precision, recall : (1000,)
        At the thresholds 1 - k/1000 of the normalised score.
    point : dict or None
        TP, FP, recall and precision at the operating threshold.
    """

    faces: int
    ap: Optional[float]
    precision: np.ndarray
    recall: np.ndarray
    point: Optional[dict] = None

    def summary(self) -> dict[str, Any]:
        """Return what goes into wider.json."""
        summary: dict[str, Any] = {"AP": self.ap, "faces": self.faces}
        return summary if self.point is None else {**summary, "operating_point": self.point}


def normalise_scores(scores: np.ndarray) -> np.ndarray:
    """Return the scores (n,) stretched to 0..1; all 1 where they are all the same."""
    if len(scores) == 0 or scores.min() == scores.max():
        return np.ones(len(scores))
    return (scores - scores.min()) / (scores.max() - scores.min())


def evaluate_wider(
    truth: GroundTruth, detections: Sequence[np.ndarray], threshold: Optional[float] = None
) -> dict[str, Result]:
    """Evaluate the detections of a set of photos.

    Parameters
    ----------
    truth : GroundTruth
    detections : per photo of `truth` (n, 5) float64 ``x1 y1 x2 y2 score``
    threshold : float, optional
        Also count the detections that score above it.

    Returns
    -------
    dict of setting to Result
    """
    scores = np.concatenate([np.zeros(0), *(rows[:, 4] for rows in detections)])
    normalised = normalise_scores(scores)
    # Photos without a box take part in the normalisation, then contribute nothing.
    has_faces = np.array([len(boxes) > 0 for boxes in truth.faces], bool)
    evaluated = np.repeat(has_faces, [len(rows) for rows in detections])
    matches = match([rows if some else rows[:0] for rows, some in zip(detections, has_faces)], truth.faces)
    results = {}
    for setting in SETTINGS:
        counted = np.concatenate([np.zeros(0, bool), *truth.counted[setting]])
        hits, false = outcomes(matches, ~counted)
        faces = int(counted.sum())
        precision, recall = precision_recall(normalised[evaluated], hits, false, faces, THRESHOLDS)
        ap = average_precision(precision, recall) if faces else None
        point = None if threshold is None else operating_point(matches.scores, hits, false, faces, threshold)
        results[setting] = Result(faces, ap, precision, recall, point)
    return results


def align(
    truth: GroundTruth, detections: Mapping[str, np.ndarray], source: object, missing_as_empty: bool
) -> list[np.ndarray]:
    """Return the detections in the order of the photos; names match with or without suffix, others are left out.

    Raises
    ------
    InputError
        Two entries for one photo, photos without an entry unless `missing_as_empty`, or entries of which none fits.
    """
    by_name: dict[str, np.ndarray] = {}
    for name, rows in detections.items():
        if plain_name(name) in by_name:
            raise InputError(f"{source}: two entries for {plain_name(name)}")
        by_name[plain_name(name)] = rows
    missing = [name for name in truth.names if name not in by_name]
    if by_name and len(missing) == len(truth.names):
        raise InputError(f"{source}: expected entries like {truth.names[0]}.jpg, got none of the {len(missing)} photos")
    if missing and not missing_as_empty:
        raise InputError(
            f"{source}: no entry for {len(missing)} of {len(truth.names)} photos, the first is {missing[0]}.jpg "
            "(--missing-as-empty counts them as empty, --image-list names the photos to evaluate)"
        )
    return [by_name.get(name, np.zeros((0, 5))) for name in truth.names]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``evaluate wider``."""
    parser.add_argument("--ground-truth", required=True, metavar="DIR", help="folder of wider_{face,easy,...}_val.mat")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--detections", metavar="FILE_OR_DIR", help="JSON, or a folder of official text files")
    source.add_argument("--images", metavar="DIR", help="WIDER_val: find the faces in its photos")
    parser.add_argument("--image-list", metavar="FILE", help="photos to evaluate: names, or a *_bbx_gt.txt")
    parser.add_argument(
        "--missing-as-empty",
        action="store_true",
        help="nothing found where entry or photo are missing, or the photo is bad",
    )
    parser.add_argument(
        "--operating-point",
        type=finite_float,
        metavar="SCORE",
        help="also count hits and false positives above this score (with --images: the model's last threshold)",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="where the results go")
    parser.add_argument("--wider", metavar="DIR", help="also write the detections as official text files, there")
    add_detector_options(parser)


def _read(path: str) -> dict[str, np.ndarray]:
    return read_official(path) if Path(path).is_dir() else read_detections(existing_file(path, "detections"))


def run(args: argparse.Namespace, detector: Any = None) -> int:
    """Evaluate, print the three AP and write the files.

    Parameters
    ----------
    args : options of `add_arguments`
    detector : object with ``detect(bgr) -> Detections``, optional
        Used for --images in place of the one that the options describe.
    """
    out = output_dir(args.out)
    truth = read_ground_truth(existing_dir(args.ground_truth, "ground truth"))
    if args.image_list:
        truth = truth.select(read_image_list(existing_file(args.image_list, "image list")), args.image_list)
    threshold = args.operating_point
    if args.images:
        root = image_root(existing_dir(args.images, "photos"))
        photos = existing_photos({f"{name}.jpg": root / f"{name}.jpg" for name in truth.names}, args.missing_as_empty)
        if detector is None:
            detector, own_threshold = open_detector(args)
            threshold = own_threshold if threshold is None else threshold
        found = detect_photos(detector, photos, args.quiet, args.missing_as_empty, args.num_workers)
    else:
        found = _read(args.detections)
    rows = align(truth, found, args.images or args.detections, args.missing_as_empty)
    write_results(out, truth, rows, evaluate_wider(truth, rows, threshold), args.wider)
    images = str(image_root(args.images)) if args.images else None
    write_origin(out, Origin(None, args.ground_truth, images))
    return 0


def write_results(
    out: Path, truth: GroundTruth, rows: Sequence[np.ndarray], results: Mapping[str, Result], official: Optional[str]
) -> None:
    """Write the files of one evaluation and print one line a setting."""
    detections = {f"{name}.jpg": boxes for name, boxes in zip(truth.names, rows)}
    write_detections(out / "detections.json", detections)
    if official:
        write_official(official, detections)
    curves = []
    for setting, result in results.items():
        ap = "no faces" if result.ap is None else f"AP {result.ap:.4f}"
        curves.append(Curve(f"{setting}  {ap}", result.precision, result.recall, result.point))
        point = result.point
        at = f"  above {point['threshold']:g}: TP {point['TP']}  FP {point['FP']}" if point else ""
        print(f"{setting:<6}  {ap}  faces {result.faces}{at}")
    plot_precision_recall(out / "precision_recall.png", curves, f"WIDER FACE, {len(rows)} photos, IoU ≥ .5")
    write_json(out / "wider.json", {setting: result.summary() for setting, result in results.items()})
