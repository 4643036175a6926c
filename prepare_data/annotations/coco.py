"""COCO's JSON: ``images`` (id, file_name), ``categories`` (id, name) and ``annotations`` (image_id, category_id, bbox).

``bbox`` is ``x y w h``; objects with ``iscrowd`` or ``ignore`` are ignored faces. Key points and masks are not read. An
image without annotations is a photo without faces.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, read_json
from gluon_mtcnn.core.ops.boxes import from_xywh
from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.prepare_data.annotations.box_forms import SIZED
from gluon_mtcnn.prepare_data.annotations.left_out import LeftOut, usable_boxes
from gluon_mtcnn.prepare_data.annotations.listed_objects import (
    MAX_FACES,
    FaceClasses,
    annotation,
    four_numbers,
    photo_path,
)

MAX_BYTES = 1 << 30
_Face = tuple[list[float], bool, str]  # x y w h, ignored, place


def read_coco(
    path: PathLike,
    images: Optional[PathLike] = None,
    face_classes: Sequence[str] = (),
    left_out: Optional[LeftOut] = None,
) -> Iterator[Annotation]:
    """Yield the photos of a COCO file in the order of its images.

    Parameters
    ----------
    path : path of the JSON file, which is held in memory
    images : folder that the file names start from
        Default: that of the file.
    face_classes : sequence of str
        Names of the categories that are faces; empty: all objects must be of one category.
    left_out : LeftOut, optional
        Counts the faces; default: one that reports at the end and allows a tenth.

    Raises
    ------
    InputError
        The file is missing, too large, or not of this form; a name leads out of the folder; a box has a negative size
        or is given in fractions; or too many faces are left out. The message names the annotation.
    """
    left_out = LeftOut(path) if left_out is None else left_out
    root = os.fspath(Path(path).parent if images is None else images)
    if os.path.isfile(path) and os.path.getsize(path) > MAX_BYTES:
        raise InputError(f"{path}: expected COCO's JSON of at most {MAX_BYTES >> 20} MB, got more")
    content = read_json(path)
    photos = _photos(content, root, str(path))
    faces = _faces(content, photos, FaceClasses(face_classes), str(path))
    del content
    for key, (name, image) in photos.items():
        yield _annotation(name, image, faces.get(key, []), left_out)
    left_out.finish()


def _records(content: Any, key: str, path: str) -> list[dict]:
    records = content.get(key) if isinstance(content, dict) else None
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise InputError(f"{path}: expected COCO's JSON, with a list of objects {key!r}")
    return records


def _key(value: Any, what: str, where: str) -> Any:
    """Return an id, which is a number or a text."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise InputError(f"{where}: expected {what} as a number or text, got {repr(value)[:80]}")
    return value


def _photos(content: Any, root: str, path: str) -> dict[Any, tuple[str, str]]:
    """Return the name and the path of each image by its id."""
    photos: dict[Any, tuple[str, str]] = {}
    names = set()
    for number, record in enumerate(_records(content, "images", path), 1):
        where = f"{path}: image {number}"
        key = _key(record.get("id"), "an id", where)
        name, image = photo_path(root, record.get("file_name"), where)
        if key in photos or image in names:
            raise InputError(f"{where}: expected every id and file name once, got {key!r}, {name[:60]!r} again")
        photos[key] = (name, image)
        names.add(image)
    return photos


def _faces(content: Any, photos: dict[Any, Any], classes: FaceClasses, path: str) -> dict[Any, list[_Face]]:
    """Return the faces by the ids of their images."""
    categories = {}
    for number, record in enumerate(_records(content, "categories", path), 1):
        key = _key(record.get("id"), "an id", f"{path}: category {number}")
        categories[key] = str(record.get("name"))
    faces: dict[Any, list[_Face]] = {}
    for number, record in enumerate(_records(content, "annotations", path), 1):
        where = f"{path}: annotation {number}"
        image = _key(record.get("image_id"), "an image_id", where)
        category = _key(record.get("category_id"), "a category_id", where)
        if image not in photos or category not in categories:
            what = f"image {image!r}" if image not in photos else f"category {category!r}"
            raise InputError(f"{where}: expected a listed image and category, got {what}")
        if not classes.takes(categories[category], where):
            continue
        ignored = any(record.get(flag) not in (None, 0, False) for flag in ("iscrowd", "ignore"))
        box = four_numbers(record.get("bbox"), f"bbox: {SIZED}", where)
        faces.setdefault(image, []).append((box, ignored, where))
        if len(faces[image]) > MAX_FACES:
            raise InputError(f"{where}: expected at most {MAX_FACES} faces a photo, got more for image {image!r}")
    return faces


def _annotation(name: str, image: str, faces: list[_Face], left_out: LeftOut) -> Annotation:
    values = np.array([box for box, _, _ in faces], np.float64).reshape(-1, 4)
    usable = usable_boxes(values, values[:, 2:], SIZED, lambda i: faces[i][2], left_out)
    ignored = np.array([flag for _, flag, _ in faces], bool)
    return annotation(name, image, from_xywh(values[usable]), ignored[usable].tolist())
