"""Photos held out of training: lists of photos parted in two, as annotation files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from itertools import compress
from pathlib import Path
from typing import Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.core.types import ALL_FACES, ONE_FACE, Annotation
from gluon_mtcnn.prepare_data.annotations.landmark_lists import read_landmarks, write_landmarks
from gluon_mtcnn.prepare_data.annotations.left_out import LeftOut
from gluon_mtcnn.prepare_data.annotations.wider import read_wider, write_wider
from gluon_mtcnn.prepare_data.packing.photo_table import PhotoTable, write_table
from gluon_mtcnn.prepare_data.packing.selection import choose_validation

TRAINING, DEVELOPMENT = "training", "development"


def faces_path(folder: PathLike, part: str) -> Path:
    """Return the WIDER text of a part (`TRAINING` or `DEVELOPMENT`)."""
    return Path(folder) / f"{part}_bbx_gt.txt"


def points_path(folder: PathLike, part: str) -> Path:
    """Return the landmark list of a part."""
    return Path(folder) / f"{part}_landmarks.txt"


def split_photos(
    folder: PathLike,
    fraction: float,
    seed: int,
    faces: tuple[PathLike, PathLike],
    points: Optional[tuple[PathLike, PathLike]] = None,
) -> dict[str, int]:
    """Part annotated photos into training and development; a function of the lists and the seed.

    Evenly over events and numbers of faces; a photo that is listed twice, and the photos of a person in a landmark
    list, are not split (`balance.choose_validation`).

    Parameters
    ----------
    folder : where the four lists go (two without `points`)
    fraction : float
        Share of the photos that become development.
    faces : (annotations, images) of WIDER
    points : (annotations, images) of a landmark list, optional

    Returns
    -------
    dict of file name to int
        How many photos each list names.

    Raises
    ------
    InputError
        From the readers; or one part would be empty.
    """
    counts = {}
    for source, given in ((ALL_FACES, faces), (ONE_FACE, points)):
        if given is None:
            continue
        held = _held_out(_read(source, given), source, fraction, seed)
        if held.all() or not held.any():
            raise InputError(f"{given[0]}: expected photos for training and development, got {len(held)} photos")
        path_of, write = (faces_path, write_wider) if source == ALL_FACES else (points_path, write_landmarks)
        for part, chosen in ((TRAINING, ~held), (DEVELOPMENT, held)):
            path = path_of(folder, part)
            counts[path.name] = write(path, compress(_read(source, given, quiet=True), chosen.tolist()))
    return counts


def _read(source: int, given: tuple[PathLike, PathLike], quiet: bool = False) -> Iterable[Annotation]:
    # faces without a usable box are reported here, and are not in the lists that are written
    left_out = LeftOut(given[0], most=1, quiet=quiet)
    return (read_wider if source == ALL_FACES else read_landmarks)(*given, left_out=left_out)


def _held_out(photos: Iterable[Annotation], source: int, fraction: float, seed: int) -> np.ndarray:
    """Return which photos (n,) bool are development."""
    with tempfile.TemporaryDirectory() as folder:
        write_table(folder, [(source, photos)])
        return choose_validation(PhotoTable(folder), fraction, np.random.default_rng([seed, source]))
