"""Greedy non-maximum suppression, vectorised and exact.

Source: Zhang et al. 2016, section II-A, with the conventions of Seanlinx/mtcnn: areas in inclusive pixels, a box goes
when its overlap with a better kept box is greater than the threshold (equal stays).
"""

from __future__ import annotations

from typing import Optional

import numpy as np

from gluon_mtcnn.core.ops.boxes import area, paired_intersection, sides

BLOCK = 1024  # boxes resolved at a time; bounds the pairs that are looked at to BLOCK x kept
SLACK = 1e-5  # of a box's side: far more than rounding, so that no pair above the threshold is left out


def _near(low: np.ndarray, length: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return between which values another range may begin to share more than `share` of the longer of the two."""
    if share <= 0:
        return np.full_like(low, -np.inf), low + length
    return low - length * ((1 - share) / share + SLACK), low + length * (1 - share + SLACK)


def _overlapping(boxes: np.ndarray, others: np.ndarray, threshold: float, mode: str) -> tuple[np.ndarray, ...]:
    """Return the pairs that overlap more than the threshold: index of a box, index of another, overlap.

    Only pairs whose left and top edges lie near each other are looked at: an IoU above t needs a shared width of more
    than t times the wider box.
    """
    share = threshold if mode == "union" else 0.0
    widths, heights = sides(boxes)
    by_x = np.argsort(others[:, 0], kind="stable")
    left, right = _near(boxes[:, 0], widths, share)
    first = np.searchsorted(others[by_x, 0], left)
    counts = np.maximum(np.searchsorted(others[by_x, 0], right, side="right") - first, 0)
    i = np.repeat(np.arange(len(boxes)), counts)
    j = by_x[np.arange(len(i)) + np.repeat(first - np.cumsum(counts) + counts, counts)]
    top, bottom = _near(boxes[:, 1], heights, share)
    y = others[j, 1]
    close = (y >= top[i]) & (y <= bottom[i])
    i, j = i[close], j[close]
    overlap = _overlap(boxes, others, i, j, mode)
    over = overlap > threshold
    return i[over], j[over], overlap[over]


def _overlap(boxes: np.ndarray, others: np.ndarray, i: np.ndarray, j: np.ndarray, mode: str) -> np.ndarray:
    a, b = boxes[i], others[j]
    shared = paired_intersection(a, b)
    areas, other_areas = area(a), area(b)
    with np.errstate(divide="ignore", invalid="ignore"):  # a box without area overlaps nothing
        if mode == "union":
            return shared / (areas + other_areas - shared)
        return shared / np.minimum(areas, other_areas)


def _resolve(count: int, better: np.ndarray, worse: np.ndarray) -> np.ndarray:
    """Return which of `count` boxes in order of score greedy suppression keeps, given the pairs of which one must go.

    A box stays when no kept better box suppresses it. That equation has one solution; iterating it settles one more
    link of every chain each time, so it ends after a few rounds, at most n.
    """
    keep = np.zeros(count, bool)
    while True:
        settled = np.ones(count, bool)
        settled[worse[keep[better]]] = False
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
    boxes = boxes if boxes.dtype == np.float64 else boxes.astype(np.float32)
    if order is None:
        order = np.argsort(-np.asarray(scores), kind="stable")
    kept = np.zeros(0, np.int64)
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        _, worse, _ = _overlapping(boxes[kept], boxes[block], threshold, mode)
        block = np.delete(block, worse)
        better, worse, _ = _overlapping(boxes[block], boxes[block], threshold, mode)
        forward = better < worse
        kept = np.concatenate([kept, block[_resolve(len(block), better[forward], worse[forward])]])
    return kept


def neighbours(boxes: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return how many of the boxes lie on each (n,) of them, itself included.

    One with an IoU of up to `low` counts for nothing, from `high` on for one, in proportion between: a little more or
    less of overlap makes a little difference.

    Parameters
    ----------
    boxes : (n, 4) inclusive pixels
    """
    counts = np.zeros(len(boxes))
    for start in range(0, len(boxes), BLOCK):
        block = boxes[start : start + BLOCK]
        i, _, overlap = _overlapping(block, boxes, low, "union")
        counts[start : start + BLOCK] = np.bincount(i, np.minimum((overlap - low) / (high - low), 1), len(block))
    return counts
