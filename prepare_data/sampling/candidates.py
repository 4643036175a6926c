"""A plan: every sample that could be cut out of the photos, as rows of a file, before any pixel is decoded."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gluon_mtcnn.core.ops.boxes import sides
from gluon_mtcnn.core.ops.image import crop_and_resize
from gluon_mtcnn.core.types import Crops

KEYS = 2**63 - 1  # keys are random and below
# The samples of the smallest keys are chosen.
ROW = np.dtype(
    [
        ("key", "<i8"),
        ("photo", "<i4"),
        ("box", "<i4", (4,)),
        ("angle", "<f4"),
        ("mirror", "?"),
        ("row", "<f4", (15,)),
    ],
    align=True,
)


@dataclass
class Samples:
    """Samples of one photo.

    Attributes
    ----------
    crops : Crops
        Targets are those of the finished crop, turned and mirrored.
    angle : (n,) float32
        Degrees that the square is turned about its centre, clockwise as seen, before it is cut out.
    mirror : (n,) bool
        Whether the crop is mirrored after that.
    """

    crops: Crops
    angle: np.ndarray
    mirror: np.ndarray

    @classmethod
    def upright(cls, crops: Crops) -> Samples:
        """Return crops that are neither turned nor mirrored."""
        return cls(crops, np.zeros(len(crops), np.float32), np.zeros(len(crops), bool))

    @classmethod
    def concatenate(cls, parts: list[Samples]) -> Samples:
        """Return the samples of all parts, in order."""
        angles = [np.zeros(0, np.float32), *(part.angle for part in parts)]
        mirrors = [np.zeros(0, bool), *(part.mirror for part in parts)]
        crops = Crops.concatenate([part.crops for part in parts])
        return cls(crops, np.concatenate(angles), np.concatenate(mirrors))


def plan_rows(photo: int, samples: Samples, rng: np.random.Generator) -> np.ndarray:
    """Return the rows (n,) of `ROW` of a photo's samples, each with a random key."""
    rows = np.zeros(len(samples.crops), ROW)
    rows["key"] = rng.integers(0, KEYS, len(rows))
    rows["photo"] = photo
    rows["box"] = samples.crops.boxes
    rows["angle"], rows["mirror"] = samples.angle, samples.mirror
    rows["row"] = samples.crops.rows()
    return rows


def cut(image: np.ndarray, rows: np.ndarray, size: int) -> np.ndarray:
    """Return the pixels (n, size, size, 3) uint8 of planned rows of one photo."""
    images = crop_and_resize(image, rows["box"], size)
    for i in np.flatnonzero(rows["angle"] != 0):
        images[i] = _turned_crop(image, rows["box"][i], float(rows["angle"][i]), size)
    mirrored = np.flatnonzero(rows["mirror"])
    images[mirrored] = images[mirrored, :, ::-1]
    return images


def _turned_crop(image: np.ndarray, box: np.ndarray, angle: float, size: int) -> np.ndarray:
    """Return one square cut out turned; for angle 0 it samples the same places as cv2.resize does."""
    side = float(sides(box[None])[0][0])  # a mined square may be a pixel higher than wide: its width is both sides
    turn = rotation(angle)
    matrix = np.zeros((2, 3))
    matrix[:, :2] = turn * (side / size)
    centre = box[:2] + side / 2 - 0.5  # cv2 counts from the middle of the first pixel
    matrix[:, 2] = centre + turn @ np.full(2, side / size / 2 - side / 2)
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def rotation(angle: float) -> np.ndarray:
    """Return the (2, 2) matrix that takes directions in a crop turned by `angle` degrees to directions in its photo."""
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    return np.array([[cos, -sin], [sin, cos]])
