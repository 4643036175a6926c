"""Which squares of a photo to cut out, and what each is: pure functions of boxes, sizes and a generator.

Squares are integer and inclusive; targets are taken against exactly these. Labels follow the paper (Zhang et al. 2016,
section III-A) by the best IoU with any face: positive from 0.65, part from 0.4, negative below 0.3. Two more rules:

- a negative contains at most 90 % of any face: a large square around a small face has a low IoU but is no background;
- unusable faces (ignored, or too small) still count as faces. A square that overlaps such a face best is neither
  positive nor part nor negative.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.files.plain import json_values
from gluon_mtcnn.core.ops.boxes import area, centres, encode, extents, from_xywh, intersection, paired_iou, sides
from gluon_mtcnn.core.types import NEGATIVE, PART, POSITIVE, Annotation, Crops

POSITIVE_IOU, PART_IOU, NEGATIVE_IOU = 0.65, 0.4, 0.3
MOST_OF_A_FACE = 0.9
SMALLEST_SQUARE = 12
NEITHER = 127  # a square that is no sample
ROUNDS = 3  # batches of proposals before giving up on the wanted number of negatives
PAIRS = 1 << 18  # square-face pairs that are compared at a time; bounds memory in photos full of faces


@dataclass(frozen=True)
class Recipe:
    """Constants of sampling. The defaults are ours; `SEANLINX` has the original's.

    Attributes
    ----------
    min_face : int
        Faces whose longer side is below this, in pixels, are not used as positives or parts.
    negatives : int
        Random negatives a photo.
    near_negatives : int
        Squares tried as negatives around each face.
    size_steps, tries, positives, parts : tuple of int
        Of ``tries[i]`` squares around a face, at most ``positives[i]`` and ``parts[i]`` are kept, where i is the number
        of `size_steps` that its longer side reaches. Large faces are rarer and get more.
    small_negatives : bool
        Draw the sides of negatives log-uniformly up to the photo's shorter side, since a pyramid has many more small
        windows than large ones; otherwise uniformly up to half of it.
    landmark_tries, landmarks : int
        Squares tried, and kept at most, as landmark samples of each face.
    landmark_min_face : int
        Smaller faces give no landmark samples.
    rotation : float
        Half of the landmark samples are turned by up to this many degrees.
    landmark_shift : float
        By how many pixels of the photo the list's landmarks lie to the right of what they mark. The landmarks of
        mirrored samples get the same error, so that they do not contradict the others.
    smallest : int
        Side of the smallest negative, pixels.
    """

    min_face: int = 20
    negatives: int = 55
    near_negatives: int = 3
    size_steps: tuple[int, ...] = (20, 40, 100)
    tries: tuple[int, ...] = (16, 28, 40, 52)
    positives: tuple[int, ...] = (4, 8, 12, 16)
    parts: tuple[int, ...] = (4, 8, 12, 16)
    small_negatives: bool = True
    landmark_tries: int = 60
    landmarks: int = 30
    landmark_min_face: int = 40
    rotation: float = 15.0
    landmark_shift: float = 0.0
    smallest: int = SMALLEST_SQUARE

    def with_options(self, **options: Any) -> Recipe:
        """Return the recipe with those options that are not None."""
        names = {field.name for field in fields(self)}
        return replace(self, **{k: v for k, v in options.items() if v is not None and k in names})

    def describe(self) -> dict[str, Any]:
        """Return the values for JSON. Later fields with their default are left out, so that digests stay the same."""
        return json_values(self, () if self.landmark_shift else ("landmark_shift",))

    def for_cell(self, cell: int) -> Recipe:
        """Return the recipe for a P-Net with cells of this side: no smaller negatives, unless faces are smaller.

        The smallest negatives are as small as the smallest faces. If only faces were enlarged, their blur would give
        them away.
        """
        return replace(self, smallest=max(self.smallest, min(cell, self.min_face)))


DEFAULT = Recipe()
SEANLINX = Recipe(
    min_face=40,
    negatives=50,
    near_negatives=5,
    tries=(20,) * 4,
    positives=(20,) * 4,
    parts=(20,) * 4,
    small_negatives=False,
    landmark_tries=11,
    landmarks=11,
    rotation=5.0,
)
# 24- and 48-net: their negatives are mined, squares around faces fill up what mining yields.
_MINED = replace(DEFAULT, negatives=0, near_negatives=2, positives=(4, 12, 24, 30), parts=(4, 12, 24, 30))
# The original leaves small faces out for the 12-net only.
_SEANLINX_MINED = replace(SEANLINX, min_face=0, negatives=0, near_negatives=0, tries=(0,) * 4)
RECIPES = {
    "default": {
        "pnet": DEFAULT,
        "rnet": replace(_MINED, tries=(12, 36, 72, 90)),
        "onet": replace(_MINED, tries=(9, 24, 60, 72), positives=(3, 8, 20, 24), parts=(3, 8, 20, 24)),
    },
    "seanlinx": {"pnet": SEANLINX, "rnet": _SEANLINX_MINED, "onet": _SEANLINX_MINED},
}


@dataclass(frozen=True)
class Faces:
    """The faces of one photo: (n, 4) boxes, and (n,) which of them may give positives or parts."""

    boxes: np.ndarray
    usable: np.ndarray

    @classmethod
    def of(cls, annotation: Annotation, min_face: float) -> Faces:
        """Return the faces of an annotation; boxes without area are left out."""
        width, height = sides(annotation.boxes)
        real = (width > 0) & (height > 0)
        usable = ~annotation.ignore & (np.maximum(width, height) >= min_face)
        return cls(annotation.boxes[real], usable[real])


def squares_at(corners: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Return inclusive squares (n, 4) int32 of top-left corners (n, 2) and sides (n,), all integers."""
    return from_xywh(np.column_stack([corners, side, side]).astype(np.float64)).astype(np.int32)


def inside(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return which boxes (n, 4) lie wholly in the photo."""
    x1, y1, x2, y2 = boxes.T
    return (x1 >= 0) & (y1 >= 0) & (x2 < width) & (y2 < height)


def label_squares(squares: np.ndarray, faces: Faces) -> tuple[np.ndarray, np.ndarray]:
    """Return the label of each square (n,) int8, `NEITHER` for no sample, and the index (n,) of its best face.

    The index is 0 where there is no face at all.
    """
    if len(faces.boxes) == 0:
        return np.full(len(squares), NEGATIVE, np.int8), np.zeros(len(squares), np.int64)
    labels, best = np.full(len(squares), NEITHER, np.int8), np.zeros(len(squares), np.int64)
    squares, face_area = np.asarray(squares, np.float32), area(faces.boxes)
    step = max(1, PAIRS // len(faces.boxes))
    for start in range(0, len(squares), step):
        part = slice(start, start + step)
        shared = intersection(squares[part], faces.boxes)  # once for both of IoU and containment
        overlap = shared / (area(squares[part])[:, None] + face_area - shared)
        best[part] = overlap.argmax(axis=1)
        highest = overlap[np.arange(len(overlap)), best[part]]
        holds_face = (shared > MOST_OF_A_FACE * face_area).any(axis=1)
        usable = faces.usable[best[part]]
        found = labels[part]  # a view
        found[usable & (highest >= PART_IOU)] = PART
        found[usable & (highest >= POSITIVE_IOU)] = POSITIVE
        found[(highest < NEGATIVE_IOU) & ~holds_face] = NEGATIVE
    return labels, best


def box_crops(squares: np.ndarray, labels: np.ndarray, best: np.ndarray, faces: Faces) -> Crops:
    """Return squares with their labels and the offsets to their best face, zeros for negatives."""
    targets = np.zeros((len(squares), 14), np.float32)
    with_face = np.flatnonzero(labels != NEGATIVE)
    if len(with_face):
        targets[with_face, :4] = encode(faces.boxes[best[with_face]], squares[with_face])
    return Crops(squares, labels, targets[:, :4], targets[:, 4:])


def negative_crops(squares: np.ndarray) -> Crops:
    """Return squares as negatives."""
    zeros = np.zeros((len(squares), 14), np.float32)
    return Crops(squares, np.full(len(squares), NEGATIVE), zeros[:, :4], zeros[:, 4:])


def first_of_each(groups: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Return which rows (n,) are among the first of their group, ``limits[group]`` of them.

    Parameters
    ----------
    groups : (n,) int
        Group of each row, not descending.
    limits : (k,) int
    """
    return np.arange(len(groups)) - np.searchsorted(groups, groups) < np.asarray(limits)[groups]


def size_class(boxes: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    """Return how many of the steps each face's longer side reaches (n,)."""
    return np.searchsorted(np.array(steps), np.maximum(*sides(boxes)), side="right")


def random_sides(
    rng: np.random.Generator, count: int, width: int, height: int, small: bool, smallest: int = SMALLEST_SQUARE
) -> np.ndarray:
    """Return sides (count,) int of negatives; none if not even the smallest fits."""
    shorter = min(width, height)
    if shorter < smallest:
        return np.zeros(0, np.int64)
    if small:
        return np.exp(rng.uniform(np.log(smallest), np.log(shorter + 1), count)).astype(np.int64)
    return rng.integers(smallest, max(shorter // 2, smallest + 1), count)


def random_squares(
    rng: np.random.Generator, count: int, width: int, height: int, small: bool, smallest: int = SMALLEST_SQUARE
) -> np.ndarray:
    """Return squares (count, 4) int32 anywhere in the photo; none if not even the smallest fits."""
    side = random_sides(rng, count, width, height, small, smallest)
    corners = rng.random((len(side), 2)) * (np.array([[width, height]]) - side[:, None] + 1)
    return squares_at(np.floor(corners), side)


def random_negatives(
    rng: np.random.Generator, faces: Faces, width: int, height: int, recipe: Recipe, count: int
) -> np.ndarray:
    """Return up to `count` squares (n, 4) int32 anywhere in the photo that are negatives."""
    found: list[np.ndarray] = [np.zeros((0, 4), np.int32)]
    for _ in range(ROUNDS):
        if count <= 0:
            break
        wanted = count + count // 2 + 8
        squares = random_squares(rng, wanted, width, height, recipe.small_negatives, recipe.smallest)
        squares = squares[label_squares(squares, faces)[0] == NEGATIVE][:count]
        found.append(squares)
        count -= len(squares)
    return np.concatenate(found)


def near_faces(
    rng: np.random.Generator, faces: Faces, width: int, height: int, recipe: Recipe, padded: bool = False
) -> np.ndarray:
    """Return squares (n, 4) int32 near the usable faces. Most should be negatives; the caller labels them.

    ``recipe.near_negatives`` are tried a face. Sides are as of random negatives under the Seanlinx recipe, else 0.3 to
    1.5 of the face's; the corner lies up to a side before the face's, at most at its far edge.
    """
    tried = np.repeat(faces.boxes[faces.usable], recipe.near_negatives, axis=0)
    size = extents(tried)
    if recipe.small_negatives:
        side = (size.max(axis=1) * np.exp(rng.uniform(np.log(0.3), np.log(1.5), len(tried)))).astype(np.int64)
        side = np.maximum(side, recipe.smallest)
    else:
        side = random_sides(rng, len(tried), width, height, False, recipe.smallest)
        tried, size = tried[: len(side)], size[: len(side)]
    low = np.repeat(-side[:, None].astype(np.float64), 2, axis=1)
    if not padded:
        low = np.maximum(low, -tried[:, :2])
    corners = tried[:, :2] + low + rng.random(low.shape) * (size - low)
    squares = squares_at(np.floor(corners), side)
    return squares if padded else squares[inside(squares, width, height)]


def jitter(rng: np.random.Generator, boxes: np.ndarray) -> np.ndarray:
    """Return a square (n, 4) int32 around each box (n, 4).

    Its side is drawn from 0.8 of the box's shorter side to 1.25 of the longer one, and its centre is moved by up to 0.2
    of the box's width and height.
    """
    boxes = np.asarray(boxes, np.float64)
    size = extents(boxes)
    width, height = size.T
    low = np.maximum(np.floor(0.8 * np.minimum(width, height)), 1)
    high = np.maximum(np.ceil(1.25 * np.maximum(width, height)), low + 1)
    side = np.floor(low + rng.random(len(size)) * (high - low))
    moved = rng.uniform(-0.2, 0.2, size.shape) * size
    return squares_at(np.rint(centres(boxes) + moved - side[:, None] / 2), side)


def around_faces(
    rng: np.random.Generator,
    faces: Faces,
    width: int,
    height: int,
    recipe: Recipe,
    padded: bool = False,
    have: Optional[np.ndarray] = None,
) -> np.ndarray:
    """Return squares (n, 4) int32 that are positives or parts of a usable face, capped a face by its size.

    Only the face that a square was made for was looked at: the caller drops those that another face claims.

    Parameters
    ----------
    padded : bool
        Keep squares that cross the photo's border; else they are dropped.
    have : (2, k) int, optional
        Positives and parts that each of the k usable faces has already, which count towards its cap.
    """
    boxes = faces.boxes[faces.usable]
    have = np.zeros((2, len(boxes)), np.int64) if have is None else have
    step = size_class(boxes, recipe.size_steps)
    proposer = np.repeat(np.arange(len(boxes)), np.array(recipe.tries)[step])
    squares = jitter(rng, boxes[proposer])
    overlap = paired_iou(squares.astype(np.float64), boxes[proposer].astype(np.float64))
    keep = np.zeros(len(squares), bool)
    ok = np.ones(len(squares), bool) if padded else inside(squares, width, height)
    bands = ((POSITIVE_IOU, np.inf, recipe.positives), (PART_IOU, POSITIVE_IOU, recipe.parts))
    for (low, high, caps), already in zip(bands, have):
        rows = np.flatnonzero(ok & (overlap >= low) & (overlap < high))
        keep[rows] = first_of_each(proposer[rows], np.array(caps)[step] - already)
    return squares[keep]
