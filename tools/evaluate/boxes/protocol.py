"""AP, recall and false positives of detections on annotated photos. Pure: arrays in, figures out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.ops.boxes import sides
from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.tools.evaluate.matching import average_precision, match, operating_point, outcomes, precision_recall
from gluon_mtcnn.tools.evaluate.pr_plot import PrecisionRecallCurve, ap_text


def score_boxes(
    annotations: Sequence[Annotation],
    detections: Mapping[str, np.ndarray],
    threshold: Optional[float] = None,
    min_shorter_side: float = 0,
) -> tuple[dict[str, Any], PrecisionRecallCurve]:
    """Evaluate the detections of annotated photos.

    Parameters
    ----------
    annotations : photos with their faces
    detections : mapping of photo name to (n, 5) float64 ``x1 y1 x2 y2 score``
        A photo without entry has none.
    threshold : float, optional
        Recall and false positives are those of the boxes that score above it; default: of all.
    min_shorter_side : float
        Faces with a shorter side are ignored.

    Returns
    -------
    summary : dict
        What goes into boxes.json. AP and recall are None without a face, precision without a box.
    curve : PrecisionRecallCurve
        Labelled with the AP.
    """
    rows = [detections.get(photo.name, np.zeros((0, 5))) for photo in annotations]
    matches = match(rows, [photo.boxes.astype(np.float64) for photo in annotations])
    ignore = np.concatenate([np.zeros(0, bool), *(_ignored(photo, min_shorter_side) for photo in annotations)])
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
    marked = None if threshold is None else point
    return summary, PrecisionRecallCurve(ap_text(summary["AP"]), precision, recall, marked)


def _ignored(photo: Annotation, min_shorter_side: float) -> np.ndarray:
    """Return (n,) bool: the faces of a photo that are ignored, too small ones included."""
    return photo.ignore | (np.minimum(*sides(photo.boxes)) < min_shorter_side)
