"""How much disk a run will take: estimated before anything long runs, known when the samples have been chosen."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.core.ops.boxes import sides
from gluon_mtcnn.core.packs.layout import rec_path, record_bytes
from gluon_mtcnn.core.types import ALL_FACES
from gluon_mtcnn.prepare_data.packing.options import Options
from gluon_mtcnn.prepare_data.packing.photo_table import PhotoTable
from gluon_mtcnn.prepare_data.packing.selection import SET_NAMES, targets
from gluon_mtcnn.prepare_data.sampling.candidates import ROW
from gluon_mtcnn.prepare_data.sampling.planner import Planner
from gluon_mtcnn.prepare_data.sampling.squares import Recipe, size_class

log = logging.getLogger(__name__)
RESERVE = 64 << 20
INDEX_BYTES = 20  # a record's line in .idx, about
CROP_BYTES, LINE_BYTES = 4096, 400  # a loose crop: a block of the file system, its line in the list and in the cache
FACES = 1 << 14  # faces that are looked at together


def expected_samples(table: PhotoTable, recipe: Recipe, negatives: float) -> np.ndarray:
    """Return how many samples (4,) of each class the photos will give at most or about, from their annotations alone.

    Parameters
    ----------
    recipe : Recipe
        Its caps a face count; detections that exceed them do not.
    negatives : float
        A photo's share of random or mined negatives.
    """
    total = np.zeros(4)
    photos = np.flatnonzero(table.photos["source"] == ALL_FACES)
    caps = np.array([recipe.positives, recipe.parts])
    total[1] = len(photos) * negatives
    points = 0
    for start in range(0, len(table.faces), FACES):
        faces = table.faces[start : start + FACES]
        longer = np.maximum(*sides(faces["box"]))
        listed = _all_faces_listed(table, photos, start, len(faces))
        usable = ~faces["ignore"] & (longer >= recipe.min_face) & listed
        total[[0, 2]] += caps[:, size_class(faces["box"][usable], recipe.size_steps)].sum(axis=1)
        total[1] += np.count_nonzero(usable) * recipe.near_negatives
        known = np.isfinite(faces["points"]).all(axis=(1, 2))
        points += np.count_nonzero(known & ~faces["ignore"] & (longer >= recipe.landmark_min_face))
    total[3] = points * recipe.landmarks
    return total


def _all_faces_listed(table: PhotoTable, photos: np.ndarray, start: int, count: int) -> np.ndarray:
    """Return which faces (count,) from `start` on belong to photos all of whose faces are listed."""
    edges = np.zeros(count + 1, np.int64)
    first = np.clip(table.photos["face_at"][photos] - start, 0, count)
    last = np.clip(table.photos["face_at"][photos] + table.photos["faces"][photos] - start, 0, count)
    np.add.at(edges, first, 1)
    np.add.at(edges, last, -1)
    return edges[:-1].cumsum() > 0


def check_expected_disk(out: Path, work: Path, table: PhotoTable, planner: Planner, options: Options) -> None:
    """Estimate from the annotations what will be written, and refuse to begin without the disk for it.

    Raises
    ------
    InputError
        The disk has no room.
    """
    planned = expected_samples(table, planner.recipe, planner.expected_negatives)
    used = float(targets(planned, options.ratio, options.counts).sum())
    other = planned.sum() * ROW.itemsize + planner.gathered_bytes * len(table)
    check_disk(out, work, options, planner.size, used, other, "about ")


def check_disk(
    out: Path, work: Path, options: Options, size: int, samples: float, other: float = 0, about: str = ""
) -> None:
    """Say how much disk the packs, and the loose crops where they are wanted, take; refuse to go on without it.

    Parameters
    ----------
    size : int
        Side of the images in pixels.
    samples : float
        Records of all sets.
    other : float
        Bytes of what else will be written.
    about : str
        Put before figures that are an estimate.

    Raises
    ------
    InputError
        The disk has no room.
    """
    copies = 1 if options.payload == "bmp" else 2  # cut as BMP, then coded
    needs = {str(out): samples * copies * (record_bytes(size) + INDEX_BYTES) + other}
    if options.imdb:
        key = str(out) if _device(options.imdb) == _device(out) else str(options.imdb)
        needs[key] = needs.get(key, 0) + samples * (CROP_BYTES + LINE_BYTES)
    had = sum(rec_path(work, name).stat().st_size for name in SET_NAMES if rec_path(work, name).exists())
    for folder, need in needs.items():
        free = shutil.disk_usage(_existing(folder)).free + (had if folder == str(out) else 0)
        log.info("%s%s samples, %.1f MB (%.1f GB of disk free)", about, f"{samples:,.0f}", need / 1e6, free / 1e9)
        if need + RESERVE > free:
            raise InputError(f"{folder}: expected {about}{need / 1e6:.0f} MB of free disk, got {free / 1e6:.0f} MB")


def _existing(path: PathLike) -> Path:
    """Return the path or the nearest folder above it that exists."""
    path = Path(path).absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _device(path: PathLike) -> int:
    return os.stat(_existing(path)).st_dev
