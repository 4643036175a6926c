"""Photos of one's own with their annotated faces, for evaluations that need no ground truth in .mat files."""

from __future__ import annotations

from pathlib import Path

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.prepare_data.annotations.csv_boxes import read_csv
from gluon_mtcnn.prepare_data.annotations.left_out import MOST, LeftOut
from gluon_mtcnn.prepare_data.annotations.wider import parse_ignore, read_wider


def read_annotations(
    path: Path, images: Path, ignore: str, max_left_out: float = MOST, quiet: bool = False
) -> list[Annotation]:
    """Read CSV (by the suffix ``.csv``) or WIDER's text.

    Parameters
    ----------
    path : the annotation file
    images : folder of the photos
    ignore : str
        Which of WIDER's faces to ignore, as `parse_ignore` reads it.
    max_left_out : float
        Share of the faces that may have no usable box.
    quiet : bool
        Do not report faces that are left out.

    Returns
    -------
    list of Annotation
        Boxes are inclusive pixels ``x1 y1 x2 y2``.

    Raises
    ------
    InputError
        The file is unreadable, lists no photo, lists one twice, or too many faces are left out.
    """
    is_csv = path.suffix.lower() == ".csv"
    left_out = LeftOut(path, max_left_out, quiet)
    if is_csv:
        photos = list(read_csv(path, images, left_out))
    else:
        photos = list(read_wider(path, images, parse_ignore(ignore), left_out))
    if not photos:
        raise InputError(f"{path}: expected annotated photos, got none")
    seen: set[str] = set()
    for photo in photos:
        if photo.name in seen:
            raise InputError(f"{path}: {photo.name} is there twice: list all faces of a photo together")
        seen.add(photo.name)
    return photos
