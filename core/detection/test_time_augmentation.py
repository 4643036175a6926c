"""The further looks of O-Net at a face: in which squares, and how scores, boxes and points of all looks become one.

One look depends on how the square happens to lie. The net sees the square in which it found the face again, mirrored,
four squares around the box that both gave, and for the points three around the final box. What else O-Net found there
counts as well. Chosen on development photos (docs/training-log.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gluon_mtcnn.core.ops import boxes as box_ops
from gluon_mtcnn.core.ops.nms import neighbours

# A face that falls below the threshold by more, in log-odds, is not looked at again, after one look and after two. Of
# those that would pass in the end a few in a thousand are lost, and most of the looks are saved.
MARGINS = (4.5, 4.0)
# On a face lie the boxes of many squares of P- and R-Net, on a false alarm few: n boxes add SUPPORT ln(n / USUAL) to
# the log-odds. USUAL lie on a false alarm of the official weights, so that thresholds for one look go on to serve.
SUPPORT, USUAL = 0.6, 2
SUPPORTING = (0.3, 0.5)  # with which IoU a box counts for nothing, and from which on for one


@dataclass(frozen=True)
class Look:
    """A square relative to the one around a box.

    Attributes
    ----------
    side : float
        Its side, in sides of the square around the box.
    right, down : float
        How far its centre is moved, in the same unit.
    mirrored : bool
        The net sees its mirror image.
    """

    side: float
    right: float = 0.0
    down: float = 0.0
    mirrored: bool = False


FACE_LOOKS = (
    Look(0.8),
    Look(1.1),
    Look(1.0, 0.05, 0.05, mirrored=True),
    Look(1.0, -0.05, -0.05, mirrored=True),
)
# Narrower and lower: landmark lists have tighter boxes than WIDER FACE, from which the box comes. None is mirrored:
# where a list marks points to one side of the true ones, a net has learned that side.
POINT_LOOKS = (Look(0.85), Look(0.85, 0.05, 0.05), Look(0.85, -0.05, 0.05))


def support(boxes: np.ndarray) -> np.ndarray:
    """Return the log-odds (n,) float32 that each of O-Net's boxes (n, 4) of a photo gains by those that lie on it.

    Rowley, Baluja and Kanade (1998, section 2.2.1) kept a face by how many detections lie near it; here it is the more
    probable the more there are. A box on its own loses .42.
    """
    return (SUPPORT * np.log(np.maximum(neighbours(boxes, *SUPPORTING), 1) / USUAL)).astype(np.float32)


def squares_to_see(boxes: np.ndarray, looks: Sequence[Look]) -> tuple[np.ndarray, np.ndarray]:
    """Return the squares (k, n, 4), of integers, of k looks at the boxes (n, 4), and which are mirrored (k, n)."""
    square = box_ops.square(boxes)
    side = square[:, 2:3] - square[:, 0:1] + 1
    squares = np.stack([_moved(square[:, :2], side, look) for look in looks])
    return squares, np.repeat([[look.mirrored] for look in looks], len(boxes), axis=1)


def _moved(corner: np.ndarray, side: np.ndarray, look: Look) -> np.ndarray:
    shift = np.array([look.right, look.down]) + (1 - look.side) / 2
    new = np.rint(corner + shift * side)
    return np.concatenate([new, new + np.maximum(np.rint(look.side * side), 1) - 1], axis=1)
