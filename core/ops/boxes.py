"""Arithmetic on boxes. The inclusive-pixel "+1" of this project lives here and nowhere else.

Every function takes boxes as (n, 4) arrays of ``x1, y1, x2, y2`` in inclusive pixels and returns new arrays in floating
point; none writes into an argument. float64 input stays float64, anything else is computed in float32.
"""

from __future__ import annotations

from typing import Union

import numpy as np

AXES = ((0, 2), (1, 3))  # columns of a box: where it begins and ends in x, in y
MAX_COORDINATE = 1e6  # of what files may say: far beyond any photo; float32 still tells pixels apart


def _float(boxes: np.ndarray) -> np.ndarray:
    boxes = np.asarray(boxes)
    return boxes if boxes.dtype == np.float64 else boxes.astype(np.float32)


def sides(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the widths and heights, each (n,), of inclusive boxes: ``x2 - x1 + 1``."""
    boxes = _float(boxes)
    return boxes[:, 2] - boxes[:, 0] + 1, boxes[:, 3] - boxes[:, 1] + 1


def extents(boxes: np.ndarray) -> np.ndarray:
    """Return width and height (n, 2) of inclusive boxes; what `sides` returns, as the columns of one array."""
    boxes = _float(boxes)
    extent: np.ndarray = boxes[:, 2:4] - boxes[:, :2]
    extent += 1
    return extent


def area(boxes: np.ndarray) -> np.ndarray:
    """Return the areas (n,) in pixels."""
    width, height = sides(boxes)
    return width * height


def from_xywh(xywh: np.ndarray) -> np.ndarray:
    """Return inclusive boxes of ``x, y, width, height`` rows: x2 = x + w - 1."""
    xywh = _float(xywh)
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:4] - 1], axis=1)


def from_corners(corners: np.ndarray, side: Union[float, np.ndarray]) -> np.ndarray:
    """Return inclusive squares (n, 4) with these upper left corners (n, 2) and sides, one number or (n, 1)."""
    return np.concatenate([corners, corners + side - 1], axis=1)


def touching(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return which boxes (n,) are not empty and have at least one pixel in an image of the given size."""
    x1, y1, x2, y2 = boxes.T
    return (x2 >= 0) & (y2 >= 0) & (x1 < width) & (y1 < height) & (x2 >= x1) & (y2 >= y1)


def intersection(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the (n, m) areas in pixels that each of n boxes shares with each of m others."""
    a, b = _float(boxes).T, _float(others).T
    width, height = (_shared_length(a[low], a[low + 2], b[low], b[low + 2]) for low in (0, 1))
    width *= height
    return width


def paired_intersection(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the (n,) areas in pixels that each of n boxes shares with the other at the same place."""
    a, b = _float(boxes), _float(others)
    width, height = (np.minimum(a[:, high], b[:, high]) - np.maximum(a[:, low], b[:, low]) + 1 for low, high in AXES)
    return np.maximum(width, 0) * np.maximum(height, 0)


def _shared_length(low: np.ndarray, high: np.ndarray, other_low: np.ndarray, other_high: np.ndarray) -> np.ndarray:
    """Return the (n, m) pixels that n ranges share with m others; in place, since these are the largest arrays."""
    length = np.minimum(high[:, None], other_high)
    length -= np.maximum(low[:, None], other_low)
    length += 1
    return np.maximum(length, 0, out=length)


def iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the (n, m) intersection over union; 0 where the boxes do not touch."""
    shared = intersection(boxes, others)
    union = area(boxes)[:, None] + area(others)[None] - shared
    return shared / np.maximum(union, np.finfo(shared.dtype).tiny)


def containment(boxes: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the (n, m) share of each face that lies inside each box: intersection over the face's own area."""
    shared = intersection(boxes, faces)
    return shared / np.maximum(area(faces)[None], np.finfo(shared.dtype).tiny)


def square(boxes: np.ndarray) -> np.ndarray:
    """Return squares (n, 4) with the same centres, whose side is the longer side of each box."""
    boxes = _float(boxes)
    width, height = sides(boxes)
    side = np.maximum(width, height)
    x1 = boxes[:, 0] + width * 0.5 - side * 0.5
    y1 = boxes[:, 1] + height * 0.5 - side * 0.5
    return np.stack([x1, y1, x1 + side - 1, y1 + side - 1], axis=1)


def clip(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the boxes with every corner moved into an image of the given size."""
    boxes = _float(boxes)
    high = np.array([width - 1, height - 1, width - 1, height - 1], boxes.dtype)
    return np.clip(boxes, 0, high)


def rescale(boxes: np.ndarray, x: float, y: float) -> np.ndarray:
    """Return the boxes as they lie in the image made x times as wide and y times as high: edges scale, not pixels."""
    boxes = _float(boxes)
    one, ratio = np.array([0, 0, 1, 1], boxes.dtype), np.array([x, y, x, y], boxes.dtype)
    return (boxes + one) * ratio - one


def encode(faces: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the offsets (n, 4) a net should predict in each box for its face: (face - box) / side, per edge."""
    faces, boxes = _float(faces), _float(boxes)
    return ((faces - boxes).reshape(-1, 2, 2) / extents(boxes)[:, None]).reshape(-1, 4)


def decode(boxes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the faces (n, 4) that the offsets (n, 4) mean in each box; the inverse of `encode`."""
    boxes = _float(boxes)
    moved = np.asarray(offsets).reshape(-1, 2, 2) * extents(boxes)[:, None]
    return boxes + moved.reshape(-1, 4)


def encode_landmarks(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return landmarks (n, 5, 2) in pixels as (n, 10) fractions ``x1 y1 .. x5 y5`` of their boxes (n, 4)."""
    boxes = _float(boxes)
    scale = extents(boxes)[:, None]
    return ((_float(points) - boxes[:, None, :2]) / scale).reshape(-1, 10)


def decode_landmarks(boxes: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Return landmarks (n, 5, 2) in pixels of fractions (n, 10); the inverse of `encode_landmarks`."""
    boxes = _float(boxes)
    scale = extents(boxes)[:, None]
    return boxes[:, None, :2] + np.asarray(fractions).reshape(-1, 5, 2) * scale


def mirror_offsets(offsets: np.ndarray) -> np.ndarray:
    """Return the offsets (n, 4) of the mirrored crops: ``(-dx2, dy1, -dx1, dy2)``. Twice is the identity."""
    offsets = np.asarray(offsets)
    return offsets[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1], offsets.dtype)


def mirror_landmarks(fractions: np.ndarray) -> np.ndarray:
    """Return the landmark fractions (n, 10) of the mirrored crops: x -> 1 - x, left and right exchanged."""
    points = np.asarray(fractions).reshape(-1, 5, 2)[:, [1, 0, 2, 4, 3]].copy()
    points[..., 0] = 1 - points[..., 0]
    return points.reshape(-1, 10)


def turn(vectors: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Return vectors (n, k, 2), from the centres about which they turn, turned clockwise (y points down) by (n,)."""
    radians = np.deg2rad(np.asarray(degrees, np.float64))
    cos, sin = np.cos(radians), np.sin(radians)
    matrix = np.stack([np.stack([cos, -sin], axis=1), np.stack([sin, cos], axis=1)], axis=1)
    return np.einsum("nij,nkj->nki", matrix, vectors)


def turn_offsets(offsets: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Return the offsets (n, 4) of crops turned clockwise about their centres: boxes keep their sides."""
    offsets = np.asarray(offsets)
    middle = (offsets[:, :2] + offsets[:, 2:]) / 2  # of the box, from the crop's centre, in its sides
    moved = turn(middle[:, None], degrees)[:, 0] - middle
    return offsets + np.tile(moved, 2).astype(offsets.dtype)


def turn_landmarks(fractions: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Return the landmark fractions (n, 10) of crops turned clockwise about their centres."""
    fractions = np.asarray(fractions)
    points = turn(fractions.reshape(-1, 5, 2) - 0.5, degrees) + 0.5
    return points.reshape(-1, 10).astype(fractions.dtype)


def paired_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the (n,) intersection over union of each of n boxes with the other at the same place; neither is empty."""
    shared = paired_intersection(boxes, others)
    return shared / (area(boxes) + area(others) - shared)


def centres(boxes: np.ndarray) -> np.ndarray:
    """Return the centres (n, 2) of the areas that the boxes' pixels cover: ``x1 + width / 2``."""
    return _float(boxes)[:, :2] + extents(boxes) / 2


def from_centres(centres: np.ndarray, extents: np.ndarray) -> np.ndarray:
    """Return the boxes (n, 4) of centres (n, 2) and widths and heights (n, 2); the inverse of `centres`, `extents`."""
    half = _float(extents) / 2
    return np.concatenate([centres - half, centres + half - 1], axis=1)


def mirror(boxes: np.ndarray, width: float) -> np.ndarray:
    """Return the boxes (n, 4) as they lie in an image of this width that is mirrored left to right."""
    boxes = _float(boxes)
    mirrored: np.ndarray = boxes.copy()
    mirrored[:, [0, 2]] = width - 1 - boxes[:, [2, 0]]
    return mirrored
