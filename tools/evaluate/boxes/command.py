"""AP, recall and false positives on photos of one's own, annotated as WIDER's text or as CSV.

Example: gluon-mtcnn evaluate boxes --annotations faces.csv --images photos --model model --out result

A face is found by a box with IoU of at least .5; a second box on it is a false positive. Ignored faces count neither as
found nor as false. AP is the area under the curve over all scores; recall and false positives are those above the
model's own last threshold. Leaves boxes.json, precision_recall.png, detections.json and evaluation.json in --out.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import write_json
from gluon_mtcnn.core.ops.boxes import sides
from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.prepare_data.annotations.csv_boxes import read_csv
from gluon_mtcnn.prepare_data.annotations.wider import parse_ignore, read_wider
from gluon_mtcnn.tools.cli.detector_options import add_detector_options, open_detector
from gluon_mtcnn.tools.cli.options import existing_dir, existing_file, finite_float, non_negative_int, output_dir
from gluon_mtcnn.tools.evaluate.detections import detect_photos, existing_photos, read_detections, write_detections
from gluon_mtcnn.tools.evaluate.matching import average_precision, match, operating_point, outcomes, precision_recall
from gluon_mtcnn.tools.evaluate.origin import DEFAULT_IGNORE, Origin, write_origin
from gluon_mtcnn.tools.evaluate.pr_plot import Curve, plot_precision_recall


def evaluate_boxes(
    annotations: Sequence[Annotation],
    detections: Mapping[str, np.ndarray],
    threshold: Optional[float] = None,
    min_face_px: float = 0,
) -> tuple[dict[str, Any], Curve]:
    """Evaluate the detections of annotated photos.

    Parameters
    ----------
    annotations : photos with their faces
    detections : mapping of photo name to (n, 5) float64 ``x1 y1 x2 y2 score``
        A photo without entry has none.
    threshold : float, optional
        Recall and false positives are those of the boxes that score above it; default: of all.
    min_face_px : float
        Faces with a shorter side are ignored.

    Returns
    -------
    summary : dict
        What goes into boxes.json. AP and recall are None without a face, precision without a box.
    curve : Curve
    """
    rows = [detections.get(photo.name, np.zeros((0, 5))) for photo in annotations]
    matches = match(rows, [photo.boxes.astype(np.float64) for photo in annotations])
    small = [np.minimum(*sides(photo.boxes)) < min_face_px for photo in annotations]
    ignored = [photo.ignore | tiny for photo, tiny in zip(annotations, small)]
    ignore = np.concatenate([np.zeros(0, bool), *ignored])
    hits, false = outcomes(matches, ignore)
    faces = int(np.sum(~ignore))
    thresholds = np.unique(matches.scores)[::-1]
    precision, recall = precision_recall(matches.scores, hits, false, faces, thresholds)
    cut = -math.inf if threshold is None else threshold
    point = operating_point(matches.scores, hits, false, faces, cut)
    summary = {
        "AP": average_precision(precision, recall) if faces else None,
        "recall": point["recall"],
        "precision": point["precision"],
        "true_positives": point["TP"],
        "false_positives": point["FP"],
        "false_positives_per_photo": point["FP"] / len(annotations) if annotations else None,
        "threshold": threshold,
        "photos": len(annotations),
        "faces": faces,
        "ignored": int(ignore.sum()),
    }
    return summary, Curve("faces", precision, recall, None if threshold is None else point)


def read_annotations(path: Path, images: Path, ignore: str) -> list[Annotation]:
    """Read CSV (by the suffix ``.csv``) or WIDER's text.

    Parameters
    ----------
    path : the annotation file
    images : folder of the photos
    ignore : str
        Which of WIDER's faces to ignore, as `parse_ignore` reads it.

    Raises
    ------
    InputError
        The file is unreadable, without photos, or names one twice.
    """
    is_csv = path.suffix.lower() == ".csv"
    photos = list(read_csv(path, images) if is_csv else read_wider(path, images, parse_ignore(ignore)))
    if not photos:
        raise InputError(f"{path}: expected annotated photos, got none")
    seen: set[str] = set()
    for photo in photos:
        if photo.name in seen:
            raise InputError(f"{path}: {photo.name} is there twice: list all faces of a photo together")
        seen.add(photo.name)
    return photos


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``evaluate boxes``."""
    parser.add_argument("--annotations", required=True, metavar="FILE", help="WIDER text, or CSV (suffix .csv)")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--images", metavar="DIR", help="folder that the annotated paths start from")
    source.add_argument("--detections", metavar="FILE", help="evaluate these (JSON) instead of detecting")
    parser.add_argument(
        "--missing-as-empty",
        action="store_true",
        help="nothing found where entry or photo are missing, or the photo is bad",
    )
    parser.add_argument(
        "--ignore",
        default=DEFAULT_IGNORE,
        metavar="RULE",
        help="WIDER attributes from which a face is ignored, or none; default %(default)s",
    )
    parser.add_argument("--min-face-px", type=non_negative_int, default=0, metavar="N", help="ignore smaller faces")
    parser.add_argument(
        "--operating-point",
        type=finite_float,
        metavar="SCORE",
        help="recall and false positives above this score (default: the model's last threshold; with --detections all)",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="where the results go")
    add_detector_options(parser)


def _read_listed(path: str, annotations: Sequence[Annotation], missing_as_empty: bool) -> dict[str, np.ndarray]:
    """Read the detections of the annotated photos.

    Raises
    ------
    InputError
        A photo has no entry, unless `missing_as_empty`; or there are entries of which none fits.
    """
    found = read_detections(existing_file(path, "detections"))
    missing = [photo.name for photo in annotations if photo.name not in found]
    misfit = len(found) > 0 and len(missing) == len(annotations)
    if missing and (misfit or not missing_as_empty):
        raise InputError(
            f"{path}: no entry for {len(missing)} of {len(annotations)} photos, the first is {missing[0]} "
            "(--missing-as-empty counts them as photos without detections)"
        )
    return found


def run(args: argparse.Namespace, detector: Any = None) -> int:
    """Evaluate, print one line and write the files.

    Parameters
    ----------
    args : options of `add_arguments`
    detector : object with ``detect(bgr) -> Detections``, optional
        Used for --images in place of the one that the options describe.
    """
    out = output_dir(args.out)
    images = existing_dir(args.images, "photos") if args.images else Path()
    annotations = read_annotations(existing_file(args.annotations, "annotations"), images, args.ignore)
    threshold = args.operating_point
    if args.images:
        photos = existing_photos({photo.name: photo.image for photo in annotations}, args.missing_as_empty)
        if detector is None:
            detector, own_threshold = open_detector(args)
            threshold = own_threshold if threshold is None else threshold
        found = detect_photos(detector, photos, args.quiet, args.missing_as_empty, args.num_workers)
    else:
        found = _read_listed(args.detections, annotations, args.missing_as_empty)
    summary, curve = evaluate_boxes(annotations, found, threshold, args.min_face_px)
    write_detections(out / "detections.json", {p.name: found.get(p.name, np.zeros((0, 5))) for p in annotations})
    ap = "no faces" if summary["AP"] is None else f"AP {summary['AP']:.4f}"
    curve.label = ap
    plot_precision_recall(out / "precision_recall.png", [curve], f"{summary['photos']} photos, IoU ≥ .5")
    write_json(out / "boxes.json", summary)
    write_origin(out, Origin(args.annotations, None, args.images, args.ignore, args.min_face_px))
    recall = "" if summary["recall"] is None else f"  recall {summary['recall']:.4f}"
    print(f"{ap}{recall}  false positives {summary['false_positives']}  faces {summary['faces']}")
    return 0
