"""Faces and detections as sets of pixels, drawn as FDDB's official program draws them, and their overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

ELLIPSE_COLUMNS = 6  # of a detection; a rectangle has 5


class Patch(NamedTuple):
    """The pixels of one region: a 0/1 mask (h, w) uint8 whose corner lies at x, y of the image."""

    x: int
    y: int
    mask: np.ndarray

    @property
    def area(self) -> int:
        """Pixels of the region that lie inside the image."""
        return int(np.count_nonzero(self.mask))


def draw_ellipse(
    centre: Sequence[int], radii: Sequence[int], degrees: float, size: tuple[int, int], thickness: int = -1
) -> Patch:
    """Draw with ``cv2.ellipse``: the pixels inside a picture of `size`, in no larger a mask than they need.

    Parameters
    ----------
    centre : x, y
    radii : of the two axes
    degrees : float
        From the x axis to the first, clockwise on the screen; OpenCV rounds it.
    size : (width, height)
    thickness : int
        Of the outline; filled by default.
    """
    (x, y), reach = centre, max(radii) + 2
    x1, y1, x2, y2 = max(x - reach, 0), max(y - reach, 0), min(x + reach + 1, size[0]), min(y + reach + 1, size[1])
    if x2 <= x1 or y2 <= y1:
        return Patch(0, 0, np.zeros((1, 1), np.uint8))
    mask = np.zeros((y2 - y1, x2 - x1), np.uint8)
    cv2.ellipse(mask, (x - x1, y - y1), radii, degrees, 0, 360, (1,), thickness)
    return Patch(x1, y1, mask)


def ellipse_patches(ellipses: np.ndarray, size: tuple[int, int]) -> list[Patch]:
    """Return the pixels that the official program gives each of n ellipses.

    Parameters
    ----------
    ellipses : (n, 5) or more columns
        Radii (truncated to integers), angle in radians (rounded to a whole degree), centre (float32, rounded half
        to even).
    size : (width, height)
        Pixels outside the image do not count.
    """
    radii = ellipses[:, :2].astype(np.int64).tolist()
    degrees = np.rint(np.degrees(ellipses[:, 2])).tolist()
    centres = np.rint(ellipses[:, 3:5].astype(np.float32)).astype(np.int64).tolist()
    return [draw_ellipse(*ellipse, size) for ellipse in zip(centres, radii, degrees)]


def rectangle_spans(rows: np.ndarray, size: tuple[int, int], either_corner_first: bool = False) -> np.ndarray:
    """Return the pixels of rectangles as (n, 4) int64 half-open spans x1, y1, x2, y2, clipped to the image.

    Both rounded corners, (x, y) and (x + w, y + h), are inside. They are added in float64 and rounded from float32.
    Negative sizes give empty spans; with `either_corner_first` the rectangle between the corners, as the official
    program draws it.
    """
    rows = rows[:, :4].astype(np.float64)
    near, far = (np.rint(corner.astype(np.float32)) for corner in (rows[:, :2], rows[:, :2] + rows[:, 2:]))
    if either_corner_first:
        near, far = np.minimum(near, far), np.maximum(near, far)
    far = np.maximum(far + 1, near)
    limits = np.array([*size, *size], np.float32)
    return np.minimum(np.maximum(np.concatenate([near, far], axis=1), 0), limits).astype(np.int64)


def pixel_iou(
    faces: Sequence[Patch], rows: np.ndarray, size: tuple[int, int], either_corner_first: bool = False
) -> np.ndarray:
    """Return the (k, n) IoU of k faces and n detections, counted in pixels of the image; 0 for empty regions.

    Parameters
    ----------
    faces : sequence of Patch
    rows : (n, 5) rectangles or (n, 6) ellipses
    size : (width, height)
    either_corner_first : bool
        As of `rectangle_spans`.
    """
    if rows.shape[1] == ELLIPSE_COLUMNS:
        shared, areas = _share_with_ellipses(faces, rows, size)
    else:
        shared, areas = _share_with_rectangles(faces, rectangle_spans(rows, size, either_corner_first))
    union = np.array([[face.area] for face in faces]) + areas - shared
    return shared / np.maximum(union, 1)


def _share_with_rectangles(faces: Sequence[Patch], spans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels (k, n) shared with each rectangle, given as its span, and the rectangles' areas (n,)."""
    corners = np.array([[face.x, face.y, face.x, face.y] for face in faces])
    limits = np.array([face.mask.shape[::-1] * 2 for face in faces])
    local = np.minimum(np.maximum(spans - corners[:, None], 0), limits[:, None])  # (k, n, 4) in each face's mask
    x1, y1, x2, y2 = np.moveaxis(local, -1, 0)
    shared = np.empty((len(faces), len(spans)), np.int64)
    for i, face in enumerate(faces):
        total = cv2.integral(face.mask)  # (h + 1, w + 1): pixels above and left of a corner
        shared[i] = total[y2[i], x2[i]] - total[y1[i], x2[i]] - total[y2[i], x1[i]] + total[y1[i], x1[i]]
    return shared, (spans[:, 2] - spans[:, 0]) * (spans[:, 3] - spans[:, 1])


def _share_with_ellipses(
    faces: Sequence[Patch], rows: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels (k, n) shared with each detected ellipse, and their areas (n,)."""
    areas = np.zeros(len(rows), np.int64)
    shared = np.zeros((len(faces), len(rows)), np.int64)
    for j in range(len(rows)):  # each has to be drawn; one at a time, since masks are large
        (patch,) = ellipse_patches(rows[j : j + 1], size)
        areas[j] = patch.area
        shared[:, j] = [_shared_pixels(face, patch) for face in faces]
    return shared, areas


def _shared_pixels(first: Patch, second: Patch) -> int:
    x1, y1 = max(first.x, second.x), max(first.y, second.y)
    x2 = min(first.x + first.mask.shape[1], second.x + second.mask.shape[1])
    y2 = min(first.y + first.mask.shape[0], second.y + second.mask.shape[0])
    if x2 <= x1 or y2 <= y1:
        return 0
    window = [p.mask[y1 - p.y : y2 - p.y, x1 - p.x : x2 - p.x] for p in (first, second)]
    return int(np.count_nonzero(window[0] & window[1]))
