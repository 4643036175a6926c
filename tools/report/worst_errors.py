"""The errors of a detector that are most worth a look: large faces it missed, false positives it is sure of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

import cv2
import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.ops import image
from gluon_mtcnn.core.ops.boxes import area, iou
from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.tools.evaluate.matching import match, outcomes

CROP, CONTEXT, LEAST_CONTEXT = 192, 2.4, 48  # side of the picture; of what it shows, in sides of the box, and pixels
FACE_COLOR, BOX_COLOR = (80, 220, 60), (0, 110, 255)  # BGR: annotated, detected
NEAR = 0.1  # IoU from which a box is worth a mention


@dataclass(frozen=True)
class Error:
    """A missed face or a false positive.

    Attributes
    ----------
    photo : Annotation
    box : (4,) float64
        The face, or the detection.
    score : float or None
        Of a false positive.
    size : float
        Square root of the box's area, pixels.
    reason : str
        What lies nearest, in words.
    """

    photo: Annotation
    box: np.ndarray
    score: Optional[float]
    size: float
    reason: str


def worst_misses(
    photos: Sequence[Annotation], detections: Mapping[str, np.ndarray], threshold: float, limit: int
) -> tuple[list[Error], int]:
    """Return the largest missed faces, largest first, and how many are missed in all.

    Parameters
    ----------
    photos : annotated photos
    detections : mapping of photo name to (n, 5) float64 ``x1 y1 x2 y2 score``
        A face is missed when no box that scores above the threshold belongs to it; see tools/evaluate/matching.py.
    threshold : float
    limit : int
    """
    rows = _rows(photos, detections)
    faces = [photo.boxes.astype(np.float64) for photo in photos]
    matches = match([boxes[boxes[:, 4] > threshold] for boxes in rows], faces)
    missed = ~np.concatenate([np.zeros(0, bool), *(photo.ignore for photo in photos)])
    missed[matches.faces[matches.faces >= 0]] = False
    sizes = np.sqrt(area(np.concatenate([np.zeros((0, 4)), *faces])))
    order = np.flatnonzero(missed)
    order = order[np.argsort(-sizes[order], kind="stable")][:limit]
    starts = np.cumsum([0, *map(len, faces)])
    errors = []
    for index in order.tolist():
        number = int(np.searchsorted(starts, index, side="right")) - 1
        box = faces[number][index - starts[number]]
        errors.append(Error(photos[number], box, None, float(sizes[index]), _nearest_box(box, rows[number])))
    return errors, int(missed.sum())


def worst_false_positives(
    photos: Sequence[Annotation], detections: Mapping[str, np.ndarray], threshold: float, limit: int
) -> tuple[list[Error], int]:
    """Return the false positives of the highest scores, highest first, and how many there are above the threshold.

    Arguments as of `worst_misses`. A second box on a face is one too.
    """
    rows = [boxes[boxes[:, 4] > threshold] for boxes in _rows(photos, detections)]
    faces = [photo.boxes.astype(np.float64) for photo in photos]
    matches = match(rows, faces)
    _, false = outcomes(matches, np.concatenate([np.zeros(0, bool), *(photo.ignore for photo in photos)]))
    order = np.flatnonzero(false)
    order = order[np.argsort(-matches.scores[order], kind="stable")][:limit]
    starts = np.cumsum([0, *map(len, rows)])
    errors = []
    for index in order.tolist():
        number = int(np.searchsorted(starts, index, side="right")) - 1
        box = rows[number][index - starts[number]]
        reason = "second box on a face" if matches.faces[index] >= 0 else _nearest_face(box[:4], faces[number])
        size = float(np.sqrt(np.maximum(area(box[None, :4])[0], 0)))
        errors.append(Error(photos[number], box[:4], float(box[4]), size, reason))
    return errors, int(false.sum())


def _rows(photos: Sequence[Annotation], detections: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    return [detections.get(photo.name, np.zeros((0, 5))) for photo in photos]


def _nearest_box(face: np.ndarray, rows: np.ndarray) -> str:
    overlap = iou(rows[:, :4], face[None])[:, 0]
    if overlap.max(initial=0) < NEAR:
        return "no box near"
    best = int(overlap.argmax())
    return f"nearest box: IoU {overlap[best]:.2f}, score {rows[best, 4]:.2f}"


def _nearest_face(box: np.ndarray, faces: np.ndarray) -> str:
    overlap = iou(box[None], faces)[0].max(initial=0)
    return "no face near" if overlap < NEAR else f"IoU {overlap:.2f} with a face"


def draw_error(error: Error, detections: Mapping[str, np.ndarray], threshold: float) -> Optional[np.ndarray]:
    """Return the photo around an error (192, 192, 3), annotated faces green, boxes above the threshold orange.

    None where the photo is not there or does not decode.
    """
    try:
        photo = image.read(error.photo.image)
    except InputError:
        return None
    x1, y1, x2, y2 = error.box
    side = max(CONTEXT * max(x2 - x1 + 1, y2 - y1 + 1), LEAST_CONTEXT)
    side = int(min(side, 2 * max(photo.shape[:2])))  # a box as large as a country must not cost its area
    left, top = int((x1 + x2 + 1 - side) / 2), int((y1 + y2 + 1 - side) / 2)
    picture = image.crop_and_resize(photo, np.array([[left, top, left + side - 1, top + side - 1]]), CROP)[0]
    rows = detections.get(error.photo.name, np.zeros((0, 5)))
    found = rows[rows[:, 4] > threshold, :4]
    for boxes, color in ((error.photo.boxes, FACE_COLOR), (found, BOX_COLOR)):
        for box in boxes.astype(np.float64):
            _draw(picture, (box - [left, top, left, top]) * (CROP / side), color, (box == error.box).all())
    return picture


def _draw(picture: np.ndarray, box: np.ndarray, color: tuple[int, int, int], is_it: bool) -> None:
    x1, y1, x2, y2 = np.clip(np.rint(box), -(2**14), 2**14).astype(int).tolist()
    cv2.rectangle(picture, (x1, y1), (x2, y2), color, 3 if is_it else 1, cv2.LINE_AA)
