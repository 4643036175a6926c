"""``anno.txt`` of Seanlinx/mtcnn: a photo a line, ``path x1 y1 x2 y2 x1 y1 x2 y2 ...``.

Its x2 is x + width, one more than in our inclusive boxes. Paths come with or without their ``.jpg``; the original adds
it to every path, so it is left out in writing. Every face counts in this format: it cannot mark one as ignored.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, replacing_text
from gluon_mtcnn.core.ops.boxes import MAX_COORDINATE
from gluon_mtcnn.core.seanlinx.imglist import image_file, is_number, iterate_lines, trailing_numbers
from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.prepare_data.annotations.box_forms import CORNERS, separator_hint
from gluon_mtcnn.prepare_data.annotations.left_out import LeftOut, usable_boxes

TO_INCLUSIVE = np.array([0, 0, 1, 1], np.float32)


def read_anno(path: PathLike, images: PathLike, left_out: Optional[LeftOut] = None) -> Iterator[Annotation]:
    """Yield the photos of an ``anno.txt``.

    A line without numbers is a photo without faces; a face of no width or height is left out and counted. A path may
    hold spaces as long as neither its second nor its last word is a number.

    Parameters
    ----------
    path : the file
    images : folder that its paths start from
    left_out : LeftOut, optional
        Counts the faces; default: one that reports at the end and allows a tenth.

    Yields
    ------
    Annotation
        ``name`` as in the file, with forward slashes; ``image`` with ``.jpg`` where the name has no image suffix.

    Raises
    ------
    InputError
        The file cannot be read, a line does not have four finite numbers a face, a face has a negative size or is
        given in fractions of the photo (the message names the line), or too many faces are left out.
    """
    left_out = LeftOut(path) if left_out is None else left_out
    for numbers, lines in iterate_lines(path):
        for number, line in zip(numbers, lines):
            yield _parse(line, os.fspath(images), f"{path}:{number}", left_out)
    left_out.finish()


def _parse(line: str, images: str, where: str, left_out: LeftOut) -> Annotation:
    words = line.split()
    columns = trailing_numbers(words)
    values = words[len(words) - columns :]
    boxes = np.array([float(value) for value in values])
    hint = "" if columns else separator_hint(line)
    if hint:
        raise InputError(f"{where}: expected a path and 4 numbers a face, got {line[:60]!r}{hint}")
    if not _tells_apart(words, columns):
        odd = next(word for word in words[2:] if not is_number(word))
        raise InputError(f"{where}: expected a path and 4 numbers a face, got {odd!r}{separator_hint(line)}")
    if columns % 4:
        raise InputError(f"{where}: expected a path and 4 numbers a face, got {columns} numbers{separator_hint(line)}")
    fits = np.abs(boxes) <= MAX_COORDINATE
    if not fits.all():
        raise InputError(
            f"{where}: expected finite numbers up to {MAX_COORDINATE:g}, got {values[int(np.argmin(fits))]!r}"
        )
    boxes = boxes.reshape(-1, 4)
    boxes = boxes[usable_boxes(boxes, boxes[:, 2:] - boxes[:, :2], CORNERS, lambda _: where, left_out)] - TO_INCLUSIVE
    name = line.rsplit(None, columns)[0]
    return Annotation(os.path.join(images, image_file(name)), boxes, np.zeros(len(boxes), bool), name=name)


def _tells_apart(words: Sequence[str], columns: int) -> bool:
    """Tell whether numbers begin once only: else a word among them is wrong, or belongs to the path, who knows."""
    return columns == len(words) - 1 or not is_number(words[1])


def write_anno(path: PathLike, annotations: Iterable[Annotation]) -> int:
    """Write an ``anno.txt`` that the original reads, atomically; return how many photos are in it.

    Ignored faces are written like others, lest the original take them for background.

    Raises
    ------
    InputError
        A photo's name does not fit: its second or last word is a number, or it spans lines.
    """
    count = 0
    with replacing_text(path) as file:
        for annotation in annotations:
            name = annotation.name or annotation.image
            name = name[:-4] if image_file(name[:-4]) == name else name
            words = name.split()
            if not words or "\n" in name or trailing_numbers(words) or not _tells_apart(words, 0):
                raise InputError(f"{path}: the name {name!r} cannot be told from the numbers of a line")
            boxes = (annotation.boxes + TO_INCLUSIVE).ravel().tolist()
            file.write(" ".join([name, *(f"{value:.9g}" for value in boxes)]) + "\n")
            count += 1
    return count
