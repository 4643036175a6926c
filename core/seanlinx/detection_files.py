"""Detections in the files of Seanlinx/mtcnn: ``detections.pkl`` between its steps, and FDDB result texts."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, replacing_text
from gluon_mtcnn.core.ops.image import IMAGE_SUFFIXES
from gluon_mtcnn.core.seanlinx import py2_pickle, safe_pickle


def read_detections(path: PathLike) -> list[np.ndarray]:
    """Read ``detections.pkl``, of any origin.

    Returns
    -------
    list of (n, 5) float arrays
        ``x1 y1 x2 y2 score``, one array an image in the order of the annotations; (0, 5) where it has none.

    Raises
    ------
    InputError
        It is no pickle of plain data, or not such a list; the message names the item.
    """
    return parse_detections(safe_pickle.load(path), path)


def parse_detections(items: object, path: PathLike) -> list[np.ndarray]:
    """Return what `read_detections` does, of a pickle that has been read; `path` names it in messages."""
    if isinstance(items, np.ndarray) and items.dtype == object and items.ndim:
        items = list(items)  # np.array(list_of_arrays, dtype=object)
    if not isinstance(items, list):
        raise InputError(f"{path}: expected a list of arrays, got a {type(items).__name__}")
    return [_as_detections(item, f"{path}: item {i}") for i, item in enumerate(items)]


def _as_detections(item: object, where: str) -> np.ndarray:
    """Return a copy of the detections of one image, (n, 5) floats; an empty array or list of any kind is none."""
    if item.size == 0 if isinstance(item, np.ndarray) else item == []:
        return np.zeros((0, 5))
    if isinstance(item, np.ndarray) and item.dtype == object and all(isinstance(value, float) for value in item.flat):
        item = item.astype(np.float64)  # what numpy makes of arrays that all have one shape
    if not isinstance(item, np.ndarray) or item.ndim != 2 or item.shape[1] != 5 or item.dtype.kind != "f":
        got = f"{item.dtype} {item.shape}" if isinstance(item, np.ndarray) else f"a {type(item).__name__}"
        raise InputError(f"{where}: expected a float array (n, 5), got {got}")
    return np.array(item)


def write_detections(path: PathLike, detections: Sequence[np.ndarray]) -> None:
    """Write ``detections.pkl``, which the original loads.

    Parameters
    ----------
    path : file to write, atomically
    detections : one float (n, 5) array ``x1 y1 x2 y2 score``, or an empty one, for each image
        In the order of the annotations. An empty one is written as the (0,) array that the original uses.

    Raises
    ------
    InputError
        Something is no such array.
    """
    arrays = [_as_detections(item, f"{path}: item {i}") for i, item in enumerate(detections)]
    py2_pickle.dump([array if len(array) else np.zeros(0) for array in arrays], path)


def write_results(path: PathLike, names: Sequence[str], all_boxes: Sequence[np.ndarray]) -> None:
    """Write an FDDB result file: name without suffix, count, then a line ``x y w h score`` for each face.

    w and h are x2 - x1 and y2 - y1, as the original writes them. Images without detections have count 0.

    Parameters
    ----------
    path : file to write, atomically
    names : names of the images, in order
    all_boxes : one float (n, 5) array ``x1 y1 x2 y2 score``, or an empty one, for each

    Raises
    ------
    InputError
        Their numbers differ, or something is no such array.
    """
    if len(names) != len(all_boxes):
        raise InputError(f"{path}: expected detections of {len(names)} images, got {len(all_boxes)}")
    with replacing_text(path) as file:
        for name, item in zip(names, all_boxes):
            boxes = _as_detections(item, f"{path}: {name}").astype(np.float64)
            boxes[:, 2:4] -= boxes[:, :2]
            file.write(f"{_without_suffix(name)}\n{len(boxes)}\n")
            for x, y, width, height, score in boxes.tolist():
                file.write(f"{x:.2f} {y:.2f} {width:.2f} {height:.2f} {score:.5f}\n")


def _without_suffix(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in IMAGE_SUFFIXES else name
