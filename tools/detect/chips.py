"""Faces cut out for other programs: turned upright by their five points, or squares around their boxes."""

from __future__ import annotations

from typing import Optional

import cv2
import numpy as np

from gluon_mtcnn.core.ops.boxes import sides, square
from gluon_mtcnn.core.ops.image import WARP_LIMIT, crop_and_resize
from gluon_mtcnn.core.types import Detections

CHIP_SIZE = 112
# Where ArcFace (Deng et al. 2019) and its kin expect the points in a chip of 112 x 112: left eye, right eye, nose, left
# and right mouth corner, as seen in the picture.
ARCFACE_POINTS = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
DEFAULT_MARGIN = 0.2


def similarity_transforms(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the rotation, scale and shift that bring each set of points nearest to the targets.

    The least-squares solution of Umeyama (1991) without mirroring. In the plane, with points as complex numbers, a
    rotation and a scale are one factor, and the solution is the regression line of targets over points.

    Parameters
    ----------
    points : (n, k, 2)
    targets : (k, 2)

    Returns
    -------
    (n, 2, 3) float64
        As ``cv2.warpAffine`` takes them: target = matrix[:, :2] @ point + matrix[:, 2]. NaN where all points of a set
        are the same.
    """
    source = np.asarray(points, np.float64)
    z, w = source[..., 0] + 1j * source[..., 1], targets[:, 0] + 1j * targets[:, 1]
    z_mean, w_mean = z.mean(axis=1), w.mean()
    deviation = z - z_mean[:, None]
    variance = (np.abs(deviation) ** 2).sum(axis=1)
    factor = (deviation.conj() * (w - w_mean)).sum(axis=1) / np.where(variance > 0, variance, 1)
    factor = np.where(variance > 0, factor, complex(np.nan, np.nan))
    shift = w_mean - factor * z_mean
    rows = [factor.real, -factor.imag, shift.real, factor.imag, factor.real, shift.imag]
    return np.stack(rows, axis=1).reshape(-1, 2, 3)


def face_chips(
    image: np.ndarray, faces: Detections, size: int = CHIP_SIZE, margin: Optional[float] = None
) -> np.ndarray:
    """Cut every face out of an image.

    Parameters
    ----------
    image : (h, w, 3) uint8
    faces : Detections
    size : int
        Side of a chip.
    margin : float, optional
        Cut squares around the boxes, this part of the longer side added on each side. By default faces are aligned by
        their points; where there are none, the margin is 0.2.

    Returns
    -------
    (n, size, size, 3) uint8
        Zero beyond the image.
    """
    if margin is None and faces.landmarks is not None:
        return _aligned(image, faces.boxes, faces.landmarks, size)
    return _margin_crops(image, faces.boxes, size, DEFAULT_MARGIN if margin is None else margin)


def _aligned(image: np.ndarray, boxes: np.ndarray, points: np.ndarray, size: int) -> np.ndarray:
    chips = np.zeros((len(boxes), size, size, 3), np.uint8)
    transforms = similarity_transforms(points, ARCFACE_POINTS * (size / CHIP_SIZE))
    flat = ~np.isfinite(transforms).all(axis=(1, 2))  # five points in one place say nothing of how the face lies
    for i in np.flatnonzero(~flat).tolist():
        part, transform = _around(image, transforms[i], size)
        cv2.warpAffine(part, transform, (size, size), chips[i], cv2.INTER_LINEAR)
    chips[flat] = _margin_crops(image, boxes[flat], size, DEFAULT_MARGIN)
    return chips


def _around(image: np.ndarray, transform: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the part of an image that a chip shows, and its transform; of the larger ones: OpenCV warps no others."""
    if max(image.shape[:2]) < WARP_LIMIT:
        return image, transform
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]]) - transform[:, 2]
    corners = np.linalg.solve(transform[:, :2], corners.T)
    sides_of_image = np.array([[image.shape[1]], [image.shape[0]]])
    low, high = np.clip(np.stack([corners.min(axis=1) - 2, corners.max(axis=1) + 2], axis=1), 0, sides_of_image - 1).T
    (left, top), (right, bottom) = low.astype(int), high.astype(int)
    shift = transform[:, 2] + transform[:, :2] @ [left, top]
    return image[top : bottom + 1, left : right + 1], np.column_stack([transform[:, :2], shift])


def _margin_crops(image: np.ndarray, boxes: np.ndarray, size: int, margin: float) -> np.ndarray:
    squares = square(boxes)
    added = sides(squares)[0][:, None] * margin
    wide = np.concatenate([squares[:, :2] - added, squares[:, 2:] + added], axis=1)
    return crop_and_resize(image, np.rint(wide), size)
