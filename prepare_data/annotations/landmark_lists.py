"""Lists of faces with five points: CNN_FacePoint's (Sun et al. 2013) and CelebA's.

CNN_FacePoint: a line a photo, ``path x1 x2 y1 y2`` and then x and y of left eye, right eye, nose, left and right mouth
corner. CelebA: ``list_landmarks_celeba.txt`` (count, header, ``name`` and ten numbers) beside ``list_bbox_celeba.txt``
(count, header, ``name x y width height``). Either way one face of a photo is listed, others may be in it.

Boxes are checked against the points, since published lists hold wrong and oversized ones: a face whose points do not
fit its box is marked as ignored.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import NoReturn, Optional, TextIO, Union

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import replacing_text
from gluon_mtcnn.core.ops.boxes import MAX_COORDINATE, extents, from_xywh
from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.prepare_data.annotations.box_forms import (
    BY_AXIS,
    SIZED,
    are_fractions,
    guess_form,
    refuse_fractions,
    separator_hint,
)
from gluon_mtcnn.prepare_data.annotations.left_out import WITHOUT_SIZE, LeftOut, check_size

PathLike = Union[str, os.PathLike]
NUMBERS = 14
OUTSIDE = 0.1  # of the box's side by which a point may lie outside it
OVERSIZED = 4.0  # times the points' extent; 2.3 is typical of CNN_FacePoint, its largest is 2.9
OUT_OF_BOX, TOO_LARGE = "with landmarks outside of their box", "whose box is too large for their landmarks: not used"
CELEBA_LANDMARKS, CELEBA_BOXES = "list_landmarks_celeba.txt", "list_bbox_celeba.txt"


def points_fit(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return which boxes (n, 4) suit their points (n, 5, 2): all points within, and the box not oversized."""
    size = extents(boxes)
    extent = (points.max(axis=1) - points.min(axis=1)).max(axis=1)
    return points_inside(boxes, points) & (size > 0).all(axis=1) & (size.max(axis=1) <= OVERSIZED * extent)


def points_inside(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return which boxes (n, 4) hold all their points (n, 5, 2), up to `OUTSIDE` of a side."""
    slack = OUTSIDE * np.maximum(extents(boxes), 0)
    inside = (points >= (boxes[:, :2] - slack)[:, None]) & (points <= (boxes[:, 2:] + slack)[:, None])
    return inside.all(axis=(1, 2))


def read_landmarks(path: PathLike, images: PathLike, left_out: Optional[LeftOut] = None) -> Iterator[Annotation]:
    """Yield the photos of a list, one face with points each.

    Parameters
    ----------
    path : path of the list
        CelebA's is known by its first line, a count.
    images : folder that the listed paths start from
        Whether a photo exists is not looked at.
    left_out : LeftOut, optional
        Counts the faces: one whose landmarks do not fit its box is yielded as ignored. Default: one that reports at
        the end and allows a tenth with landmarks outside of their box.

    Raises
    ------
    InputError
        A file is missing, a line is not what it should be, a box has a negative size or is given in fractions of the
        photo (the message names the line), or too many landmarks do not fit their boxes.
    """
    left_out = LeftOut(path) if left_out is None else left_out
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
            first = next(file, "")
            if "lefteye_x" in first:
                raise InputError(
                    f"{path}: expected CelebA's text lists, {CELEBA_LANDMARKS} with {CELEBA_BOXES} beside it, got a CSV"
                )
            if first.strip().isdigit():
                yield from _read_celeba(file, Path(path), str(images), left_out)
            else:
                yield from _read_face_points(chain([first], file), str(path), str(images), left_out)
    except OSError as error:
        raise InputError(f"{error.filename or path}: cannot be read: {error.strerror}") from None
    left_out.finish()


def write_landmarks(path: PathLike, annotations: Iterable[Annotation]) -> int:
    """Write a list as CNN_FacePoint's of annotations that `read_landmarks` gave, atomically; return the photos."""
    count = 0
    with replacing_text(path) as file:
        for photo in annotations:
            assert photo.landmarks is not None
            x1, y1, x2, y2 = photo.boxes[0].tolist()
            values = [x1, x2, y1, y2, *photo.landmarks[0].ravel().tolist()]
            file.write(" ".join([photo.name, *(f"{value:.9g}" for value in values)]) + "\n")
            count += 1
    return count


def _numbers(fields: list[str], wanted: int, where: str) -> np.ndarray:
    """Return the fields as (wanted,) float64."""
    try:
        values = np.array(fields, np.float64)
    except ValueError:
        values = np.array([np.nan])
    if len(values) != wanted or not (np.abs(values) <= MAX_COORDINATE).all():
        raise InputError(
            f"{where}: expected a path and {wanted} numbers up to {MAX_COORDINATE:g}, got {' '.join(fields)[:80]!r}"
        )
    return values


@dataclass(frozen=True)
class _Face:
    """One line: the name of the photo, four numbers of the box in `form`, (5, 2) landmarks, and the line's place."""

    name: str
    values: np.ndarray
    form: str
    points: np.ndarray
    where: str

    def annotation(self, images: str, left_out: LeftOut) -> Annotation:
        """Return the annotation; count a face that is ignored since its landmarks do not fit its box."""
        left_out.count(1)
        if are_fractions(self.values):
            refuse_fractions(self.values, self.where)
        box = self.values[[0, 2, 1, 3]] if self.form == BY_AXIS else from_xywh(self.values[None])[0]
        boxes, landmarks = box[None].astype(np.float32), self.points[None].astype(np.float32)
        ignored = ~points_fit(boxes, landmarks)
        if ignored[0]:
            self._count(boxes, landmarks, left_out)
        return Annotation(os.path.join(images, self.name), boxes, ignored, landmarks, self.name)

    def _count(self, boxes: np.ndarray, landmarks: np.ndarray, left_out: LeftOut) -> None:
        size = extents(boxes)[0]
        check_size(self.values, size, self.form, self.where, self.points)
        if size.min() <= 0:
            left_out.add(WITHOUT_SIZE, self.where)
        elif points_inside(boxes, landmarks)[0]:
            left_out.note(TOO_LARGE, self.where)
        else:
            left_out.add(OUT_OF_BOX, self.where, guess_form(self.values, self.form, self.points))


def _read_face_points(lines: Iterator[str], path: str, images: str, left_out: LeftOut) -> Iterator[Annotation]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        fields = line.rsplit(maxsplit=NUMBERS)  # from the right: a path may hold spaces
        if len(fields) != NUMBERS + 1 or _is_number(fields[0]):
            raise InputError(
                f"{path}:{number}: expected a path and {NUMBERS} numbers (x1 x2 y1 y2 and five points), "
                f"got {len(line.split())} fields: {line.strip()[:60]!r}{separator_hint(line)}"
            )
        where = f"{path}:{number}"
        values = _numbers(fields[1:], NUMBERS, where)
        name = fields[0].strip().replace("\\", "/")
        yield _Face(name, values[:4], BY_AXIS, values[4:].reshape(5, 2), where).annotation(images, left_out)


def _is_number(text: str) -> bool:
    try:
        float(text.split()[-1])
    except ValueError:
        return False
    return True


def _read_celeba(points_file: TextIO, path: Path, images: str, left_out: LeftOut) -> Iterator[Annotation]:
    boxes_path = _celeba_boxes(path)
    with open(boxes_path, encoding="utf-8-sig", errors="surrogateescape") as boxes_file:
        next(boxes_file, "")  # the count
        # each line with the same line of the other file
        for number, (points_line, box_line) in enumerate(zip_longest(points_file, boxes_file), 2):
            face = _celeba_face(points_line, box_line, f"{path}:{number}", f"{boxes_path}:{number}")
            if face is not None:
                yield face.annotation(images, left_out)


def _celeba_boxes(path: Path) -> Path:
    """Return the list of boxes that belongs to a list of landmarks: of a like name, or of CelebA's own."""
    if "align" in path.name.lower():
        _refuse_aligned(path)
    names = (path.name.replace("landmarks", "bbox"), CELEBA_BOXES)
    found = [path.with_name(name) for name in names if name != path.name and path.with_name(name).is_file()]
    if not found:
        if "bbox" in path.name.lower():
            raise InputError(f"{path}: expected {CELEBA_LANDMARKS}, got a list of boxes, which is read with it")
        raise InputError(f"{path}: a CelebA list needs {CELEBA_BOXES} beside it, found none")
    return found[0]


def _refuse_aligned(path: Path) -> NoReturn:
    """Raise the error about landmarks of CelebA's aligned crops; it says which of the right lists are there."""
    beside = [name for name in (CELEBA_LANDMARKS, CELEBA_BOXES) if path.with_name(name).is_file()]
    absent = [name for name in (CELEBA_LANDMARKS, CELEBA_BOXES) if name not in beside]
    state = [f"{' and '.join(names)} {text}" for names, text in ((beside, "beside it"), (absent, "not found")) if names]
    raise InputError(
        f"{path}: the aligned crops of CelebA (img_align_celeba) have no boxes: expected {CELEBA_LANDMARKS} and "
        f"{CELEBA_BOXES} ({', '.join(state)}), which belong to the photos in img_celeba"
    )


def _celeba_face(points_line: Optional[str], box_line: Optional[str], where: str, boxes_where: str) -> Optional[_Face]:
    """Return the face of two lines that belong together; None for headers and blank lines."""
    points_fields, box_fields = (points_line or "").split(), (box_line or "").split()
    if (not points_fields and not box_fields) or "lefteye_x" in points_fields:
        return None
    if not points_fields or not box_fields or points_fields[0] != box_fields[0]:
        raise InputError(f"{boxes_where}: expected the box of {points_fields[:1]}, got {box_fields[:1]}")
    values = _numbers(box_fields[1:], 4, boxes_where)
    points = _numbers(points_fields[1:], 10, where).reshape(5, 2)
    return _Face(points_fields[0], values, SIZED, points, boxes_where)
