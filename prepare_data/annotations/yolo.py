"""YOLO's label files: a text file a photo, a line a face ``class cx cy w h`` in fractions of the photo's sides.

A data set has the photos in ``images`` and the label files under the same names in ``labels``, or both in one folder. A
photo without label file, or with an empty one, has no faces. Lines with key points or polygons are refused.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.core.ops.boxes import from_xywh
from gluon_mtcnn.core.ops.image import IMAGE_SUFFIXES
from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.prepare_data.annotations.box_forms import SIZED
from gluon_mtcnn.prepare_data.annotations.left_out import LeftOut, usable_boxes
from gluon_mtcnn.prepare_data.annotations.listed_objects import MAX_FACES, FaceClasses, annotation, read_small
from gluon_mtcnn.prepare_data.annotations.photo_size import image_size

log = logging.getLogger(__name__)
MAX_BYTES = 1 << 24  # of a label file
COLUMNS = 5
ABOVE = 1e-3  # of a fraction above 1, by rounding
IMAGES, LABELS, CLASSES = "images", "labels", "classes.txt"


def yolo_folders(folder: PathLike) -> tuple[Path, Path]:
    """Return the folders of the photos and of the label files of a data set."""
    images, labels = Path(folder) / IMAGES, Path(folder) / LABELS
    return (images, labels) if images.is_dir() and labels.is_dir() else (Path(folder), Path(folder))


def yolo_files(folder: PathLike) -> list[Path]:
    """Return the label files of a data set in the order of their names.

    Raises
    ------
    InputError
        There is none.
    """
    root = yolo_folders(folder)[1]
    paths = sorted(path for path in root.rglob("*.txt") if path.name != CLASSES and path.is_file())
    if not paths:
        raise InputError(f"{root}: expected label files of YOLO, found none")
    return paths


def read_yolo(
    folder: PathLike, face_classes: Sequence[str] = (), left_out: Optional[LeftOut] = None
) -> Iterator[Annotation]:
    """Yield the photos of a YOLO data set in the order of their names.

    Parameters
    ----------
    folder : path
        Holds ``images`` and ``labels``, or photos and label files together. A ``classes.txt`` names the classes.
    face_classes : sequence of str
        Numbers or names of the classes that are faces; empty: all objects must be of one class.
    left_out : LeftOut, optional
        Counts the faces; default: one that reports at the end and allows a tenth.

    Raises
    ------
    InputError
        No photo or label file; a label file that is too large or not of this form; or too many faces are left out. The
        message names the line.
    """
    left_out = LeftOut(folder) if left_out is None else left_out
    images, labels = yolo_folders(folder)
    unused = set(yolo_files(folder))
    photos = sorted(path for path in images.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not photos:
        raise InputError(f"{images}: expected photos, found none")
    classes, names = FaceClasses(face_classes), _class_names(labels, Path(folder))
    without = 0
    for photo in photos:
        path = labels / photo.relative_to(images).with_suffix(".txt")
        without += path not in unused
        lines = _read_lines(path, classes, names) if path in unused else []
        unused.discard(path)
        yield _annotation(photo, photo.relative_to(images).as_posix(), lines, left_out)
    if without:
        log.warning("%s: %d of %d photos have no label file: photos without faces", labels, without, len(photos))
    if unused:
        log.warning("%s: %d label files have no photo (the first: %s)", labels, len(unused), min(unused))
    left_out.finish()


def _class_names(*folders: Path) -> list[str]:
    """Return the names of the classes in the order of their numbers, none where there is no ``classes.txt``."""
    for folder in folders:
        if (folder / CLASSES).is_file():
            text = read_small(folder / CLASSES, MAX_BYTES).decode("utf-8-sig", errors="replace")
            return [line.strip() for line in text.splitlines()]
    return []


def _read_lines(path: Path, classes: FaceClasses, names: Sequence[str]) -> list[tuple[list[float], str]]:
    """Return the four fractions of each face of a label file, and its place."""
    text = read_small(path, MAX_BYTES).decode("utf-8-sig", errors="replace")
    faces = []
    for number, line in enumerate(text.splitlines(), 1):
        where, words = f"{path}:{number}", line.split()
        if not words:
            continue
        if len(words) != COLUMNS or not words[0].isdecimal() or len(words[0]) > 9:
            kind = " (key points, polygons and scores are not read)" if len(words) > COLUMNS else ""
            raise InputError(f"{where}: expected `class cx cy w h`, got {line.strip()[:60]!r}{kind}")
        values = _fractions(words[1:], where)
        index = int(words[0])
        known = index < len(names) and classes.named(names[index])
        if known or classes.takes(words[0], where):
            faces.append((values, where))
        if len(faces) > MAX_FACES:
            raise InputError(f"{where}: expected at most {MAX_FACES} faces, got more")
    return faces


def _fractions(words: Sequence[str], where: str) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = [np.nan]
    if not all(0 <= value <= 1 + ABOVE for value in values):
        pixels = ": this looks like pixels" if max(values) > 2 else ""
        raise InputError(f"{where}: expected fractions of the photo from 0 to 1, got {' '.join(words)[:60]!r}{pixels}")
    return values


def _annotation(photo: Path, name: str, faces: list[tuple[list[float], str]], left_out: LeftOut) -> Annotation:
    """Return the annotation in pixels; no face where the photo cannot be read: it is left out, and listed, later."""
    try:
        width, height = image_size(os.fspath(photo)) if faces else (1, 1)
    except InputError:
        faces, width, height = [], 1, 1
    centres = np.array([values for values, _ in faces], np.float64).reshape(-1, 4)
    sized = centres * [width, height, width, height]
    sized[:, :2] -= sized[:, 2:] / 2
    usable = usable_boxes(sized, sized[:, 2:], SIZED, lambda i: faces[i][1], left_out)
    return annotation(name, os.fspath(photo), from_xywh(sized[usable]), [False] * int(usable.sum()))
