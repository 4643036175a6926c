"""Landmark samples (label -2) of photos whose faces have five points: jittered, turned, mirrored squares."""

from __future__ import annotations

from typing import Optional

import numpy as np

from gluon_mtcnn.core.ops.boxes import (
    centres,
    encode,
    encode_landmarks,
    extents,
    from_centres,
    mirror_landmarks,
    mirror_offsets,
    paired_iou,
    sides,
    square,
    turn,
)
from gluon_mtcnn.core.types import LANDMARK, Annotation, Crops
from gluon_mtcnn.prepare_data.sampling.candidates import Samples
from gluon_mtcnn.prepare_data.sampling.squares import POSITIVE_IOU, Recipe, first_of_each, inside, jitter


def landmark_faces(annotation: Annotation, recipe: Recipe) -> np.ndarray:
    """Return the indices of the faces with points that give samples: not ignored, and large enough."""
    if annotation.landmarks is None:
        return np.zeros(0, np.int64)
    known = np.isfinite(annotation.landmarks).all(axis=(1, 2))
    longer = np.maximum(*sides(annotation.boxes))
    return np.flatnonzero(known & ~annotation.ignore & (longer >= recipe.landmark_min_face))


def landmark_samples(
    rng: np.random.Generator,
    annotation: Annotation,
    width: int,
    height: int,
    recipe: Recipe,
    padded: bool = False,
    detected: Optional[np.ndarray] = None,
) -> Samples:
    """Return the landmark samples of a photo, at most ``recipe.landmarks`` a face.

    Each face gives the square around its box and jittered ones; half are turned, half mirrored. A sample is kept when
    all points lie in it and its IoU with the face is above 0.65.

    Parameters
    ----------
    annotation : Annotation with landmarks
    width, height : int
        Of the photo.
    padded : bool
        Keep squares that cross the photo's border; else they are dropped.
    detected : (m, 4) int32, optional
        Squares of a detector, which are tried for every face before the jittered ones.
    """
    faces = landmark_faces(annotation, recipe)
    boxes, points = annotation.boxes[faces].astype(np.float64), annotation.landmarks
    if len(faces) == 0 or points is None or recipe.landmark_tries == 0:
        return Samples.upright(Crops.concatenate([]))
    squares, proposer = _proposals(rng, boxes, recipe.landmark_tries, detected)
    if not padded:
        keep = inside(squares, width, height)
        squares, proposer = squares[keep], proposer[keep]
    count = len(squares)
    angle = rng.uniform(-recipe.rotation, recipe.rotation, count) * (rng.random(count) < 0.5)
    angle = angle.astype(np.float32)
    turned_boxes, turned_points = turn_faces(boxes[proposer], points[faces[proposer]], squares, angle)
    fractions = encode_landmarks(turned_points, squares)
    overlap = paired_iou(squares.astype(np.float64), turned_boxes)
    keep = ((fractions > 0) & (fractions < 1)).all(axis=1) & (overlap > POSITIVE_IOU)
    keep[keep] = first_of_each(proposer[keep], np.full(len(boxes), recipe.landmarks))
    mirror = rng.random(count) < 0.5
    offsets = encode(turned_boxes, squares)
    offsets = np.where(mirror[:, None], mirror_offsets(offsets), offsets)
    fractions = np.where(mirror[:, None], _mirror_shifted(fractions, squares, recipe.landmark_shift), fractions)
    crops = Crops(squares, np.full(count, LANDMARK), offsets, fractions)
    return Samples(crops[keep], angle[keep], mirror[keep])


def _mirror_shifted(fractions: np.ndarray, squares: np.ndarray, shift: float) -> np.ndarray:
    """Return the landmark fractions (n, 10) of mirrored crops, whose list has points `shift` pixels too far right."""
    mirrored = mirror_landmarks(fractions)
    mirrored[:, ::2] += 2 * shift / sides(np.asarray(squares, np.float64))[0][:, None]
    return mirrored


def _proposals(
    rng: np.random.Generator, boxes: np.ndarray, tries: int, detected: Optional[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return squares (n, 4) int32 and the index (n,) of the face that each is for."""
    own = np.rint(square(boxes)).astype(np.int32)
    own[:, 3] = own[:, 1] + own[:, 2] - own[:, 0]  # rounding may have stretched it by a pixel
    detected = np.zeros((0, 4), np.int32) if detected is None else detected
    proposer = np.repeat(np.arange(len(boxes)), tries - 1)
    groups = [np.tile(detected, (len(boxes), 1)), own, jitter(rng, boxes[proposer])]
    owners = [np.repeat(np.arange(len(boxes)), len(detected)), np.arange(len(boxes)), proposer]
    order = np.argsort(np.concatenate(owners), kind="stable")
    return np.concatenate(groups)[order], np.concatenate(owners)[order]


def turn_faces(
    boxes: np.ndarray, points: np.ndarray, squares: np.ndarray, angle: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes (n, 4) and points (n, 5, 2) as they appear in squares (n, 4) turned by angles (n,) degrees.

    A box keeps its size and stays upright; its centre and the points move.
    """
    centre = centres(np.asarray(squares, np.float64))
    back = -np.asarray(angle)  # what a square shows turns the other way
    box_centre = turn((centres(boxes) - centre)[:, None], back)[:, 0] + centre
    return from_centres(box_centre, extents(boxes)), turn(points - centre[:, None], back) + centre[:, None]
