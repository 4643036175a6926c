"""Records -> the Seanlinx layout: loose crops, the image list, and the cache that the original loads.

    ROOT/mtcnn/images/12/{positive,negative,part,landmark}/N.jpg    N: number of the record; val_12/... for val.rec
    ROOT/mtcnn/imglists/train_12.txt                                val_12.txt
    ROOT/cache/mtcnn_train_12_gt_roidb.pkl                          and its manifest

Crops are written in units of some thousand records, each of which leaves a mark beside them; list and cache follow when
all are there. A folder of crops that bears no mark of ours is another program's and is not touched.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, read_json, write_json
from gluon_mtcnn.core.packs.layout import rec_path
from gluon_mtcnn.core.packs.readers import open_records
from gluon_mtcnn.core.seanlinx.imdb import cache_file, cache_source, image_path, imglist_path
from gluon_mtcnn.core.seanlinx.imdb_cache import Entry, manifest_path, to_entries, write_cache
from gluon_mtcnn.core.seanlinx.imglist import ImageList, write_imglist
from gluon_mtcnn.core.types import LABEL_NAMES
from gluon_mtcnn.prepare_data.executors.processes import UnitRunner, show_progress

UNIT = 4096  # records
NAME = "mtcnn"
MARKS, JOB = ".gluon-mtcnn", "job.json"
QUALITY = 95  # of JPEG, as the original's


def image_set_name(set_name: str, size: int) -> str:
    """Return what the original calls a set of records: train_12."""
    return f"{set_name}_{size}"


def _folder_name(set_name: str, size: int) -> str:
    return str(size) if set_name == "train" else image_set_name(set_name, size)


def crops_folder(root: PathLike, set_name: str, size: int) -> Path:
    """Return the folder of a set's crops."""
    return Path(root, NAME, "images", _folder_name(set_name, size))


def check_layout(root: PathLike, set_names: Iterable[str], size: int) -> None:
    """Refuse to write over crops, lists and caches that were not made here.

    Raises
    ------
    InputError
        There are some, or the folder is a file.
    """
    if Path(root).exists() and not Path(root).is_dir():
        raise InputError(f"--imdb {root}: expected a folder, found a file")
    for set_name in set_names:
        folder, image_set = crops_folder(root, set_name, size), image_set_name(set_name, size)
        if (folder / MARKS).is_dir():
            continue
        for path in (folder, imglist_path(Path(root, NAME), image_set), cache_file(root, image_set, NAME)):
            if path.is_file() or (path.is_dir() and any(path.iterdir())):
                raise InputError(f"{path}: made by another program, is not overwritten: give another --imdb")


def write_layout(
    work: Path, root: PathLike, counts: dict[str, int], size: int, job: str, workers: UnitRunner, quiet: bool
) -> None:
    """Write the crops, lists and caches of finished BMP records.

    Parameters
    ----------
    work : folder of ``train.rec`` ...
    root : the original's ``--root_path``
    counts : dict of set to number of records
    size : int
        Side of the images in pixels.
    job : str
        Tells these records from others: crops of the same job that are there already are not written again.
    """
    check_layout(root, counts, size)
    for set_name, count in counts.items():
        folder = crops_folder(root, set_name, size)
        _begin(Path(root), set_name, size, job)
        todo = [unit for unit in range(-(-count // UNIT)) if not _mark(folder, unit).exists()]
        tasks = ((rec_path(work, set_name), size, unit, folder.absolute()) for unit in todo)
        results = workers.run(write_crops, tasks)
        for _ in show_progress(results, f"crops of {set_name}", count, len(todo), UNIT, quiet, "crop"):
            pass
        _write_lists(rec_path(work, set_name), os.fspath(root), set_name, size)
        for mark in (folder / MARKS).glob("[0-9]*"):
            mark.unlink()


def _mark(folder: Path, unit: int) -> Path:
    """Return the file whose existence says that a unit's crops are there."""
    return folder / MARKS / f"{unit:06d}"


def _begin(root: Path, set_name: str, size: int, job: str) -> None:
    """Remove what was made of other records: the list and the cache first, since they vouch for the crops."""
    folder, image_set = crops_folder(root, set_name, size), image_set_name(set_name, size)
    cache = cache_file(root, image_set, NAME)
    for path in (cache, manifest_path(cache), imglist_path(root / NAME, image_set)):
        path.unlink(missing_ok=True)
    if not (folder / MARKS / JOB).is_file() or read_json(folder / MARKS / JOB) != job:
        write_json(folder / MARKS / JOB, "")  # stays while the rest goes: the folder remains ours
        for name in LABEL_NAMES.values():
            shutil.rmtree(folder / name, ignore_errors=True)
        for mark in (folder / MARKS).glob("[0-9]*"):
            mark.unlink()
        write_json(folder / MARKS / JOB, job)
    for name in LABEL_NAMES.values():
        (folder / name).mkdir(exist_ok=True)


def write_crops(path: Path, size: int, unit: int, folder: Path) -> None:
    """Write the JPEG crops of one unit's records."""
    records = open_records(path, size)
    first = unit * UNIT
    images, rows = records.read(np.arange(first, min(first + UNIT, len(records))))
    classes = [LABEL_NAMES[label] for label in rows[:, 0].astype(int).tolist()]
    for number, (image, name) in enumerate(zip(images, classes), first):
        coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
        with open(folder / name / f"{number}.jpg", "wb") as file:
            file.write(coded.data)
    _mark(folder, unit).touch()


def _samples(path: Path, set_name: str, size: int) -> Iterator[ImageList]:
    """Yield the lines of a set's list, some thousand at a time."""
    records, folder = open_records(path, size), _folder_name(set_name, size)
    for start in range(0, len(records), UNIT):
        rows = records.rows(slice(start, start + UNIT))
        labels = rows[:, 0].astype(np.int8)
        names = [f"{folder}/{LABEL_NAMES[label]}/{i}" for i, label in enumerate(labels.tolist(), start)]
        yield ImageList(names, labels, rows[:, 1:5], rows[:, 5:])


def _entries(pieces: Iterable[ImageList], dataset_path: str) -> Iterator[Entry]:
    for piece in pieces:
        paths: Sequence[str] = [image_path(dataset_path, name) for name in piece.names]
        yield from to_entries(ImageList(list(paths), piece.labels, piece.offsets, piece.landmarks))


def _write_lists(path: Path, root: str, set_name: str, size: int) -> None:
    """Write the image list, then the cache that was made of it."""
    dataset_path, image_set = os.path.join(root, NAME), image_set_name(set_name, size)
    imglist = imglist_path(dataset_path, image_set)
    write_imglist(imglist, _samples(path, set_name, size))
    entries = _entries(_samples(path, set_name, size), dataset_path)
    source = cache_source(imglist, dataset_path, "train", len(open_records(path, size)))
    write_cache(cache_file(root, image_set, NAME), entries, source)
