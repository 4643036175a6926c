"""Greedy non-maximum suppression, vectorised and exact.

Source: Zhang et al. 2016, section II-A, with the conventions of Seanlinx/mtcnn: areas in inclusive pixels, a box goes
when its overlap with a better kept box is greater than the threshold (equal stays).
"""

from __future__ import annotations

from typing import Optional

import numpy as np

from gluon_mtcnn.core.boxes import area, intersection

BLOCK = 512  # boxes resolved at a time; bounds the overlap matrices to BLOCK x kept


def _overlap(boxes: np.ndarray, others: np.ndarray, mode: str) -> np.ndarray:
    shared = intersection(boxes, others)
    areas, other_areas = area(boxes)[:, None], area(others)[None]
    if mode == "union":
        return shared / (areas + other_areas - shared)
    return shared / np.minimum(areas, other_areas)


def _resolve(suppresses: np.ndarray) -> np.ndarray:
    """Return which boxes greedy suppression keeps, given (n, n) "i would suppress j" in order of score.

    A box stays when no kept better box suppresses it. That equation has one solution; iterating it settles one more
    link of every chain each time, so it ends after a few rounds, at most n.
    """
    later = np.triu(suppresses, 1)
    keep = ~later.any(axis=0)
    while True:
        settled = ~(later & keep[:, None]).any(axis=0)
        if np.array_equal(settled, keep):
            return keep
        keep = settled


def _partition(values: list[float], order: list[int], low: int, high: int) -> int:
    """Split order[low..high] around the median of its first, middle and last value; return where the pivot lands."""
    middle = low + (high - low) // 2
    for left, right in ((low, middle), (middle, high), (low, middle)):
        if values[order[right]] < values[order[left]]:
            order[left], order[right] = order[right], order[left]
    pivot = values[order[middle]]
    order[middle], order[high - 1] = order[high - 1], order[middle]
    left, right = low, high - 1
    while True:
        left += 1
        while values[order[left]] < pivot:
            left += 1
        right -= 1
        while pivot < values[order[right]]:
            right -= 1
        if left >= right:
            break
        order[left], order[right] = order[right], order[left]
    order[left], order[high - 1] = order[high - 1], order[left]
    return left


def legacy_order(scores: np.ndarray) -> np.ndarray:
    """Return the order (n,) in which the original takes boxes: ``scores.argsort()[::-1]`` of the numpy of its time.

    Among equal scores that order is whatever the quicksort of numpy before 1.25 leaves (today's depends on the
    processor). Legacy nets saturate at exactly 1.0, so it decides which of two overlapping boxes stays: repeating it is
    the only way to the original's boxes. The sort: median of three, pieces of up to 16 by insertion.
    """
    scores = np.asarray(scores, np.float64)
    ascending = np.argsort(scores, kind="stable")
    if len(scores) == 0 or (np.diff(scores[ascending]) > 0).all():
        return ascending[::-1]
    values, order = scores.tolist(), list(range(len(scores)))
    pieces = [(0, len(order) - 1)]
    while pieces:
        low, high = pieces.pop()
        if high - low > 15:
            split = _partition(values, order, low, high)
            pieces += [(low, split - 1), (split + 1, high)]
        else:  # Python's sort is stable, as insertion sort is
            order[low : high + 1] = sorted(order[low : high + 1], key=values.__getitem__)
    return np.array(order[::-1])


def nms(
    boxes: np.ndarray, scores: np.ndarray, threshold: float, mode: str = "union", order: Optional[np.ndarray] = None
) -> np.ndarray:
    """Return the indices of the boxes that greedy suppression keeps, best score first.

    Parameters
    ----------
    boxes : (n, 4) inclusive pixels
    scores : (n,)
    threshold : float
        A box is dropped when its overlap with a kept one exceeds this.
    mode : {"union", "minimum"}
        Overlap as intersection over union, or over the smaller of the two areas.
    order : (n,) indices, optional
        In which to take the boxes; by default descending score, equal scores as they stand.
    """
    if mode not in ("union", "minimum"):
        raise ValueError(f"mode must be 'union' or 'minimum', but got {mode!r}")
    boxes = np.asarray(boxes).reshape(-1, 4)
    if order is None:
        order = np.argsort(-np.asarray(scores), kind="stable")
    kept: list[np.ndarray] = []
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        if kept:
            better = np.concatenate(kept)
            block = block[~(_overlap(boxes[better], boxes[block], mode) > threshold).any(axis=0)]
        kept.append(block[_resolve(_overlap(boxes[block], boxes[block], mode) > threshold)])
    return np.concatenate(kept) if kept else np.zeros(0, np.int64)
