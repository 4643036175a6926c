"""FDDB's curves exactly as the official program computes them, its matching and its order of addition included."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from gluon_mtcnn.tools.evaluate.fddb.kuhn import NoAssignmentError, kuhn
from gluon_mtcnn.tools.evaluate.fddb.regions import ellipse_patches, pixel_iou

log = logging.getLogger(__name__)

DISCRETE_IOU = 0.5


def official_states(ellipses: np.ndarray, rows: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Match the detections of one image with its faces at each of its scores, as the official program does.

    Parameters
    ----------
    ellipses : (k, 5)
        Faces.
    rows : (n, 5) or (n, 6)
        Detections in the order of the file, on which the result depends.
    size : (width, height)

    Returns
    -------
    (m, 3) float64
        Ascending distinct scores, and the hits and the summed IoU of the detections of at least that score.
    """
    scores = np.unique(rows[:, -1])
    states = np.zeros((len(scores), 3))
    states[:, 0] = scores
    if not len(ellipses):
        return states
    iou = pixel_iou(ellipse_patches(ellipses, size), rows, size, either_corner_first=True)
    before: list[int] = []
    for at in range(len(scores) - 1, -1, -1):
        columns = np.flatnonzero((rows[:, -1] >= scores[at]) & iou.any(axis=0))
        if len(columns) == len(before):  # those that joined touch no face
            states[at, 1:] = states[at + 1, 1:] if at + 1 < len(scores) else 0
            continue
        before = columns.tolist()
        overlap = iou[:, columns]
        states[at, 1:] = _matched(overlap[overlap.any(axis=1)])
    return states


def _matched(iou: np.ndarray) -> tuple[int, float]:
    """Return hits and summed IoU of faces (k) and detections (n), each of which touches another; in file order."""
    worth = iou.T if len(iou) > iou.shape[1] else iou  # the program needs at least as many columns as rows
    try:
        chosen = kuhn(worth.tolist())
    except NoAssignmentError as error:
        log.warning("the official FDDB program has no answer for one image (%s): its best matching is taken", error)
        chosen = linear_sum_assignment(worth, maximize=True)[1].tolist()
    pairs = [float(worth[row, column]) for row, column in enumerate(chosen)]
    total = 0.0
    for pair in pairs:  # one by one, as the program adds
        total += pair
    return sum(pair > DISCRETE_IOU for pair in pairs), total


def summed(states: Sequence[np.ndarray], thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return hits and summed IoU of all images at ascending thresholds (n,), added image by image in their order."""
    totals = np.zeros((2, len(thresholds)))
    for state in states:
        at = np.searchsorted(state[:, 0], thresholds)
        totals += np.append(state[:, 1:], [[0.0, 0.0]], axis=0)[at].T
    return totals[0], totals[1]
