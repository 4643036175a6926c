"""Detections of a set of photos: making them with a detector, and reading and writing them as JSON.

In memory a set is a dict of photo name to an (n, 5) float64 array ``x1 y1 x2 y2 score``, inclusive pixels, in any order
of score. In a file it is ``{"event/name.jpg": [[x1, y1, x2, y2, score], ...]}``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
from tqdm import tqdm

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, read_json, replacing
from gluon_mtcnn.core.files.threads import map_clones
from gluon_mtcnn.core.ops import image
from gluon_mtcnn.core.types import Detections

log = logging.getLogger(__name__)
LARGEST = 1e9  # of a coordinate or a score: beyond, areas and score ranges lose their digits


def iterate_photos(
    detector: Any,
    photos: Mapping[str, PathLike],
    quiet: bool = False,
    bad_as_empty: bool = False,
    workers: int = 1,
) -> Iterator[tuple[str, Detections]]:
    """Run a detector over photos, in their order, with a progress bar.

    Parameters
    ----------
    detector : object with ``detect(bgr) -> Detections``, and for several workers ``clone()``
    photos : mapping of name to path
        Read without EXIF rotation, as data sets are annotated.
    quiet : bool
        No progress bar.
    bad_as_empty : bool
        A photo that does not decode has no faces; the log names it.
    workers : int
        Threads.

    Yields
    ------
    name, Detections

    Raises
    ------
    InputError
        A photo is missing or does not decode, unless `bad_as_empty`; or none of them does.
    """
    bad: list[str] = []
    with closing(map_clones(_detect, photos.values(), detector, workers)) as results:
        bar = tqdm(zip(photos, results), desc="detect", unit="photo", total=len(photos), disable=quiet)
        for name, found in bar:
            if isinstance(found, InputError):
                bad.append(str(found))
                if not bad_as_empty or len(bad) == len(photos):
                    raise found
                found = Detections.empty(landmarks=True)
            yield name, found
    for message in bad:
        log.warning("%s: counted as a photo without detections", message)


def _detect(detector: Any, path: PathLike) -> Union[Detections, InputError]:
    try:
        return detector.detect(image.read(path))
    except InputError as error:
        return error


def detect_photos(
    detector: Any,
    photos: Mapping[str, PathLike],
    quiet: bool = False,
    bad_as_empty: bool = False,
    workers: int = 1,
) -> dict[str, np.ndarray]:
    """Return the detections of every photo by name, each (n, 5) float64; arguments as of `iterate_photos`."""
    each = iterate_photos(detector, photos, quiet, bad_as_empty, workers)
    return {name: found.as_array().astype(np.float64) for name, found in each}


def existing_photos(photos: Mapping[str, PathLike], missing_as_empty: Optional[bool] = False) -> dict[str, PathLike]:
    """Return the photos whose files are there.

    Parameters
    ----------
    photos : mapping of name to path
    missing_as_empty : bool, optional
        The option of this name; None for a command that has none.

    Raises
    ------
    InputError
        A file is missing, unless `missing_as_empty`; or all are.
    """
    found = {name: path for name, path in photos.items() if Path(path).is_file()}
    missing = [path for name, path in photos.items() if name not in found]
    if missing and not (found and missing_as_empty):
        others = f", nor {len(missing) - 1} others of {len(photos)}" if len(missing) > 1 else ""
        way_out = "" if missing_as_empty is None else " (--missing-as-empty: count it as one without detections)"
        raise InputError(f"{missing[0]}: photo not found{others}{way_out}")
    return found


def check_rows(value: Any, where: str) -> np.ndarray:
    """Return ``x1 y1 x2 y2 score`` rows as a new (n, 5) float64 array.

    Boxes of negative size pass: a detector can produce them, and they count as false positives.

    Parameters
    ----------
    value : array or list of lists
    where : str
        File and place, for messages.

    Raises
    ------
    InputError
        Not rows of five numbers, or a number that is not finite or beyond 1e9; names the first bad row, from 1.
    """
    try:
        rows = np.array(value) if len(value) else np.zeros((0, 5))
    except (TypeError, ValueError):  # no length; rows of different lengths
        rows = np.zeros(0, object)
    if rows.dtype.kind not in "iuf" or rows.ndim != 2 or rows.shape[1] != 5:
        raise InputError(f"{where}: expected rows of five numbers x1 y1 x2 y2 score, got {_first_bad(value)}")
    rows = rows.astype(np.float64)
    bad = np.flatnonzero(~(np.abs(rows) <= LARGEST).all(axis=1))
    if len(bad):
        raise InputError(f"{where}: row {bad[0] + 1}: expected finite numbers up to 1e9, got {rows[bad[0]].tolist()}")
    return rows


def _first_bad(value: Any) -> str:
    """Describe, shortly, the first row that is not five numbers."""
    if not isinstance(value, (list, tuple, np.ndarray)):
        return json.dumps(value, default=str)[:80]
    for i, row in enumerate(value):
        numbers = isinstance(row, (list, tuple, np.ndarray)) and all(
            isinstance(v, (int, float, np.number)) and not isinstance(v, bool) for v in row
        )
        if not numbers or len(row) != 5:
            return f"{json.dumps(row, default=str)[:80]} in row {i + 1}"
    return "numbers too large"


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InputError(f"{twice!r} is there twice")
    return entries


def read_json_detections(path: PathLike) -> dict[str, np.ndarray]:
    """Read a JSON file ``{name: [[x1, y1, x2, y2, score], ...]}``.

    Returns
    -------
    dict of name (as in the file) to (n, 5) float64

    Raises
    ------
    InputError
        Unreadable, not JSON, not of that form, a name twice, or a number that is not finite.
    """
    entries = read_json(path, _unique_names)
    if not isinstance(entries, dict):
        raise InputError(f"{path}: expected a JSON object of photo names, got {type(entries).__name__}")
    return {name: check_rows(rows, f"{path}: {name!r}") for name, rows in entries.items()}


def write_json_detections(path: PathLike, detections: Mapping[str, np.ndarray]) -> None:
    """Write detections so that `read_json_detections` gives back the same numbers; one photo a line, atomically."""
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(rows.tolist())}" for name, rows in detections.items())
    with replacing(path) as temporary:
        temporary.write_text(f"{{{lines}}}\n", encoding="utf-8")
