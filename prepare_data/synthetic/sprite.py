"""A painted head as a layer over a photo: its pixels, its light, and exactly where its face and its five points lie."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gluon_mtcnn.prepare_data.synthetic.canvas import Canvas
from gluon_mtcnn.prepare_data.synthetic.head import COVERED_FRACTION, FACE, Head, paint, paint_cover


@dataclass(frozen=True)
class Sprite:
    """A painted head, ready to be laid over a photo.

    Attributes
    ----------
    corner : (x, y) of its first pixel in the photo
    colour : (h, w, 3) float32, 0 to 255, multiplied by alpha
    alpha : (h, w) float32, 0 to 1
    face : (h, w) bool
        Pixels of the face's ellipse.
    covered : (h, w) bool
        Pixels that the head's own sunglasses, scarf or other cover hides.
    ellipse : (5,) float64
        As FDDB writes it: half-axes (longer first), angle of the longer one in radians, centre x and y, in the photo.
    points : (5, 2) float64
        Left eye, right eye, nose, left and right mouth corner as seen, in the photo; where they would be if this were
        a face.
    open_mouth : bool
    """

    corner: tuple[int, int]
    colour: np.ndarray
    alpha: np.ndarray
    face: np.ndarray
    covered: np.ndarray
    ellipse: np.ndarray
    points: np.ndarray
    open_mouth: bool


@dataclass(frozen=True)
class Pose:
    """Where a head is.

    Attributes
    ----------
    kind : a name of LAYOUTS ("face" or an almost-face) or of OBJECTS
    centre : (x, y) of the face's ellipse in the photo, pixels
    height : of the upright ellipse from forehead to chin, pixels
    tilt : degrees in the picture's plane, clockwise as seen
    """

    kind: str
    centre: tuple[float, float]
    height: float
    tilt: float


def paint_head(rng: np.random.Generator, pose: Pose) -> Sprite:
    """Paint one head, with looks and light of its own."""
    head = Head(rng, pose.kind)
    radius, centre = pose.height / 2, np.asarray(pose.centre, np.float64)
    corner = np.floor(centre - head.reach * radius).astype(int)
    side = int(np.ceil(2 * head.reach * radius)) + 2
    factor = 4 if pose.height < 60 else 2  # painted this much larger, then reduced: smooth edges
    # The centre of a reduced pixel lies in the middle of factor x factor painted ones.
    origin = (centre - corner + 0.5) * factor - 0.5
    canvas = Canvas(np.zeros((side * factor, side * factor, 4), np.uint8), origin, radius * factor, pose.tilt)
    paint(canvas, head, rng)
    layer, covered = canvas.image, np.zeros((side, side), bool)
    if pose.kind == FACE and rng.random() < COVERED_FRACTION:
        cover = Canvas(np.zeros_like(layer), origin, radius * factor, pose.tilt)
        paint_cover(cover, head, rng)
        layer = cv2.copyTo(cover.image, cover.image[..., 3], layer)
        covered = cv2.resize(cover.image[..., 3], (side, side), interpolation=cv2.INTER_AREA) > 127
    layer = cv2.resize(layer, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    ellipse = np.array([radius, radius * head.aspect, np.pi / 2 + np.deg2rad(pose.tilt), *centre])
    norm = _ellipse_norm(ellipse, corner, side)
    return Sprite(
        corner=(int(corner[0]), int(corner[1])),
        colour=layer[..., :3] * _light(rng, side, head.reach, norm)[..., None],
        alpha=layer[..., 3] / 255,
        face=norm <= 1,
        covered=covered,
        ellipse=ellipse,
        points=Canvas(layer, centre, radius, pose.tilt).to_pixels(head.points()),
        open_mouth=head.open_mouth,
    )


def _ellipse_norm(ellipse: np.ndarray, corner: np.ndarray, side: int) -> np.ndarray:
    """Return for each pixel (side, side) the squared distance from the centre, 1 on the ellipse."""
    major, minor, angle, x, y = ellipse
    dx = np.arange(side, dtype=np.float32)[None] + np.float32(corner[0] - x)
    dy = np.arange(side, dtype=np.float32)[:, None] + np.float32(corner[1] - y)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return ((dx * cos + dy * sin) / np.float32(major)) ** 2 + ((dy * cos - dx * sin) / np.float32(minor)) ** 2


def _light(rng: np.random.Generator, side: int, reach: float, norm: np.ndarray) -> np.ndarray:
    """Return the (side, side) gain of light that falls from one side on something round."""
    direction, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.4) * reach
    along = np.linspace(-1, 1, side, dtype=np.float32)
    x, y = np.float32(strength * np.cos(direction)), np.float32(strength * np.sin(direction))
    slope = along[None] * x + along[:, None] * y
    roundness = np.float32(rng.uniform(0.05, 0.22)) * np.minimum(norm, 1.5)
    return np.clip(np.float32(rng.uniform(0.75, 1.1)) * (1 + slope - roundness), 0.25, 1.6)
