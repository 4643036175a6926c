"""WIDER FACE's annotations as MATLAB files: v7.3 (HDF5, read with h5py) as they come, or v5 (read with scipy).

Cell arrays by event, then by photo: ``event_list``, ``file_list`` (names without .jpg), ``face_bbx_list`` (x y w h) and
``{attribute}_label_list``. HDF5 holds a cell as a reference, text as character codes, and matrices transposed; an
empty cell is a data set with the attribute MATLAB_empty that holds its shape instead of values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.ops.boxes import MAX_COORDINATE

Photo = tuple[str, list[np.ndarray]]  # event/name.jpg; boxes (4 n) and attributes (n), flat


def read_mat(path: str, attributes: tuple[str, ...]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the photos of a file in its order, one in memory at a time where it is v7.3.

    Yields
    ------
    name : str
        ``event/name.jpg``.
    rows : (n, 4 + attributes) float64
        x y w h, and the attributes in the given order.

    Raises
    ------
    InputError
        It cannot be read, h5py is not installed, or it is not such a file; the message names the field or the photo.
    """
    fields = ["file_list", "face_bbx_list", *(f"{name}_label_list" for name in attributes)]
    try:
        with open(path, "rb") as file:
            head = file.read(128)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    photos = _read_v5(path, fields) if head.startswith(b"MATLAB 5") else _read_hdf5(path, fields)
    for name, (boxes, *labels) in photos:
        count = len(boxes) // 4
        if len(boxes) % 4 or any(len(values) != count for values in labels):
            sizes = [len(values) for values in labels]
            raise InputError(
                f"{path}: {name}: expected 4 numbers and {len(labels)} labels a face, got {len(boxes)}, {sizes}"
            )
        rows = np.concatenate([boxes.reshape(count, 4), *(values[:, None] for values in labels)], axis=1)
        usable = np.abs(rows) <= MAX_COORDINATE
        if not usable.all():
            expected = f"finite numbers up to {MAX_COORDINATE:g}"
            raise InputError(f"{path}: {name}: expected {expected}, got {rows[~usable][0]:g}")
        yield name, rows


def _read_v5(path: str, fields: list[str]) -> Iterator[Photo]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path, variable_names=["event_list", *fields])
        events = [_flat(content[name]) for name in ("event_list", *fields)]
        for event, *cells in zip(*events):
            for file, *values in zip(*(_flat(cell) for cell in cells)):
                yield f"{_flat(event)[0]}/{_flat(file)[0]}.jpg", [_flat(value).astype(np.float64) for value in values]
    except KeyError as error:
        raise InputError(f"{path}: expected the fields of WIDER's annotations, no {error}") from None
    except (MatReadError, OSError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise InputError(f"{path}: expected WIDER's annotations in a MATLAB file: {error}") from None


def _flat(value: Any) -> np.ndarray:
    return np.asarray(value).ravel()  # row by row: x y w h of each face


def _read_hdf5(path: str, fields: list[str]) -> Iterator[Photo]:
    try:
        import h5py
    except ImportError:
        raise InputError(f"{path}: MATLAB v7.3 needs h5py: pip install 'gluon-mtcnn[mat]'") from None
    try:
        with h5py.File(path, "r") as file:
            events = [_cells(file, file[name]) for name in ("event_list", *fields)]
            for event, *photos in zip(*events):
                for name, *values in zip(*(_cells(file, photo) for photo in photos)):
                    yield f"{_text(event)}/{_text(name)}.jpg", [_numbers(value) for value in values]
    except KeyError as error:
        raise InputError(f"{path}: expected the fields of WIDER's annotations: {error.args[0]}") from None
    except (OSError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise InputError(f"{path}: expected WIDER's annotations in a MATLAB v7.3 file: {error}") from None


def _cells(file: Any, data: Any) -> list[Any]:
    """Return the data sets that a cell array refers to."""
    if data.attrs.get("MATLAB_empty", 0):
        return []
    return [file[reference] for reference in data[()].ravel()]


def _text(data: Any) -> str:
    return "".join(map(chr, data[()].ravel().tolist()))


def _numbers(data: Any) -> np.ndarray:
    """Return the values of a matrix row by row, in MATLAB's sense of a row."""
    if data.attrs.get("MATLAB_empty", 0):
        return np.zeros(0)
    return data[()].T.ravel().astype(np.float64)
