"""WIDER FACE's annotations, read one photo at a time: ``wider_face_train_bbx_gt.txt``, or the .mat beside it.

The text has, per photo: a line with its path below the image folder, a line with the number of faces, and a line a face
``x y w h blur expression illumination invalid occlusion pose``. A photo without faces has the count 0 and, in most
releases, one dummy line of zeros.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Optional, TextIO, Union

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import replacing_text
from gluon_mtcnn.core.ops.boxes import MAX_COORDINATE, extents, from_xywh
from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.prepare_data.annotations.box_forms import SIZED, separator_hint
from gluon_mtcnn.prepare_data.annotations.left_out import LeftOut, usable_boxes
from gluon_mtcnn.prepare_data.annotations.wider_mat import read_mat

PathLike = Union[str, os.PathLike]
ATTRIBUTES = ("blur", "expression", "illumination", "invalid", "occlusion", "pose")
COLUMNS = 4 + len(ATTRIBUTES)
IGNORE = {"blur": 2, "occlusion": 2, "invalid": 1}  # attribute -> value from which a face is ignored
MAX_FACES = 100_000


def parse_ignore(text: str) -> dict[str, int]:
    """Return the rule that ``blur=2,occlusion=2,invalid=1`` or ``none`` spells.

    Raises
    ------
    InputError
        An attribute that WIDER does not have, or a value that is not a whole number.
    """
    rule = {}
    for part in text.split(",") if text.strip().lower() not in ("", "none") else ():
        name, _, value = (field.strip() for field in part.partition("="))
        if name not in ATTRIBUTES or not value.isdecimal():
            raise InputError(f"ignore rule: expected {'|'.join(ATTRIBUTES)}=NUMBER or none, got {part!r}")
        rule[name] = int(value)
    return rule


def image_root(folder: PathLike) -> Path:
    """Return the folder that annotated paths start from: ``folder/images`` where WIDER keeps it, else `folder`."""
    inner = Path(folder) / "images"
    return inner if inner.is_dir() else Path(folder)


def read_wider(
    path: PathLike,
    images: PathLike,
    ignore: Optional[Mapping[str, int]] = None,
    left_out: Optional[LeftOut] = None,
) -> Iterator[Annotation]:
    """Yield the photos of a ``*_bbx_gt.txt`` or ``wider_face_train.mat`` in its order.

    Faces without area (a width or height below 1) are left out and counted. A photo's only line that is all zeros
    stands for no face.

    Parameters
    ----------
    path : path of the text file, or of a .mat (`wider_mat`)
    images : folder of the photos, or the ``WIDER_train`` above its ``images``
        Whether a photo exists is not looked at.
    ignore : mapping of attribute to int
        A face whose attribute is at least this is marked as ignored; default `IGNORE`.
    left_out : LeftOut, optional
        Counts the faces; default: one that reports at the end and allows a tenth.

    Raises
    ------
    InputError
        The file is missing, a line is not what it should be, a face has a negative size or is given in fractions of the
        photo (the message names the line, of a .mat the photo), or too many faces are left out.
    """
    ignore = IGNORE if ignore is None else ignore
    left_out = LeftOut(path) if left_out is None else left_out
    root = str(image_root(images))
    if str(path).lower().endswith(".mat"):
        for name, rows in read_mat(str(path), ATTRIBUTES):
            rows = _without_slips(rows, [f"{path}: {name}: face {i + 1}" for i in range(len(rows))], left_out)
            yield _annotation(name, rows, root, ignore)
        left_out.finish()
        return
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
            yield from _read_photos(file, str(path), root, ignore, left_out)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    left_out.finish()


def write_wider(path: PathLike, annotations: Iterable[Annotation]) -> int:
    """Write a ``*_bbx_gt.txt`` of annotations that `read_wider` gave, atomically; return how many photos are in it."""
    count = 0
    with replacing_text(path) as file:
        for photo in annotations:
            corner, size = photo.boxes[:, :2], extents(photo.boxes)
            columns = [photo.attributes[name] for name in ATTRIBUTES if name in photo.attributes]
            rows = np.concatenate([corner, size, *(column[:, None] for column in columns)], axis=1).tolist()
            lines = [photo.name, str(len(rows)), *(" ".join(f"{value:.9g}" for value in row) for row in rows)]
            file.write("".join(f"{line}\n" for line in lines))
            count += 1
    return count


def _read_photos(
    file: TextIO, path: str, root: str, ignore: Mapping[str, int], left_out: LeftOut
) -> Iterator[Annotation]:
    lines = enumerate(file, 1)
    held: Optional[tuple[int, str]] = None  # a line read too far: what follows a count of 0
    while True:
        number, line = held or next(lines, (0, ""))
        held = None
        if number == 0:
            return
        name = line.strip().replace("\\", "/")
        if not name:
            continue
        if _is_row(name):
            raise InputError(
                f"{path}:{number}: expected the path of a photo, got {name[:60]!r}: more faces than counted?"
            )
        count = _read_count(next(lines, (number + 1, "")), path)
        rows = [next(lines, (number + 2 + i, "")) for i in range(count)]
        if count == 0:
            held = next(lines, None)
            if held and _is_row(held[1]):  # the dummy line
                held = None
        values = _without_slips(_parse_rows(rows, path), [f"{path}:{line}" for line, _ in rows], left_out)
        yield _annotation(name, values, root, ignore)


def _is_row(line: str) -> bool:
    """Return whether a line is numbers only, as a face's."""
    fields = line.split()
    return len(fields) >= 4 and all(field.lstrip("-").replace(".", "", 1).isdigit() for field in fields)


def _read_count(line: tuple[int, str], path: str) -> int:
    text = line[1].strip()
    if not text.isdecimal() or len(text) > 9 or int(text) > MAX_FACES:
        raise InputError(f"{path}:{line[0]}: expected the number of faces, got {text[:60]!r}")
    return int(text)


def _parse_rows(lines: list[tuple[int, str]], path: str) -> np.ndarray:
    """Return the faces' lines as (n, 10) float64; (n, 4) if all have four columns."""
    rows = [line.split() for _, line in lines]
    width = 4 if rows and all(len(row) == 4 for row in rows) else COLUMNS
    for (number, line), row in zip(lines, rows):
        if len(row) != width:
            got = f"{len(row)}: {line.strip()[:60]!r}{_separator(line)}" if line else "the file's end"
            raise InputError(f"{path}:{number}: expected {width} numbers a face (x y w h and attributes), got {got}")
    try:
        values = np.array(rows, np.float64).reshape(-1, width)
    except ValueError:
        values = np.full((len(rows), 1), np.nan)
    if not _are_usable(values):
        number, line = next(item for item, row in zip(lines, rows) if not _are_usable(row))
        expected = f"{width} finite numbers up to {MAX_COORDINATE:g}"
        raise InputError(f"{path}:{number}: expected {expected}, got {line.strip()[:60]!r}{_separator(line)}")
    return values


def _separator(line: str) -> str:
    """Return a hint where the numbers of a face's line, which has no path, are separated by another character."""
    return separator_hint(f"face {line}")


def _are_usable(values: Union[np.ndarray, list[str]]) -> bool:
    try:
        return bool((np.abs(np.array(values, np.float64)) <= MAX_COORDINATE).all())
    except ValueError:
        return False


def _without_slips(rows: np.ndarray, places: list[str], left_out: LeftOut) -> np.ndarray:
    """Return the rows (n, columns) of a photo that have a size; count the others."""
    if len(rows) == 0 or (len(rows) == 1 and not rows[0, :4].any()):  # zeros stand for no face
        return np.zeros((0, COLUMNS))
    kept: np.ndarray = rows[usable_boxes(rows[:, :4], rows[:, 2:4], SIZED, places.__getitem__, left_out)]
    return kept


def _annotation(name: str, rows: np.ndarray, root: str, ignore: Mapping[str, int]) -> Annotation:
    columns = rows[:, 4:].astype(np.int32).T
    attributes = dict(zip(ATTRIBUTES, columns)) if len(columns) else {}
    ignored = np.zeros(len(rows), bool)
    for attribute, value in ignore.items():
        if attribute in attributes:
            ignored |= attributes[attribute] >= value
    return Annotation(os.path.join(root, name), from_xywh(rows[:, :4]), ignored, name=name, attributes=attributes)
