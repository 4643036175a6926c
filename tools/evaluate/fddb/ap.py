"""Average precision of boxes on FDDB, fold by fold: the definition of the MindSpore MTCNN example, research/cv/MTCNN.

It is not part of FDDB. Its odd points are kept, since figures are compared with it: a second detection of a face that
was found lowers precision without counting as a miss, and an image without faces adds nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional

import cv2
import numpy as np

from gluon_mtcnn.core.ops.boxes import iou
from gluon_mtcnn.tools.evaluate.fddb.regions import ELLIPSE_COLUMNS, draw_ellipse

CANVAS = 1000  # side of the picture on which the original draws every ellipse
DEGREES = 180 / 3.1415926  # the original's pi
THRESHOLDS = 1 - np.arange(1, 1001) / 1000
MATCH_IOU = 0.5
BLOCK = 65536  # boxes whose IoU is computed at once


def average_precision(
    folds: Mapping[str, Sequence[str]],
    annotations: Mapping[str, np.ndarray],
    detections: Mapping[str, np.ndarray],
    sizes: Optional[Mapping[str, tuple[int, int]]] = None,
    by_score: bool = True,
) -> dict[str, Optional[float]]:
    """Return the average precision of every fold.

    Parameters
    ----------
    folds : mapping of str to image names
    annotations, detections : mappings of image name to arrays, as of `fddb_match.evaluate`
    sizes : mapping of image name to (width, height), optional
        Lets the original's 1000 x 1000 canvas grow for larger images; FDDB has none.
    by_score : bool
        Take the boxes of an image in descending score. False: as they stand, as the original does, which then counts
        all boxes down to the last one of sufficient score.

    Returns
    -------
    dict of str to float, None for a fold without a face
    """
    named = [detections[name][:, -1] for names in folds.values() for name in names]
    low, high = _score_range(named)
    sizes = sizes or {}
    result: dict[str, Optional[float]] = {}
    for fold, names in folds.items():
        faces = sum(len(annotations[name]) for name in names)
        events = [
            _find_faces(annotations[name], _ordered(detections[name], by_score), low, high, sizes.get(name, (0, 0)))
            for name in names
            if len(annotations[name]) and len(detections[name])
        ]
        proposals, found = (np.concatenate([np.zeros(0), *column]) for column in (zip(*events) if events else ((), ())))
        result[fold] = _area_under(proposals, found, faces) if faces else None
    return result


def _score_range(scores: list[np.ndarray]) -> tuple[float, float]:
    every = np.concatenate([np.zeros(0), *scores])
    return float(every.min(initial=1.0)), float(every.max(initial=0.0))


def _ordered(rows: np.ndarray, by_score: bool) -> np.ndarray:
    return rows[np.argsort(-rows[:, -1], kind="stable")] if by_score else rows


def _find_faces(
    ellipses: np.ndarray, rows: np.ndarray, low: float, high: float, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the normalised scores at which an image's detections (n,) count, and those where faces (m,) are found."""
    scores = (rows[:, -1] - low) / (high - low) if high > low else np.ones(len(rows))
    # A box counts as soon as one at its place or behind it passes the threshold. In descending order: its own score.
    scores = np.maximum.accumulate(scores[::-1])[::-1]
    truth = ellipse_boxes(ellipses, size)
    boxes = _detected_boxes(rows, size)
    best = np.empty(len(boxes), np.int64)
    match = np.empty(len(boxes), bool)
    for start in range(0, len(boxes), BLOCK):
        overlap = iou(boxes[start : start + BLOCK], truth)
        best[start : start + BLOCK] = overlap.argmax(axis=1)
        match[start : start + BLOCK] = overlap.max(axis=1) >= MATCH_IOU
    _, first = np.unique(best[match], return_index=True)
    return scores, scores[match][first]


def _detected_boxes(rows: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the boxes x1, y1, x2, y2 (n, 4) float32 of detections; the far corner is x + w, y + h."""
    if rows.shape[1] == ELLIPSE_COLUMNS:
        return ellipse_boxes(rows, size)
    return np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1).astype(np.float32)


def ellipse_boxes(ellipses: np.ndarray, size: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Return the boxes of n ellipses' outlines as the original draws them.

    Parameters
    ----------
    ellipses : (n, 5) or more columns
        Radii and centre are truncated to integers.
    size : (width, height)
        Of the image, where its canvas has to be larger than the original's.

    Returns
    -------
    (n, 4) float32
        x1, y1 and, one past the last pixel, x2, y2. Only what lies on the canvas counts; zeros when nothing does.
    """
    canvas = max(CANVAS, size[0]), max(CANVAS, size[1])
    degrees = (ellipses[:, 2] * DEGREES).tolist()
    boxes = np.zeros((len(ellipses), 4), np.float32)
    for i, (radius1, radius2, _, x, y) in enumerate(ellipses[:, :5].astype(np.int64).tolist()):
        patch = draw_ellipse((x, y), (radius1, radius2), degrees[i], canvas, thickness=1)
        left, top, width, height = cv2.boundingRect(patch.mask)
        if width:
            left, top = left + patch.x, top + patch.y
            boxes[i] = left, top, left + width, top + height
    return boxes


def _area_under(proposals: np.ndarray, found: np.ndarray, faces: int) -> float:
    """Return the area under the precision envelope (VOC 2010) at 1000 thresholds."""
    passed, hits = (len(s) - np.searchsorted(np.sort(s), THRESHOLDS) for s in (proposals, found))
    recall = np.concatenate([[0.0], hits / faces, [1.0]])
    precision = np.concatenate([[0.0], hits / np.maximum(passed, 1), [0.0]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope[1:]))
