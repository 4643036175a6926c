"""Matching scored boxes to faces as WIDER FACE does, and the precision-recall curve that follows. Pure numpy.

Each detection looks only at its best face of the photo, ignored faces included. An IoU of at least 0.5 with an ignored
face takes the detection out of the count. With another face, the best-scoring detection of that face is a hit and every
further one a false positive. So which detections are hits does not depend on the threshold, and a whole curve is two
cumulative histograms.

Source: the evaluation program of WIDER FACE (Yang et al. 2016), see docs/evaluation-wider.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gluon_mtcnn.core.ops.boxes import iou

MIN_IOU = 0.5
BLOCK = 256  # boxes at a time: bounds the memory of a million boxes on one photo


@dataclass(frozen=True)
class Matches:
    """The detections of a set of photos, in the order given, and what each one met.

    Attributes
    ----------
    scores : (n,) float64
    faces : (n,) int64
        The face that each detection overlaps best, counted over all photos in order; -1 where IoU < 0.5.
    first : (n,) bool
        The detection is the best-scoring one of its face.
    """

    scores: np.ndarray
    faces: np.ndarray
    first: np.ndarray


def best_faces(boxes: np.ndarray, faces: np.ndarray, min_iou: float = MIN_IOU) -> np.ndarray:
    """Return for each of n boxes (n, 4) the index of its best face among (m, 4), or -1; both inclusive pixels.

    Of equally good faces the first counts.
    """
    best = np.full(len(boxes), -1, np.int64)
    if len(faces) == 0:
        return best
    order = np.argsort(boxes[:, 0], kind="stable")  # neighbours in x share the few faces that they can touch
    for start in range(0, len(boxes), BLOCK):
        block = order[start : start + BLOCK]
        reach = (faces[:, 0] <= boxes[block, 2].max() + 1) & (faces[:, 2] >= boxes[block, 0].min() - 1)
        near = np.flatnonzero(reach)
        if len(near):
            overlap = iou(boxes[block], faces[near])
            best[block] = np.where(overlap.max(axis=1) >= min_iou, near[overlap.argmax(axis=1)], -1)
    return best


def match(detections: Sequence[np.ndarray], faces: Sequence[np.ndarray], min_iou: float = MIN_IOU) -> Matches:
    """Match the detections of each photo with its faces.

    Parameters
    ----------
    detections : per photo (n, 5) float64 ``x1 y1 x2 y2 score``, inclusive pixels
    faces : per photo (m, 4) float64, inclusive pixels
    min_iou : float
        Least overlap of a pair.
    """
    if len(detections) != len(faces):
        raise ValueError(f"detections of {len(detections)} photos but faces of {len(faces)}")
    starts = np.cumsum([0, *map(len, faces)])
    found = [np.zeros(0, np.int64)]
    for start, rows, boxes in zip(starts, detections, faces):
        best = best_faces(rows[:, :4], boxes, min_iou)
        found.append(np.where(best >= 0, best + start, -1))
    scores = np.concatenate([np.zeros(0), *(rows[:, 4] for rows in detections)])
    matched = np.concatenate(found)
    return Matches(scores, matched, _best_scoring(scores, matched))


def _best_scoring(scores: np.ndarray, faces: np.ndarray) -> np.ndarray:
    order = np.argsort(-scores, kind="stable")
    order = order[faces[order] >= 0]
    _, place = np.unique(faces[order], return_index=True)
    first = np.zeros(len(scores), bool)
    first[order[place]] = True
    return first


def outcomes(matches: Matches, ignore: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which detections are hits and which are false positives, each (n,) bool.

    Parameters
    ----------
    matches : Matches
    ignore : (f,) bool
        Faces, over all photos in order, that count neither as found nor as false.
    """
    matched = matches.faces >= 0
    ignored = np.zeros(len(matched), bool)
    ignored[matched] = np.asarray(ignore, bool)[matches.faces[matched]]
    hits = matches.first & ~ignored
    return hits, ~hits & ~ignored


def counts_at(scores: np.ndarray, flags: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return (k,) how many flagged detections have a score at or above each of k descending thresholds."""
    step = np.searchsorted(-thresholds, -scores[flags], side="left")
    return np.cumsum(np.bincount(step, minlength=len(thresholds) + 1)[: len(thresholds)])


def precision_recall(
    scores: np.ndarray, hits: np.ndarray, false: np.ndarray, faces: int, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return precision and recall, each (k,), at k descending thresholds.

    Parameters
    ----------
    scores, hits, false : (n,)
        Of each detection; see `outcomes`.
    faces : int
        How many faces there are to find.
    thresholds : (k,) descending
    """
    true = counts_at(scores, hits, thresholds)
    proposals = true + counts_at(scores, false, thresholds)
    return true / np.maximum(proposals, 1), true / max(faces, 1)


def average_precision(precision: np.ndarray, recall: np.ndarray) -> float:
    """Return the area under the curve by the VOC rule: precision made non-increasing, summed over the steps of recall.

    Parameters
    ----------
    precision, recall : (k,)
        Recall ascending.
    """
    recall = np.concatenate([[0.0], recall])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope))


def operating_point(scores: np.ndarray, hits: np.ndarray, false: np.ndarray, faces: int, threshold: float) -> dict:
    """Return TP, FP, recall and precision of the detections that score above a threshold, as the detector cuts."""
    kept = scores > threshold
    true, wrong = int(np.sum(hits & kept)), int(np.sum(false & kept))
    return {
        "threshold": float(threshold),
        "TP": true,
        "FP": wrong,
        "recall": true / faces if faces else None,
        "precision": true / (true + wrong) if true + wrong else None,
    }
