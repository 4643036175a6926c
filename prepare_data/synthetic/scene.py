"""A whole photo of the built-in data set: background, heads that hardly overlap, light, blur and noise."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gluon_mtcnn.core.ops.boxes import intersection
from gluon_mtcnn.prepare_data.synthetic.background import add_grey, paint_background
from gluon_mtcnn.prepare_data.synthetic.head import DISTRACTORS, FACE, LAYOUTS
from gluon_mtcnn.prepare_data.synthetic.sprite import Pose, Sprite, paint_head

MAX_TILT = 25.0  # degrees
_MAX_SHARE = 0.8  # of the photo's shorter side that a head's height may take
_ROOM = 1.3  # heads keep apart by their boxes enlarged so much
_TRIES = 60


@dataclass(frozen=True)
class SceneSpec:
    """What is in a photo; a pair is the lowest and highest value, both possible.

    Attributes
    ----------
    faces, distractors : how many; fewer when they find no room
    face_px : height of a face from forehead to chin before it is tilted; of a distractor alike
    long_side, short_side : of the photo in pixels
    """

    faces: tuple[int, int]
    distractors: tuple[int, int]
    face_px: tuple[float, float]
    long_side: tuple[int, int] = (280, 400)
    short_side: tuple[int, int] = (210, 280)


@dataclass(frozen=True)
class Scene:
    """A painted photo and the truth about its faces.

    Attributes
    ----------
    image : (h, w, 3) uint8
        BGR.
    ellipses : (n, 5) float64
        Half-axes, longer first; angle of the longer one in radians; centre x and y.
    points : (n, 5, 2) float64
        Left eye, right eye, nose, left and right mouth corner as seen, in pixels.
    hidden : (n,) float64
        Share of each ellipse that something covers.
    blur, expression, illumination : (n,) int
        WIDER's attributes.
    """

    image: np.ndarray
    ellipses: np.ndarray
    points: np.ndarray
    hidden: np.ndarray
    blur: np.ndarray
    expression: np.ndarray
    illumination: np.ndarray

    @property
    def boxes(self) -> np.ndarray:
        """Return the boxes (n, 4) int of the ellipses, inclusive pixels."""
        return np.rint(ellipse_bounds(self.ellipses)).astype(int)


def ellipse_bounds(ellipses: np.ndarray) -> np.ndarray:
    """Return the exact x1, y1, x2, y2 (n, 4) around ellipses (n, 5) of half-axes, angle in radians and centre."""
    major, minor, angle, x, y = np.asarray(ellipses, np.float64).reshape(-1, 5).T
    half_width = np.hypot(major * np.cos(angle), minor * np.sin(angle))
    half_height = np.hypot(major * np.sin(angle), minor * np.cos(angle))
    return np.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=1)


def paint_scene(rng: np.random.Generator, spec: SceneSpec) -> Scene:
    """Paint one photo; all that is random in it comes from `rng`."""
    width, height = (int(rng.integers(low, high + 1)) for low, high in (spec.long_side, spec.short_side))
    if rng.random() < 0.25:
        width, height = height, width
    image = paint_background(rng, height, width)
    owner = np.full((height, width), -1, np.int16)
    # From the top down: shoulders lie behind the heads below them.
    poses = sorted(place_heads(rng, spec, height, width), key=lambda pose: pose.centre[1])
    sprites = [paint_head(rng, pose) for pose in poses]
    for index, sprite in enumerate(sprites):
        _lay_over(image, owner, sprite, index)
    image, gain, blur = _photograph(rng, image)
    faces = [i for i, pose in enumerate(poses) if pose.kind == FACE]
    seen = np.bincount(owner[owner >= 0], minlength=len(poses))
    whole = np.array([max(int(sprite.face.sum()), 1) for sprite in sprites])
    return Scene(
        image=image,
        ellipses=np.array([sprites[i].ellipse for i in faces]).reshape(-1, 5),
        points=np.array([sprites[i].points for i in faces]).reshape(-1, 5, 2),
        hidden=np.array([1 - seen[i] / whole[i] for i in faces]),
        blur=np.full(len(faces), int(blur)),
        expression=np.array([int(sprites[i].open_mouth) for i in faces], int),
        illumination=np.full(len(faces), int(gain < 0.8)),
    )


def place_heads(rng: np.random.Generator, spec: SceneSpec, height: int, width: int) -> list[Pose]:
    """Return heads that lie inside the photo and keep apart; what finds no room is left out."""
    faces, distractors = (int(rng.integers(low, high + 1)) for low, high in (spec.faces, spec.distractors))
    kinds = [FACE] * faces + [str(kind) for kind in rng.choice(DISTRACTORS, distractors)]
    poses: list[Pose] = []
    taken = np.zeros((0, 4))
    for kind in kinds:
        high = min(spec.face_px[1], _MAX_SHARE * min(height, width))
        size = float(np.exp(rng.uniform(*np.log([spec.face_px[0], high]))))
        tilt = float(np.clip(rng.normal(0, 11), -MAX_TILT, MAX_TILT))
        tilt += LAYOUTS[kind].turn * rng.choice([-1, 1]) if kind in LAYOUTS else 0.0
        # The widest head there is: its half-width is 0.84 of its half-height; a round object's is 0.92.
        bounds = ellipse_bounds(np.array([size / 2, 0.92 * size / 2, np.pi / 2 + np.deg2rad(tilt), 0, 0]))[0]
        low, high = -bounds[:2] + 1, np.array([width, height]) - 2 - bounds[2:]
        centres = rng.uniform(low, high, (_TRIES, 2))
        rooms = np.concatenate([centres, centres], axis=1) + bounds * _ROOM
        free = np.flatnonzero(~intersection(rooms, taken).any(axis=1))
        if len(free):
            poses.append(Pose(kind, (float(centres[free[0], 0]), float(centres[free[0], 1])), size, tilt))
            taken = np.concatenate([taken, rooms[free[:1]]])
    return poses


def _lay_over(image: np.ndarray, owner: np.ndarray, sprite: Sprite, index: int) -> None:
    """Blend a head into the photo and note in `owner` (h, w) which face is seen in each pixel; -1 is none."""
    size = np.array(sprite.alpha.shape[::-1])
    corner1 = np.asarray(sprite.corner)
    inside1, inside2 = np.maximum(corner1, 0), np.minimum(corner1 + size, image.shape[1::-1])
    (x1, y1), (x2, y2) = inside1, inside2
    (left, top), (right, bottom) = inside1 - corner1, inside2 - corner1
    part = (slice(top, bottom), slice(left, right))
    alpha = sprite.alpha[part]
    under = image[y1:y2, x1:x2]
    image[y1:y2, x1:x2] = np.minimum(under * (1 - alpha[..., None]) + sprite.colour[part], 255)
    region = owner[y1:y2, x1:x2]
    region[alpha > 0.5] = -1
    region[sprite.face[part] & ~sprite.covered[part]] = index


def _photograph(rng: np.random.Generator, image: np.ndarray) -> tuple[np.ndarray, float, bool]:
    """Return the photo (h, w, 3) uint8 as a camera would take it, the gain of the light, and whether it is blurred."""
    gain, gamma = float(rng.uniform(0.7, 1.15)), float(rng.uniform(0.8, 1.25))
    sigma = float(rng.choice([0.0, 0.5, 0.8], p=[0.5, 0.35, 0.15]))
    if sigma:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    noise = rng.standard_normal(image.shape[:2], np.float32) * np.float32(rng.uniform(0.5, 6))
    curve = 255 * (np.arange(256)[:, None] / 255) ** gamma * gain * rng.normal(1, 0.03, 3)
    levels = np.clip(np.rint(curve), 0, 255).astype(np.uint8)[None]
    return cv2.LUT(add_grey(image, noise), levels), gain, sigma >= 0.8
