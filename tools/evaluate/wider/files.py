"""WIDER FACE's evaluation files: the MATLAB ground truth, lists of photos, and its text folders of detections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, replacing_text
from gluon_mtcnn.core.files.inside import path_inside
from gluon_mtcnn.core.ops.image import IMAGE_SUFFIXES
from gluon_mtcnn.prepare_data.annotations.left_out import LeftOut
from gluon_mtcnn.prepare_data.annotations.wider import read_wider
from gluon_mtcnn.tools.evaluate.detections import check_rows
from gluon_mtcnn.tools.evaluate.text_file import TextFile, whole_number

SETTINGS = ("easy", "medium", "hard")


@dataclass
class GroundTruth:
    """Photos of WIDER's validation set, with all faces and those that each setting counts.

    Attributes
    ----------
    names : list of str
        ``event/name``, without suffix.
    faces : list of (n, 4) float64
        ``x1 y1 x2 y2`` with x2 = x + w, as WIDER's program has it.
    counted : dict of setting to list of (n,) bool
    """

    names: list[str]
    faces: list[np.ndarray]
    counted: dict[str, list[np.ndarray]]

    def select(self, names: Sequence[str], where: str) -> GroundTruth:
        """Return the photos of these names (without suffix), in their order.

        Raises
        ------
        InputError
            A name that is not in the ground truth; `where` says who listed it.
        """
        index = {name: i for i, name in enumerate(self.names)}
        unknown = [name for name in names if name not in index]
        if unknown:
            raise InputError(
                f"{where}: {len(unknown)} of {len(names)} photos are not in the ground truth: {unknown[0]}"
            )
        places = [index[name] for name in names]
        return GroundTruth(
            list(names),
            [self.faces[i] for i in places],
            {setting: [masks[i] for i in places] for setting, masks in self.counted.items()},
        )


def plain_name(name: str) -> str:
    """Return a photo's name with forward slashes and without ``./`` or the suffix of an image."""
    name = name.strip().replace("\\", "/")
    while name.startswith("./"):
        name = name[2:]
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in IMAGE_SUFFIXES else name


def read_ground_truth(folder: PathLike) -> GroundTruth:
    """Read ``wider_face_val.mat`` and ``wider_{easy,medium,hard}_val.mat``.

    Raises
    ------
    InputError
        A file is missing, not a MATLAB 5 file, or not of WIDER's structure.
    """
    path = Path(folder) / "wider_face_val.mat"
    names, cells = _read_cells(path, "face_bbx_list")
    faces = []
    for name, cell in zip(names, cells):
        if cell.ndim != 2 or cell.shape[1] != 4 or cell.dtype.kind not in "iuf":
            raise InputError(f"{path}: {name}: expected faces as rows of x y w h, got {cell.dtype} {cell.shape}")
        xywh = cell.astype(np.float64)
        faces.append(np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1))
    counted = {setting: _read_counted(Path(folder), setting, names, faces) for setting in SETTINGS}
    return GroundTruth(names, faces, counted)


def _read_counted(folder: Path, setting: str, names: list[str], faces: list[np.ndarray]) -> list[np.ndarray]:
    """Return the faces that a setting counts, per photo (n,) bool; its file lists them from 1."""
    path = folder / f"wider_{setting}_val.mat"
    own_names, cells = _read_cells(path, "gt_list")
    if own_names != names:
        raise InputError(f"{path}: expected the photos of wider_face_val.mat in the same order")
    masks = []
    for name, cell, boxes in zip(names, cells, faces):
        chosen = cell.reshape(-1)
        if chosen.dtype.kind not in "iuf" or (chosen.size and not 1 <= chosen.min() <= chosen.max() <= len(boxes)):
            raise InputError(f"{path}: {name}: expected face numbers from 1 to {len(boxes)}, got others")
        mask = np.zeros(len(boxes), bool)
        mask[chosen.astype(np.int64) - 1] = True
        masks.append(mask)
    return masks


def _read_cells(path: Path, key: str) -> tuple[list[str], list[np.ndarray]]:
    """Return the photos' names and, for each, its array below `key`."""
    from scipy.io import loadmat

    if not path.is_file():
        raise InputError(f"{path}: ground truth not found")
    try:
        content = loadmat(str(path), variable_names=["event_list", "file_list", key])
    except Exception as error:  # scipy raises whatever its parser stumbles over
        raise InputError(f"{path}: expected a MATLAB 5 file: {error}") from None
    try:
        names, cells = [], []
        for event, files, arrays in zip(content["event_list"][:, 0], content["file_list"][:, 0], content[key][:, 0]):
            names += [f"{event[0]}/{file[0]}" for file in files[:, 0]]
            cells += list(arrays[:, 0])
        if len(names) != len(cells):
            raise ValueError("lists of different lengths")
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise InputError(f"{path}: expected WIDER's event_list, file_list and {key}: {error!r}") from None
    return names, cells


def read_image_list(path: PathLike) -> list[str]:
    """Read names of photos, one a line, or those of a ``*_bbx_gt.txt``; return them without suffix.

    Raises
    ------
    InputError
        Unreadable, empty, a name twice, or annotations that are not as WIDER writes them.
    """
    lines = TextFile(path).lines
    annotated = len(lines) > 1 and whole_number(lines[1]) is not None
    listed = (
        [photo.name for photo in read_wider(path, "", left_out=LeftOut(path, most=1, quiet=True))]
        if annotated
        else lines
    )
    names = [plain_name(name) for name in listed]
    if not names:
        raise InputError(f"{path}: expected names of photos, got none")
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise InputError(f"{path}: {repeated[0]} is listed twice")
    return names


def read_text_folder(folder: PathLike) -> dict[str, np.ndarray]:
    """Read a folder of WIDER's text files, ``event/name.txt``: name, count, lines of ``x y w h score``.

    Returns
    -------
    dict of ``event/name`` to (n, 5) float64
        ``x1 y1 x2 y2 score`` with x2 = x + w.

    Raises
    ------
    InputError
        No text file, or one that is not of this form.
    """
    folder = Path(folder)
    paths = sorted(folder.glob("*/*.txt"))
    if not paths:
        raise InputError(f"{folder}: expected text files event/name.txt, found none")
    return {path.relative_to(folder).with_suffix("").as_posix(): _read_text_file(path) for path in paths}


def _read_text_file(path: Path) -> np.ndarray:
    file = TextFile(path)
    count = whole_number(file.lines[1]) if len(file.lines) > 1 else None
    if count is None:
        file.fail(1, "the number of boxes")
    if len(file.lines) != 2 + count:
        raise InputError(f"{path}: expected {count} boxes, as stated, got {len(file.lines) - 2} lines")
    xywhs = file.rows(2, count, {5: "x y w h score"})
    xywhs[:, 2:4] += xywhs[:, :2]
    return check_rows(xywhs, str(path))


def write_text_folder(folder: PathLike, detections: Mapping[str, np.ndarray]) -> None:
    """Write WIDER's text files ``folder/event/name.txt``: name, count, ``x y w h score`` with w = x2 - x1.

    Parameters
    ----------
    folder : created when missing
    detections : mapping of ``event/name.jpg`` to (n, 5) ``x1 y1 x2 y2 score``

    Raises
    ------
    InputError
        A name leads out of the folder; nothing is written then.
    """
    paths = {name: path_inside(folder, f"{plain_name(name)}.txt") for name in detections}
    for name, rows in detections.items():
        xywhs = np.concatenate([rows[:, :2], rows[:, 2:4] - rows[:, :2], rows[:, 4:]], axis=1)
        lines = "%.9g %.9g %.9g %.9g %.9g\n" * len(rows) % tuple(xywhs.ravel().tolist())
        with replacing_text(paths[name]) as file:
            file.write(f"{name}\n{len(rows)}\n{lines}")
