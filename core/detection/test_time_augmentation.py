"""Test-time augmentation of O-Net: several views of a face, and the support that overlapping boxes give each other.

The outputs of a net depend on the position of the square that it sees. With test-time augmentation O-Net also sees the
mirror image of the square in which it found a face, four squares around the mean box of both, and for the landmarks
three squares around the final box. Other boxes that O-Net found there support a face. The views were chosen on
development photos (docs/training-log.md). `core.detection.cascade` runs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gluon_mtcnn.core.ops import boxes as box_ops
from gluon_mtcnn.core.ops.nms import neighbours

# Candidates whose log-odds lie below the threshold by more than this are dropped, after one view and after two. A few
# in a thousand of those that would pass in the end are lost, and most of the views are saved.
MARGINS = (4.5, 4.0)
# Many squares of P- and R-Net give a box on a face, few on a false positive: n boxes add SUPPORT ln(n / USUAL) to the
# log-odds. USUAL is their number on a false positive of the official weights: thresholds for one view stay usable.
SUPPORT, USUAL = 0.6, 2
SUPPORTING = (0.3, 0.5)  # the IoU at which a box counts for nothing, and that from which it counts for one


@dataclass(frozen=True)
class View:
    """A square relative to the one around a box.

    Attributes
    ----------
    side : float
        Its side, in sides of the square around the box.
    right, down : float
        Displacement of its centre, in the same unit.
    mirrored : bool
        The net sees its mirror image.
    """

    side: float
    right: float = 0.0
    down: float = 0.0
    mirrored: bool = False


FACE_VIEWS = (
    View(0.8),
    View(1.1),
    View(1.0, 0.05, 0.05, mirrored=True),
    View(1.0, -0.05, -0.05, mirrored=True),
)
# Narrower and lower: landmark lists have tighter boxes than WIDER FACE, from which the box comes. None is mirrored:
# where a list marks landmarks to one side of the true ones, a net has learned that side.
LANDMARK_VIEWS = (View(0.85), View(0.85, 0.05, 0.05), View(0.85, -0.05, 0.05))


def support(boxes: np.ndarray) -> np.ndarray:
    """Return the log-odds (n,) float32 that each of O-Net's boxes (n, 4) of a photo gains by overlapping boxes.

    Rowley, Baluja and Kanade (1998, section 2.2.1) kept a face if enough detections lie near it. Here its log-odds grow
    with their number; a box without others loses 0.42.
    """
    return (SUPPORT * np.log(np.maximum(neighbours(boxes, *SUPPORTING), 1) / USUAL)).astype(np.float32)


def view_squares(boxes: np.ndarray, views: Sequence[View]) -> tuple[np.ndarray, np.ndarray]:
    """Return the squares (k, n, 4), of integers, of k views of the boxes (n, 4), and which are mirrored (k, n)."""
    square = box_ops.square(boxes)
    side = box_ops.extents(square)[:, :1]
    squares = np.stack([_moved(square[:, :2], side, view) for view in views])
    return squares, np.repeat([[view.mirrored] for view in views], len(boxes), axis=1)


def _moved(corner: np.ndarray, side: np.ndarray, view: View) -> np.ndarray:
    shift = np.array([view.right, view.down]) + (1 - view.side) / 2
    return box_ops.from_corners(np.rint(corner + shift * side), np.maximum(np.rint(view.side * side), 1))
