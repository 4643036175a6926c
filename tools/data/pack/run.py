"""A Seanlinx image list or imdb cache turned into a training pack: what ``gluon-mtcnn pack`` does, as a function."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np
from tqdm import tqdm

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.core.ops import image as images
from gluon_mtcnn.core.packs.manifest import PAYLOADS
from gluon_mtcnn.core.packs.pack import PackWriter
from gluon_mtcnn.core.seanlinx.imdb import read_samples
from gluon_mtcnn.core.types import CELL_STRIDE, INPUT_SIZE
from gluon_mtcnn.prepare_data.annotations.left_out import FEWEST, MOST
from gluon_mtcnn.tools.cli.checks import OptionChecks
from gluon_mtcnn.tools.cli.options import existing_dir

CHUNK = 4096
LARGEST_TARGET = 4.0  # sides: an IoU of 0.4 allows offsets up to 1.5
SIZES = sorted({*INPUT_SIZE.values(), *CELL_STRIDE})


@dataclass(frozen=True)
class PackOptions:
    """The options of a packing: those of ``gluon-mtcnn pack``, with the same defaults.

    Attributes
    ----------
    imdb : path
        The ``--root_path`` of Seanlinx/mtcnn, which holds ``cache/``.
    image_set : str
        ``train_12``, ``train_24``, ``train_48``, ...
    out : path
        Folder of the pack.
    dataset_path : path, optional
        Holds ``images/`` and ``imglists/``; default: ``mtcnn`` in `imdb`.
    size : int, optional
        Side of the crops in pixels; default: the number at the end of `image_set`.
    payload : {"bmp", "jpg", "png"}
        Of the records; bmp is the fastest to read.
    strict : bool
        Stop at the first crop that cannot be read; else it is left out.
    max_left_out : float
        Share of the faces whose targets may be too large for fractions of the crop's side.
    quiet : bool
        No progress bar.
    """

    imdb: PathLike
    image_set: str
    out: PathLike
    dataset_path: Optional[PathLike] = None
    size: Optional[int] = None
    payload: str = "bmp"
    strict: bool = False
    max_left_out: float = MOST
    quiet: bool = False

    def __post_init__(self) -> None:
        OptionChecks("pack", self).choices({"size": SIZES, "payload": PAYLOADS})


@dataclass(frozen=True)
class PackResult:
    """What a packing left.

    Attributes
    ----------
    folder : Path
        Folder of the pack, as `core.packs.pack.Pack` opens it.
    count, listed : int
        Crops in the pack, and in the list or cache.
    classes : dict of str to int
        Crops in the pack by class.
    skipped : list of str
        Why each crop that is missing was left out.
    """

    folder: Path
    count: int
    listed: int
    classes: dict[str, int]
    skipped: list[str]


def pack_imdb(options: PackOptions) -> PackResult:
    """Turn a Seanlinx image list or imdb cache and its loose crops into a training pack.

    Raises
    ------
    InputError
        The list or cache cannot be read or holds pixels, or no crop can be read; with `strict` the first crop that
        cannot be read.
    """
    size = options.size or _size_of(options.image_set)
    existing_dir(options.imdb, "imdb root")
    paths, rows = read_samples(options.imdb, options.image_set, options.dataset_path)
    _check_targets(paths, rows, f"{options.imdb}: {options.image_set}", options.max_left_out)
    skipped: list[str] = []
    metadata: dict[str, Any] = {"source": {"imdb": options.image_set, "listed": len(paths)}}
    with PackWriter(options.out, size=size, payload=options.payload, metadata=metadata) as writer:
        for chunk, chunk_rows in _read_chunks(paths, rows, size, skipped, options):
            writer.append(chunk, chunk_rows)
        if writer.count == 0:
            raise InputError(
                f"{options.imdb}: {options.image_set}: none of the {len(paths)} crops can be read: {skipped[:1]}"
            )
        metadata["source"]["skipped"] = len(skipped)
    return PackResult(Path(options.out), writer.count, len(paths), writer.classes, skipped)


def _check_targets(paths: Sequence[str], rows: np.ndarray, where: str, most: float) -> None:
    """Refuse samples (n, 15) whose offsets and landmarks are pixels: fractions of the crop's side are small numbers."""
    wild = (np.abs(rows[:, 1:]) > LARGEST_TARGET).any(axis=1)
    faces = int(np.count_nonzero(rows[:, 0]))
    if faces >= FEWEST and wild.sum() > most * faces:
        raise InputError(
            f"{where}: {wild.sum()} of {faces} faces have offsets or landmarks beyond {LARGEST_TARGET:g} sides of "
            f"their crop (the first: {paths[int(wild.argmax())]}): this looks like pixels, expected fractions "
            "(--max-left-out 1 goes on all the same)"
        )


def _size_of(image_set: str) -> int:
    """Return the side that an image set's name tells: train_24 -> 24."""
    match = re.search(rf"_({'|'.join(map(str, SIZES))})$", image_set)
    if not match:
        raise InputError(f"--image-set {image_set}: expected a name that ends in _12, _24 or _48, or give --size")
    return int(match[1])


def _read_chunks(
    paths: list[str], rows: np.ndarray, size: int, skipped: list[str], options: PackOptions
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield images (n, size, size, 3) and their rows, some thousand at a time; note what cannot be read."""
    with tqdm(total=len(paths), desc="pack", unit="crop", disable=options.quiet) as bar:
        for start in range(0, len(paths), CHUNK):
            crops, kept = [], []
            for i, path in enumerate(paths[start : start + CHUNK], start):
                try:
                    crops.append(_read_crop(path, size))
                    kept.append(i)
                except InputError as error:
                    if options.strict:
                        raise
                    skipped.append(str(error))
            if crops:
                yield np.stack(crops), rows[kept]
            bar.update(min(CHUNK, len(paths) - start))


def _read_crop(path: str, size: int) -> np.ndarray:
    crop = images.read(path)
    if crop.shape[:2] != (size, size):
        crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_LINEAR)
    return crop
