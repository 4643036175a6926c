"""FDDB's text files: folds, ellipse lists, detections, image sizes.

In memory, annotations and detections are dicts of image name (``2002/08/11/big/img_591``, no extension) to float64
arrays, in the order of the file:

- ellipses ``major_radius minor_radius angle center_x center_y``, (n, 5); pixels, the angle in radians from the x axis,
  clockwise on the screen;
- detected rectangles ``left top width height score``, (n, 5);
- detected ellipses, (n, 6): an ellipse and its score.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, replacing_text
from gluon_mtcnn.core.ops.boxes import MAX_COORDINATE
from gluon_mtcnn.core.ops.image import IMAGE_SUFFIXES
from gluon_mtcnn.tools.evaluate.fddb.regions import ELLIPSE_COLUMNS
from gluon_mtcnn.tools.evaluate.text_file import TextFile, numbers, whole_number

log = logging.getLogger(__name__)

RECTANGLE_COLUMNS = 5
SEANLINX_ROW = "%.2f %.2f %.2f %.2f %.5f"  # how Seanlinx/mtcnn writes a rectangle and its score
ELLIPSE_NAMES = "major_radius minor_radius angle center_x center_y"
DETECTION_NAMES = {RECTANGLE_COLUMNS: "left top width height score", ELLIPSE_COLUMNS: ELLIPSE_NAMES + " score"}
MAX_PIXELS = 1 << 28  # of a photo: a mask of it takes a quarter of a gigabyte
FOLD_LIST = re.compile(r"(FDDB-fold-\d+)\.txt", re.IGNORECASE)
FOLD_RESULT = re.compile(r".*fold-\d+.*out.*\.txt", re.IGNORECASE)


def image_name(text: str) -> str:
    """Return FDDB's name of an image: forward slashes, no extension of an image file."""
    name = text.strip().replace("\\", "/")
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and "." + suffix.lower() in IMAGE_SUFFIXES else name


def read_entries(path: PathLike, what: str, columns: Mapping[int, str]) -> dict[str, np.ndarray]:
    """Read ``name``, ``count``, then as many rows of numbers, over and over.

    Parameters
    ----------
    path : path of the file
    what : str
        What a row is ("detections"), for messages.
    columns : mapping of int to str
        The numbers of columns that rows may have, and their names; all rows of a file must agree.

    Returns
    -------
    dict of image name to (count, columns) float64; (0, smallest number of columns) for images without rows

    Raises
    ------
    InputError
        The file is not of this form, names an image twice, or holds a number that is not finite or a coordinate
        (one of the first four numbers) beyond 1e6.
    """
    file = TextFile(path)
    entries: dict[str, np.ndarray] = {}
    at = 0
    while at < len(file.lines):
        name, start = image_name(file.lines[at]), at + 2
        if len(numbers(file.lines[at])) > 1:
            file.fail(at, "an image name (is the count above it right?)")
        if name in entries:
            file.fail(at, "every image once, it is above too")
        count = whole_number(file.lines[at + 1]) if at + 1 < len(file.lines) else None
        if count is None:
            file.fail(at + 1, f"the number of {what} of {name}")
        if start + count > len(file.lines):
            file.fail(at + 1, f"at most the {len(file.lines) - start} {what} that follow")
        rows = entries[name] = file.rows(start, count, columns)
        beyond = np.flatnonzero((np.abs(rows[:, :4]) > MAX_COORDINATE).any(axis=1))
        if len(beyond):
            file.fail(start + int(beyond[0]), f"coordinates up to {MAX_COORDINATE:g}")
        if count:
            columns = {rows.shape[1]: columns[rows.shape[1]]}
        at = start + count
    return entries


def read_ellipses(path: PathLike) -> dict[str, np.ndarray]:
    """Read an ellipse list into (n, 5) arrays by image name; the constant sixth column is dropped.

    Raises
    ------
    InputError
        As of `read_entries`; or a negative radius.
    """
    entries = read_entries(path, "faces", {5: ELLIPSE_NAMES, 6: ELLIPSE_NAMES + " 1"})
    _check_radii(entries, path)
    return {name: rows[:, :5] for name, rows in entries.items()}


def _check_radii(ellipses: Mapping[str, np.ndarray], path: PathLike) -> None:
    for name, rows in ellipses.items():
        if (rows[:, :2] < 0).any():
            row = rows[(rows[:, :2] < 0).any(axis=1)][0]
            raise InputError(f"{path}: {name}: expected radii of at least 0, got {row[0]:g} and {row[1]:g}")


def read_folds(folder: PathLike) -> tuple[dict[str, list[str]], dict[str, np.ndarray]]:
    """Read ``FDDB-fold-01.txt``, ``FDDB-fold-01-ellipseList.txt``, ...; any number of folds.

    Returns
    -------
    folds : dict of str to list of str
        Image names of each fold, as listed, by the fold's name.
    annotations : dict of str to (n, 5) float64
        Ellipses of every image, in the order of the folds.

    Raises
    ------
    InputError
        No fold; an image in two folds, or without an entry in its ellipse list; a bad file.
    """
    lists = {match[1]: p for p in sorted(Path(folder).glob("*")) if (match := FOLD_LIST.fullmatch(p.name))}
    if not lists:
        raise InputError(f"{folder}: expected FDDB-fold-01.txt and FDDB-fold-01-ellipseList.txt, ..., found neither")
    folds: dict[str, list[str]] = {}
    annotations: dict[str, np.ndarray] = {}
    for fold, path in lists.items():
        file = TextFile(path)
        folds[fold] = [image_name(line) for line in file.lines]
        ellipse_path = path.with_name(path.stem + "-ellipseList.txt")
        ellipses = read_ellipses(ellipse_path)
        for index, name in enumerate(folds[fold]):
            if name in annotations:
                file.fail(index, "every image once, it is above or in another fold too")
            if name not in ellipses:
                file.fail(index, f"an image that {ellipse_path.name} annotates")
            annotations[name] = ellipses[name]
    return folds, annotations


def read_fddb_detections(path: PathLike) -> dict[str, np.ndarray]:
    """Read one file of detections, or every ``fold-01-out.txt``, ... of a folder.

    Returns
    -------
    dict of image name to (n, 5) rectangles or (n, 6) ellipses, each with its score last; (0, 5) for none

    Raises
    ------
    InputError
        As of `read_entries`; no such file in a folder; an image in two files; an ellipse of negative radius.
    """
    path = Path(path)
    paths = sorted(p for p in path.glob("*") if FOLD_RESULT.fullmatch(p.name)) if path.is_dir() else [path]
    if not paths:
        raise InputError(f"{path}: expected files fold-01-out.txt, ..., found none")
    detections: dict[str, np.ndarray] = {}
    for part in paths:
        entries = read_entries(part, "detections", DETECTION_NAMES)
        twice = detections.keys() & entries.keys()
        if twice:
            raise InputError(f"{part}: {min(twice)} is in another file of this folder too")
        _check_radii({name: rows for name, rows in entries.items() if rows.shape[1] == ELLIPSE_COLUMNS}, part)
        _warn_of_negative_sizes(entries, part)
        detections.update(entries)
    return detections


def _warn_of_negative_sizes(detections: Mapping[str, np.ndarray], path: PathLike) -> None:
    names = [n for n, rows in detections.items() if rows.shape[1] == RECTANGLE_COLUMNS and (rows[:, 2:4] < 0).any()]
    if names:
        log.warning(
            "%s: %d images have boxes of negative size (first: %s): they count as false positives",
            path,
            len(names),
            names[0],
        )


def rectangles(rows: np.ndarray) -> np.ndarray:
    """Return ``x1 y1 x2 y2 score`` (n, 5) as ``left top width height score``, width = x2 - x1 as Seanlinx writes it."""
    return np.concatenate([rows[:, :2], rows[:, 2:4] - rows[:, :2], rows[:, 4:]], axis=1)


def write_fddb_detections(
    path: PathLike, names: Iterable[str], detections: Mapping[str, np.ndarray], row_format: str = ""
) -> None:
    """Write detections in FDDB's layout, images in the given order, atomically; arguments as of `write_entry`."""
    with replacing_text(path) as file:
        for name in names:
            write_entry(file, name, detections[name], row_format)


def write_entry(file: TextIO, name: str, detections: np.ndarray, row_format: str = "") -> None:
    """Write one image's detections in FDDB's layout.

    Parameters
    ----------
    file : text file
    name : str
    detections : (n, 5) or (n, 6)
    row_format : str
        %-format of a row. Default: digits that read back as the same numbers.
    """
    rows = detections.tolist()
    file.write(f"{name}\n{len(rows)}\n")
    if row_format:
        file.writelines(row_format % tuple(row) + "\n" for row in rows)
    else:
        file.writelines(" ".join(map(_shortest, row)) + "\n" for row in rows)


def _shortest(value: float) -> str:
    return repr(value)[:-2] if value.is_integer() and abs(value) < 1e15 else repr(value)


def read_sizes(path: PathLike) -> dict[str, tuple[int, int]]:
    """Read lines ``name width height`` into a dict of image name to (width, height), pixels.

    Raises
    ------
    InputError
        Another form; an image without pixels, or of more than 2^28; one image with two sizes.
    """
    file = TextFile(path)
    sizes: dict[str, tuple[int, int]] = {}
    for index, line in enumerate(file.lines):
        name, *sides = line.rsplit(None, 2)
        width, height = map(whole_number, sides) if len(sides) == 2 else (None, None)
        if not width or not height or width * height > MAX_PIXELS:
            file.fail(index, f"name width height, pixels, {MAX_PIXELS} at most")
        name, size = image_name(name), (width, height)
        if sizes.setdefault(name, size) != size:
            file.fail(index, f"{sizes[name][0]} {sizes[name][1]} for this image, as above")
    return sizes


def image_sizes(paths: Mapping[str, PathLike], skip_bad: bool = False) -> dict[str, tuple[int, int]]:
    """Return (width, height) of image files by name, from their headers: no pixel is decoded, no EXIF turn applied.

    Raises
    ------
    InputError
        A file that is not an image, or one of more than 2^28 pixels, unless `skip_bad` leaves it out.
    """
    sizes = {}
    for name, path in paths.items():
        try:
            width, height = _image_size(path)
            if width * height > MAX_PIXELS:
                raise ValueError(f"it has {width} x {height} pixels, {MAX_PIXELS} are the most")
            sizes[name] = width, height
        except (OSError, ValueError, SyntaxError) as error:
            if not skip_bad:
                raise InputError(f"{path}: expected an image: {error}") from None
    return sizes


def _image_size(path: PathLike) -> tuple[int, int]:
    """Return what the header says, without Pillow's own limit: two thirds of ours, and a warning from one third on."""
    from PIL import Image

    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(path) as image:
            return image.size
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def find_images(folder: PathLike, names: Sequence[str]) -> dict[str, Path]:
    """Return the paths of those images that are in the folder, by FDDB name; names lack the extension."""
    suffixes = [case(suffix) for suffix in IMAGE_SUFFIXES for case in (str.lower, str.upper)]
    found = {}
    for name in names:
        candidates = (Path(folder) / f"{name}{suffix}" for suffix in suffixes)
        path = next((p for p in candidates if p.is_file()), None)
        if path is not None:
            found[name] = path
    return found
