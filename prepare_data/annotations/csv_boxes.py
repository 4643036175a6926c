"""Photos of one's own, annotated in a CSV file.

The first line names the columns, in any order: ``image,x1,y1,x2,y2``; optionally ``ignore`` (1: neither a face nor
background) and all ten of ``left_eye_x,left_eye_y,right_eye_x,right_eye_y,nose_x,nose_y,left_mouth_x,left_mouth_y,
right_mouth_x,right_mouth_y``. A line a face, in inclusive pixels of the photo as stored; a photo without faces has one
line with the other columns empty. Paths start from the CSV's folder. Every face of a photo must be listed.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Optional, Union

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.ops.boxes import MAX_COORDINATE
from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.prepare_data.annotations.box_forms import CORNERS, SIZED, are_fractions, guess_form, refuse_fractions
from gluon_mtcnn.prepare_data.annotations.left_out import LeftOut

PathLike = Union[str, os.PathLike]
BOX = ("x1", "y1", "x2", "y2")
POINTS = tuple(
    f"{point}_{axis}" for point in ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth") for axis in "xy"
)
_Face = tuple[list[float], bool, list[float]]  # box, ignored, points (NaN where not given)


def read_csv(
    path: PathLike, images: Optional[PathLike] = None, left_out: Optional[LeftOut] = None
) -> Iterator[Annotation]:
    """Yield the photos of a CSV file in the order of their first lines; lines of a photo need not be together.

    Faces without points have NaN landmarks; without the columns `Annotation.landmarks` is None.

    Parameters
    ----------
    path : path of the CSV file
    images : folder that relative paths start from
        Default: the CSV's own.
    left_out : LeftOut, optional
        Counts the faces. This reader leaves none out: a line that is no face is refused.

    Raises
    ------
    InputError
        The file is missing, lacks a column, or has a line that is not a face; the message names the line.
    """
    left_out = LeftOut(path) if left_out is None else left_out
    root = str(Path(path).parent if images is None else images)
    photos: dict[str, list[_Face]] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True, strict=True)
            columns = _check_columns(reader.fieldnames, str(path))
            for row in reader:
                if _is_blank(row):
                    continue
                name, face = _parse_row(row, columns, f"{path}:{reader.line_num}")
                faces = photos.setdefault(name, [])
                if face is not None:
                    faces.append(face)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: expected CSV text: {error}") from None
    for name, faces in photos.items():
        left_out.count(len(faces))
        yield _annotation(name, faces, root, POINTS[0] in columns)
    left_out.finish()


def _check_columns(names: Optional[object], path: str) -> tuple[str, ...]:
    columns = tuple(str(name).strip() for name in names or ())  # type: ignore[attr-defined]
    missing = [name for name in ("image", *BOX) if name not in columns]
    given = [name for name in POINTS if name in columns]
    if given and len(given) != len(POINTS):
        missing += [name for name in POINTS if name not in columns]
    unknown = [name for name in columns if name not in ("image", *BOX, "ignore", *POINTS)]
    if missing or unknown or len(set(columns)) != len(columns):
        wanted = "image,x1,y1,x2,y2[,ignore][,ten landmark columns]"
        problem = f"without {missing[0]!r}" if missing else f"with {unknown[0]!r}" if unknown else "with one twice"
        got = f"got {','.join(columns)[:80]!r} {problem}{_hint(columns)}"
        raise InputError(f"{path}:1: expected the columns {wanted}, {got}")
    return columns


def _hint(columns: tuple[str, ...]) -> str:
    """Return a sentence about a first line that is none of ours, where it is known what it is."""
    text = "".join(columns)
    for mark, name in ((";", "';'"), ("\t", "tabs")):
        if mark in text:
            return (
                f": the columns are separated by {name}, expected ','"
                " (Excel: save as CSV with commas, or replace them in an editor; decimals have a point)"
            )
    if {"w", "h"} <= {name.lower()[:1] for name in columns} and "x2" not in columns:
        return f": this looks like {SIZED}, expected {CORNERS} with x2 = x + w - 1, y2 = y + h - 1"
    return ""


def _is_blank(row: dict) -> bool:
    """Return whether a line holds blanks only; `csv` skips those that hold nothing at all."""
    first, *others = row.values()
    return not first.strip() and all(value is None for value in others)


def _parse_row(row: dict, columns: tuple[str, ...], where: str) -> tuple[str, Optional[_Face]]:
    if None in row or None in row.values():
        raise InputError(f"{where}: expected {len(columns)} fields, got {len(row.get(None) or ()) + _filled(row)}")
    fields = {key.strip(): value.strip() for key, value in row.items()}
    name = fields.pop("image").replace("\\", "/")
    if not name:
        raise InputError(f"{where}: expected the path of a photo, got nothing")
    if not any(fields.values()):
        return name, None
    box = [_number(fields[key], key, where) for key in BOX]
    values = np.array(box)
    if are_fractions(values):
        refuse_fractions(values, where)
    if box[2] < box[0] or box[3] < box[1]:
        got = " ".join(fields[key] for key in BOX)
        raise InputError(f"{where}: expected x1 <= x2 and y1 <= y2, got {got}{guess_form(values, CORNERS)}")
    if fields.get("ignore", "") not in ("", "0", "1"):
        raise InputError(f"{where}: ignore: expected 0 or 1, got {fields['ignore']!r}")
    texts = [fields.get(key, "") for key in POINTS]
    points = [_number(text, key, where) for text, key in zip(texts, POINTS)] if any(texts) else [np.nan] * len(POINTS)
    return name, (box, fields.get("ignore") == "1", points)


def _filled(row: dict) -> int:
    return sum(value is not None for key, value in row.items() if key is not None)


def _number(text: str, column: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not abs(value) <= MAX_COORDINATE:
        raise InputError(f"{where}: {column}: expected a number up to {MAX_COORDINATE:g}, got {text!r}")
    return value


def _annotation(name: str, faces: list[_Face], root: str, has_points: bool) -> Annotation:
    return Annotation(
        image=os.path.join(root, name),
        boxes=np.array([box for box, _, _ in faces], np.float32).reshape(-1, 4),
        ignore=np.array([ignored for _, ignored, _ in faces], bool),
        landmarks=np.array([p for _, _, p in faces], np.float32).reshape(-1, 5, 2) if has_points else None,
        name=name,
    )
