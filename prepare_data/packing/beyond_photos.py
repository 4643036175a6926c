"""Faces that reach far beyond their photos: a sign of boxes in another form, or of photos that were resized.

A list of corners that is read as ``x y w h`` has no box of negative size. Its boxes are too large, which shows at the
borders of the photos, whose sizes are known when samples are planned. Units of work leave their counts in files.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import read_json, write_json
from gluon_mtcnn.core.ops.boxes import area, clip, extents, touching
from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.prepare_data.annotations.left_out import FEWEST, MOST

log = logging.getLogger(__name__)
FOLDER = "beyond"
INSIDE = 0.5  # of a face's area: one with less of it in the photo is beyond it


class BeyondPhotos:
    """Counts the faces of a unit's photos that have less than half of their area in the photo."""

    def __init__(self) -> None:
        self.faces, self.like_corners, self.first = 0, 0, ""

    def add(self, annotation: Annotation, width: int, height: int) -> None:
        """Count the faces of a photo of this size that are not ignored."""
        boxes = annotation.boxes[~annotation.ignore].astype(np.float64)
        size = extents(boxes)
        boxes, size = boxes[(size >= 1).all(axis=1)], size[(size >= 1).all(axis=1)]
        inside = np.where(touching(boxes, height, width), area(clip(boxes, height, width)), 0)
        beyond = np.flatnonzero(inside < INSIDE * area(boxes))
        if len(beyond) == 0:
            return
        self.faces += len(beyond)
        far = size[beyond]  # would be the far corner if the list held corners
        self.like_corners += int(((far > boxes[beyond, :2]) & (far <= [width + 1, height + 1])).all(axis=1).sum())
        box = " ".join(f"{value:g}" for value in boxes[beyond[0]])
        self.first = self.first or f"{annotation.image} of {width} x {height} pixels has x1 y1 x2 y2 = {box}"

    def write(self, work: Path, unit: int) -> None:
        """Leave the counts of a unit, if there are any, in a work folder."""
        if self.faces:
            write_json(work / FOLDER / f"{unit:06d}", [self.faces, self.like_corners, self.first])


def check_beyond(work: Path, faces: int, most: float = MOST) -> None:
    """Refuse annotations of which too many faces are beyond their photos.

    Parameters
    ----------
    work : path of the work folder, in which the units have left their counts
    faces : int
        How many there are in all that are not ignored.
    most : float
        Share of the faces that may be beyond their photos; 1: any, with a warning.

    Raises
    ------
    InputError
        There are more, of at least `FEWEST`.
    """
    counts = [read_json(path) for path in sorted((work / FOLDER).glob("*"))] if (work / FOLDER).is_dir() else []
    beyond, like_corners = (sum(count[i] for count in counts) for i in (0, 1))
    if faces < FEWEST or beyond <= MOST * faces:
        return
    cause = (
        "this looks like x1 y1 x2 y2 where x y w h is expected"
        if 2 * like_corners > beyond
        else "were the photos resized after they were annotated?"
    )
    message = (
        f"{beyond} of {faces} faces lie for the most part outside of their photos (the first: {counts[0][2]}): {cause}"
    )
    if beyond > most * faces:
        raise InputError(f"{message} (--max-left-out 1 goes on all the same)")
    log.warning("%s", message)
