"""A canvas with its own coordinates, on which the built-in data set is drawn.

A shape is given in units of the canvas: x right, y down, turned by the canvas's angle, scaled, and moved to its origin,
so that a tilted face is drawn with the numbers of an upright one. Integer pixel coordinates are pixel centres.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

import cv2
import numpy as np

Array = Union[np.ndarray, Sequence[float], Sequence[Sequence[float]]]
_SHIFT = 4  # OpenCV's fixed-point bits: shapes are placed to a sixteenth of a pixel
_ANGLES = np.linspace(0, 2 * np.pi, 28)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_UPPER_HALF = np.stack([np.cos(_ANGLES / 2), -np.sin(_ANGLES / 2)], axis=1)


def rotation(degrees: float) -> np.ndarray:
    """Return the (2, 2) matrix M for which ``points @ M`` turns points (n, 2) clockwise as seen."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[cos, sin], [-sin, cos]])


def rectangle(corner: Array, size: Array) -> np.ndarray:
    """Return the corners (4, 2) of an upright rectangle."""
    return np.asarray(corner) + np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * size


class Canvas:
    """Pixels with a coordinate system.

    Parameters
    ----------
    image : (h, w, 3) or (h, w, 4) uint8
        Drawn on in place: hand over an array that nothing else uses. With a fourth channel, which becomes 255 wherever
        something is drawn, edges are left jagged: draw large, then reduce. Otherwise edges are smoothed.
    origin : (x, y) in pixels of the canvas's point (0, 0)
    scale : pixels a unit
    angle : degrees, clockwise as seen
    """

    def __init__(self, image: np.ndarray, origin: Array = (0.0, 0.0), scale: float = 1.0, angle: float = 0.0) -> None:
        self.image, self.scale = image, scale
        self._origin, self._turn = np.asarray(origin, np.float64), rotation(angle) * scale
        self._line_type = cv2.LINE_AA if image.shape[2] == 3 else cv2.LINE_8

    @property
    def extent(self) -> np.ndarray:
        """Return the width and height (2,) in units."""
        return np.array(self.image.shape[1::-1]) / self.scale

    def to_pixels(self, points: Array) -> np.ndarray:
        """Return points (..., 2) of the canvas's units in pixels."""
        return np.asarray(points, np.float64) @ self._turn + self._origin

    def ellipse(self, centre: Array, axes: Array, colour: Array, angle: float = 0.0, half: bool = False) -> None:
        """Fill an ellipse of half-axes `axes`, turned by `angle` degrees, or only its upper half."""
        points = (_UPPER_HALF if half else _CIRCLE) * axes
        self.polygon((points @ rotation(angle) if angle else points) + centre, colour)

    def polygon(self, points: Array, colour: Array) -> None:
        """Fill the polygon of points (n, 2) with a colour (3,): blue, green, red, 0 to 255."""
        cv2.fillPoly(self.image, [self._fixed(points)], [*map(float, colour), 255.0], self._line_type, _SHIFT)

    def polygons(self, points: np.ndarray, colours: np.ndarray) -> None:
        """Fill polygons (n, k, 2) with colours (n, 3), one after the other."""
        opaque = np.column_stack([colours, np.full(len(colours), 255.0)]).tolist()
        for corners, colour in zip(self._fixed(points), opaque):
            cv2.fillPoly(self.image, [corners], colour, self._line_type, _SHIFT)

    def line(self, points: Array, colour: Array, width: float) -> None:
        """Draw the open line through points (n, 2), at least one pixel wide."""
        pixels, opaque = max(1, round(width * self.scale)), [*map(float, colour), 255.0]
        cv2.polylines(self.image, [self._fixed(points)], False, opaque, pixels, self._line_type, _SHIFT)

    def _fixed(self, points: Array) -> np.ndarray:
        return np.rint(self.to_pixels(points) * (1 << _SHIFT)).astype(np.int32)
