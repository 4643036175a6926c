"""The units of work behind a pack: planning the samples of a few photos, and cutting the chosen ones out.

Everything passes through files in a work folder, so that units can run in any process and again after a kill:

    table/           the annotations (prepare_data.packing.photo_table)
    plan/000012      the planned samples of unit 12, rows of prepare_data.sampling.candidates
    beyond/000012    how many faces of unit 12 reach beyond their photos; no file if none does
    skipped/000012   the photos of unit 12 that cannot be used, as JSON; no file if all can
    train.rec ...    the packs while they are filled
    cut/000012       unit 12 is in the packs

Units are fixed runs of photos, whatever the number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import read_json, replacing, write_json
from gluon_mtcnn.core.files.mapped import map_file
from gluon_mtcnn.core.ops import image
from gluon_mtcnn.core.packs.layout import encode_records, rec_path
from gluon_mtcnn.core.packs.writer import write_at
from gluon_mtcnn.core.types import NETS, Annotation
from gluon_mtcnn.prepare_data.annotations.photo_size import image_size
from gluon_mtcnn.prepare_data.packing.beyond_photos import BeyondPhotos
from gluon_mtcnn.prepare_data.packing.photo_table import PhotoTable
from gluon_mtcnn.prepare_data.packing.selection import CLASSES, SET_NAMES, class_of
from gluon_mtcnn.prepare_data.sampling.candidates import ROW, cut, plan_rows
from gluon_mtcnn.prepare_data.sampling.planner import Planner

UNIT = 32  # photos
TABLE, PLAN, SKIPPED, CUT = "table", "plan", "skipped", "cut"
BUFFER = 1 << 19  # bytes of pixels that are encoded and written at once: more is no faster
Skipped = list[tuple[int, str]]  # photo, reason


def unit_count(photos: int) -> int:
    """Return how many units the photos make."""
    return -(-photos // UNIT)


def unit_photos(unit: int, photos: int) -> range:
    """Return the numbers of a unit's photos."""
    return range(unit * UNIT, min((unit + 1) * UNIT, photos))


def plan_path(work: Path, unit: int) -> Path:
    """Return the file of a unit's planned samples."""
    return work / PLAN / f"{unit:06d}"


def done_path(work: Path, unit: int) -> Path:
    """Return the file whose existence says that a unit's samples are in the packs."""
    return work / CUT / f"{unit:06d}"


@lru_cache(maxsize=1)
def _open_table(folder: Path, made: int) -> PhotoTable:
    return PhotoTable(folder)


def open_table(work: Path) -> PhotoTable:
    """Return the annotations of a work folder; a worker opens them once."""
    folder = work / TABLE
    return _open_table(folder, (folder / "photos.bin").stat().st_mtime_ns)


def plan_unit(work: Path, unit: int, planner: Planner, seed: int, skip: Mapping[int, str], strict: bool) -> Skipped:
    """Plan a unit's samples into its file; return the photos that cannot be used.

    Parameters
    ----------
    skip : mapping of photo to reason
        Photos that are known not to decode.
    strict : bool
        Raise InputError at the first photo that cannot be used.
    """
    table = open_table(work)
    rows, skipped, beyond = [np.zeros(0, ROW)], [], BeyondPhotos()
    for photo in unit_photos(unit, len(table)):
        annotation = table[photo]
        try:
            if photo in skip:
                raise InputError(skip[photo])
            width, height = image_size(annotation.image)
            beyond.add(annotation, width, height)
            _check_faces(annotation, width, height)
        except InputError as error:
            if strict:
                raise
            skipped.append((photo, str(error)))
            continue
        rng = np.random.default_rng([seed, NETS.index(planner.net), photo])
        samples = planner.plan(photo, int(table.photos["source"][photo]), annotation, width, height, rng)
        rows.append(plan_rows(photo, samples, rng))
    if skipped:
        write_json(work / SKIPPED / f"{unit:06d}", skipped)
    beyond.write(work, unit)
    with replacing(plan_path(work, unit)) as temporary:
        np.concatenate(rows).tofile(temporary)
    return skipped


def _check_faces(annotation: Annotation, width: int, height: int) -> None:
    """Refuse a photo that a face lies wholly outside of: its annotation fits another photo or size."""
    x1, y1, x2, y2 = annotation.boxes.T
    outside = ~annotation.ignore & ((x1 >= width) | (y1 >= height) | (x2 < 0) | (y2 < 0))
    for box in annotation.boxes[outside][:1]:
        raise InputError(
            f"{annotation.image}: expected faces in the photo's {width} x {height} pixels, got x1 y1 x2 y2 = "
            + " ".join(f"{value:g}" for value in box)
        )


def read_skipped(work: Path) -> Skipped:
    """Return the photos that the planned units could not use, in order."""
    paths = sorted((work / SKIPPED).glob("*")) if (work / SKIPPED).is_dir() else []
    return [(int(photo), str(reason)) for path in paths for photo, reason in read_json(path)]


def read_plan(work: Path, unit: int, validates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a unit's planned samples (n,) of `ROW`, mapped, and the group (n,) of each: set * 4 + class.

    Parameters
    ----------
    validates : (photos of the unit,) bool
    """
    rows = map_file(plan_path(work, unit), ROW)
    return rows, validates[rows["photo"] - unit * UNIT] * len(CLASSES) + class_of(rows["row"][:, 0])


def cut_unit(
    work: Path, unit: int, size: int, validates: np.ndarray, limits: np.ndarray, firsts: np.ndarray
) -> Skipped:
    """Cut a unit's chosen samples out of their photos, into their places in the packs; return what did not decode.

    Parameters
    ----------
    size : int
        Side of the samples, pixels.
    validates : (photos of the unit,) bool
        Which set each photo belongs to.
    limits : (8,) int64
        Samples with a key below their group's are chosen.
    firsts : (2,) int64
        Number of the unit's first record in each set.
    """
    rows, group = read_plan(work, unit, validates)
    rows = rows[rows["key"] < limits[group]]
    packs = [_Filler(rec_path(work, name), int(first)) for name, first in zip(SET_NAMES, firsts)]
    table, skipped = open_table(work), []
    for photo, photo_rows in _by_photo(rows):
        try:
            pixels = image.read(table.texts(photo)[0])
        except InputError as error:
            skipped.append((photo, str(error)))
            continue
        packs[int(validates[photo - unit * UNIT])].add(cut(pixels, photo_rows, size), photo_rows["row"])
    for pack in packs:
        pack.flush()
    if not skipped:
        done_path(work, unit).touch()
    return skipped


class _Filler:
    """Writes consecutive samples into a pack from a record on, many at a time."""

    def __init__(self, path: Path, first: int) -> None:
        self._path, self._next = path, first
        self._images: list[np.ndarray] = []
        self._rows: list[np.ndarray] = []

    def add(self, images: np.ndarray, rows: np.ndarray) -> None:
        self._images.append(images)
        self._rows.append(rows)
        if sum(images.nbytes for images in self._images) >= BUFFER:
            self.flush()

    def flush(self) -> None:
        if self._images:
            records = encode_records(np.concatenate(self._images), np.concatenate(self._rows), self._next)
            with open(self._path, "r+b") as file:
                write_at(file, self._next, records)
            self._next += len(records)
            self._images, self._rows = [], []


def _by_photo(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the rows of each photo; rows of a photo are together."""
    starts = np.flatnonzero(np.diff(rows["photo"], prepend=-1))
    for part in np.split(rows, starts[1:]):
        if len(part):
            yield int(part["photo"][0]), part
